//! The hashes of all layers of an image.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::thread;

use crate::cache::{Cache, Cached};
use crate::layer::{Expected, hash_layer};
use crate::source::{Image, ImageSource, Layer, Opened};
use crate::{Digest, ImageError, Limits, RootHash};

/// How an image's layers are hashed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// For each layer.
    pub limits: Limits,
    /// Where hashes are kept. A layer found there is not read.
    pub cache: Option<&'a Cache>,
    /// Layers at a time. `None`: as many as there are processors, at most four.
    pub parallel: Option<NonZeroUsize>,
}

/// A layer and its root hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HashedLayer {
    /// Of its uncompressed tar.
    pub diff_id: Digest,
    /// What a policy lists.
    pub root_hash: RootHash,
    /// What the cache knew; `Miss` without a cache.
    pub cached: Cached,
}

/// Computes the root hashes of an image's layers, from the bottom up, several at a time. A layer that is there twice is read
/// once.
///
/// # Errors
///
/// The first layer, from the bottom, that has no hash; or the cache cannot be written.
pub fn hash_image(
    source: &dyn ImageSource,
    image: &Image,
    settings: &Settings<'_>,
) -> Result<Vec<HashedLayer>, ImageError> {
    let mut distinct = BTreeMap::new();
    for (index, layer) in image.layers.iter().enumerate() {
        distinct.entry(layer.diff_id).or_insert((index, layer));
    }
    let mut waiting: Vec<(usize, &Layer)> = distinct.into_values().collect();
    // Taken from the end: the lowest layer is first.
    waiting.sort_unstable_by_key(|(index, _)| std::cmp::Reverse(*index));
    let queue = Mutex::new(waiting);
    let results = Mutex::new(BTreeMap::new());
    let take = || queue.lock().ok()?.pop();
    let work = || {
        while let Some((index, layer)) = take() {
            let result = hash_one(source, index, layer, settings);
            // After a failure the layers above are not worth reading.
            if result.is_err()
                && let Ok(mut queue) = queue.lock()
            {
                queue.clear();
            }
            if let Ok(mut results) = results.lock() {
                results.insert(layer.diff_id, (index, result));
            }
        }
    };
    let parallel = settings.parallel.map_or_else(
        || thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
        NonZeroUsize::get,
    );
    thread::scope(|scope| {
        for _ in 0..parallel.min(image.layers.len()) {
            scope.spawn(work);
        }
    });
    let mut hashed = BTreeMap::new();
    let mut failures = Vec::new();
    for (diff_id, (index, result)) in results.into_inner().unwrap_or_default() {
        match result {
            Ok(layer) => {
                hashed.insert(diff_id, layer);
            }
            Err(error) => failures.push((index, error)),
        }
    }
    if let Some((_, error)) = failures.into_iter().min_by_key(|(index, _)| *index) {
        return Err(error);
    }
    let of = |(index, layer): (usize, &Layer)| {
        let layer = hashed.get(&layer.diff_id).copied();
        layer.ok_or_else(|| ImageError::Missing {
            what: format!("layer {index}"),
        })
    };
    image.layers.iter().enumerate().map(of).collect()
}

fn hash_one(
    source: &dyn ImageSource,
    index: usize,
    layer: &Layer,
    settings: &Settings<'_>,
) -> Result<HashedLayer, ImageError> {
    let diff_id = layer.diff_id;
    let cached = settings
        .cache
        .map_or(Cached::Miss, |cache| cache.get(&diff_id));
    if let Cached::Hit(root_hash) = cached {
        return Ok(HashedLayer {
            diff_id,
            root_hash,
            cached,
        });
    }
    let expected = Expected {
        compression: layer.compression,
        blob: layer.blob,
        size: layer.size,
        diff_id: Some(diff_id),
    };
    let hash = match source.open(layer)? {
        Opened::Blob(blob) => hash_layer(blob, &expected, &settings.limits),
        Opened::Hashed(hash) => hash.and_then(|hash| expected.check(&hash).map(|()| hash)),
    };
    let hash = hash.map_err(|source| ImageError::Layer {
        index,
        diff_id,
        source,
    })?;
    if let Some(cache) = settings.cache {
        cache.put(&diff_id, &hash.root_hash)?;
    }
    Ok(HashedLayer {
        diff_id,
        root_hash: hash.root_hash,
        cached,
    })
}
