//! The hash of one layer.

use std::io::{BufRead, Read};
use std::sync::atomic::AtomicU64;
use std::thread;

use crossbeam_channel::bounded;
use sha2::{Digest as _, Sha256};

use crate::convert::convert;
use crate::stream::{Chunks, Outlets, QUEUE, read, recycle};
use crate::verity::{Tree, work};
use crate::{Digest, LayerError, Limits, RootHash};

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or more members.
    Gzip,
    /// Zstandard, of one or more frames.
    Zstd,
}

impl Compression {
    /// What the first four bytes of a blob say.
    #[must_use]
    pub fn sniff(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a frame to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// What is known of a layer before it is read. What is given here is checked.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// `None`: by the first bytes.
    pub compression: Option<Compression>,
    /// Digest of the blob as it is stored.
    pub blob: Option<Digest>,
    /// Bytes of the blob as it is stored; no more than that is read.
    pub size: Option<u64>,
    /// Digest of the uncompressed tar.
    pub diff_id: Option<Digest>,
}

impl Expected {
    /// Compares a layer that has been hashed without knowing what to expect.
    ///
    /// # Errors
    ///
    /// It is another one.
    pub(crate) fn check(&self, hash: &LayerHash) -> Result<(), LayerError> {
        if let Some(expected) = self.size.filter(|expected| *expected != hash.blob_size) {
            return Err(LayerError::BlobSize {
                expected,
                actual: hash.blob_size,
            });
        }
        if let Some(expected) = self
            .compression
            .filter(|expected| *expected != hash.compression)
        {
            return Err(LayerError::NotAsDeclared {
                expected: expected.name(),
            });
        }
        self.check_digests(hash.blob, hash.diff_id)
    }

    fn check_digests(&self, blob: Digest, diff_id: Digest) -> Result<(), LayerError> {
        if let Some(expected) = self.blob.filter(|expected| *expected != blob) {
            return Err(LayerError::BlobDigest {
                expected,
                actual: blob,
            });
        }
        if let Some(expected) = self.diff_id.filter(|expected| *expected != diff_id) {
            return Err(LayerError::DiffId {
                expected,
                actual: diff_id,
            });
        }
        Ok(())
    }
}

/// A layer that has been read to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LayerHash {
    /// What a policy lists.
    pub root_hash: RootHash,
    /// Of the uncompressed tar, with everything after its last entry.
    pub diff_id: Digest,
    /// Of the blob as it was read.
    pub blob: Digest,
    /// Bytes of the blob.
    pub blob_size: u64,
    /// How the blob is compressed.
    pub compression: Compression,
    /// Bytes of the uncompressed tar.
    pub tar_size: u64,
    /// Bytes of the ext4 image.
    pub image_size: u64,
}

/// Computes a layer's root hash in one pass, on several threads: one reads and decompresses, one hashes the tar, the calling
/// one lays out the image, and the rest hash its blocks.
///
/// Memory is 32 bytes for each 4 KiB of image, what directories and inodes need, and a few MiB.
///
/// # Errors
///
/// The layer is not what `expected` says, exceeds a limit, or is one that the reference refuses. A digest that does not match
/// is reported before what is wrong with the content.
pub fn hash_layer(
    source: impl Read + Send,
    expected: &Expected,
    limits: &Limits,
) -> Result<LayerHash, LayerError> {
    hash_counted(source, expected, limits, &AtomicU64::new(0))
}

/// The same, and adds up the bytes that were unpacked, also of what is no layer.
pub(crate) fn hash_counted(
    source: impl Read + Send,
    expected: &Expected,
    limits: &Limits,
    unpacked: &AtomicU64,
) -> Result<LayerHash, LayerError> {
    let workers = thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
    thread::scope(|scope| {
        let (to_hasher, for_hasher) = bounded(QUEUE);
        let (to_reader, for_reader) = bounded(QUEUE);
        let (to_spare, spare) = bounded(2 * QUEUE);
        let (to_workers, batches) = bounded(2 * workers);
        let (to_tree, results) = crossbeam_channel::unbounded();
        let outlets = Outlets {
            hasher: to_hasher,
            reader: to_reader,
            spare,
            unpacked,
        };
        let blob = scope.spawn(move || read(source, expected, limits, outlets));
        let hasher_spare = to_spare.clone();
        let hasher = scope.spawn(move || {
            let mut digest = Sha256::new();
            for chunk in for_hasher {
                digest.update(chunk.as_slice());
                recycle(chunk, &hasher_spare);
            }
            Digest::from(<[u8; 32]>::from(digest.finalize()))
        });
        for _ in 0..workers {
            let (batches, to_tree) = (batches.clone(), to_tree.clone());
            scope.spawn(move || work(&batches, &to_tree));
        }
        // The channels close when the threads that use them end.
        drop((batches, to_tree));
        let mut chunks = Chunks::new(for_reader, to_spare);
        let built = convert(&mut chunks, Tree::new(to_workers, results), *limits)
            .and_then(|(tree, blocks)| Ok((tree.finish()?, blocks)));
        let built = match built {
            Err(
                error @ (LayerError::Limit { .. } | LayerError::Path { .. } | LayerError::Worker),
            ) => {
                drop(chunks);
                let read = blob.join().map_err(|_| LayerError::Worker)?;
                // The limit on bytes may have been met there first.
                return Err(match read {
                    Err(first @ LayerError::Limit { .. }) => first,
                    _ => error,
                });
            }
            built => built,
        };
        skip_rest(&mut chunks);
        let blob = blob.join().map_err(|_| LayerError::Worker)??;
        let diff_id = hasher.join().map_err(|_| LayerError::Worker)?;
        let digest = blob.digest.unwrap_or(diff_id);
        expected.check_digests(digest, diff_id)?;
        let (root_hash, blocks) = built?;
        Ok(LayerHash {
            root_hash,
            diff_id,
            blob: digest,
            blob_size: blob.size,
            compression: blob.compression,
            tar_size: blob.tar_size,
            image_size: u64::from(blocks) * crate::device::BLOCK as u64,
        })
    })
}

/// Reads what follows the tar: it is part of the digest.
fn skip_rest(chunks: &mut Chunks) {
    while let Ok(length) = chunks.fill_buf().map(<[u8]>::len) {
        if length == 0 {
            return;
        }
        chunks.consume(length);
    }
}
