//! One committed version of one file, and how it is found.

use std::collections::HashMap;
use std::sync::Arc;

use blob_format::Attributes;
use blob_format::manifest::Entry;
use blob_store::{BlobInfo, BlockId, StoreError};
use bytes::Bytes;

use crate::cache::ContentId;
use crate::codec::{self, Frame, extent_len};
use crate::inner::Inner;
use crate::{FsError, Mode};

/// Whole blobs up to this size are fetched by the request that opens them.
const SMALL: u64 = 256 << 10;

/// What storage holds under one ETag, authenticated where the layout can.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) info: BlobInfo,
    /// Clear length in bytes.
    pub(crate) len: u64,
    pub(crate) frame: Arc<dyn Frame>,
    pub(crate) contents: Contents,
    /// The blob's blocks with their sizes, if they are known; none are named if it was written in one piece.
    pub(crate) blocks: Option<Vec<(BlockId, u64)>>,
    pub(crate) attributes: Attributes,
    pub(crate) entry: Option<Entry>,
}

/// The content number of every extent.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    base: ContentId,
    pub(crate) changed: HashMap<u64, ContentId>,
}

impl Contents {
    pub(crate) fn new(base: ContentId) -> Self {
        Self {
            base,
            changed: HashMap::new(),
        }
    }

    pub(crate) fn of(&self, index: u64) -> ContentId {
        let changed = self.changed.get(&index).copied();
        changed.unwrap_or_else(|| self.base.plus(index))
    }
}

impl Version {
    pub(crate) fn extent_len(&self, index: u64) -> u64 {
        extent_len(self.frame.extent(), index, self.len)
    }
}

impl Inner {
    /// Finds the newest version of a path and authenticates its frame. `listed` is what a listing said a moment ago: it
    /// saves a request if it is still true.
    pub(crate) async fn load(
        &self,
        path: &str,
        listed: Option<BlobInfo>,
    ) -> Result<Version, FsError> {
        let listed = listed.filter(|info| {
            // Only a request for content can show that it is still true.
            info.length > 0 && (self.mode != Mode::Cpk || info.length <= SMALL)
        });
        if let Some(info) = listed {
            match self.load_version(path, info).await {
                Err(FsError::Stale | FsError::NotFound) => {}
                outcome => return outcome,
            }
        }
        let info = self.bounded(self.store.head(path)).await?;
        self.load_version(path, info).await
    }

    async fn load_version(&self, path: &str, info: BlobInfo) -> Result<Version, FsError> {
        if info.directory {
            return Err(FsError::IsDirectory);
        }
        let length = info.length;
        let mut first = codec::tail_len(self.mode, length)?;
        if length <= SMALL {
            first = length;
        }
        let mut tail = self.tail(path, &info, first).await?;
        let needed = codec::needed_tail(self.mode, length, &tail)?;
        if needed > first {
            // The file's own sizes differ from the mount's.
            tail = self.tail(path, &info, needed).await?;
        }
        let opened = codec::open(self.mode, &self.dek, path, length, &tail)?;
        let count = codec::extents(opened.frame.extent(), opened.len).max(1);
        let version = Version {
            info,
            len: opened.len,
            frame: opened.frame,
            contents: Contents::new(self.cache.contents(count)),
            blocks: None,
            attributes: opened.attributes,
            entry: opened.entry,
        };
        if tail.len() as u64 == length {
            self.keep_small(&version, &tail)?;
        }
        Ok(version)
    }

    /// Opens a small file's content, which came along with its frame, if there is memory for it.
    fn keep_small(&self, version: &Version, blob: &Bytes) -> Result<(), FsError> {
        let clear = 0..version.extent_len(0);
        if version.len == 0 || version.len > clear.end {
            return Ok(());
        }
        let stored = version.frame.stored(0, clear.clone());
        let range = usize::try_from(stored.start).unwrap_or(usize::MAX)
            ..usize::try_from(stored.end).unwrap_or(usize::MAX);
        let sealed = blob.get(range);
        let sealed = sealed.ok_or_else(another_length)?;
        let Some(memory) = self.cache.make_room(&self.budget, clear.end) else {
            return Ok(());
        };
        let bytes = version.frame.open(0, clear, sealed)?;
        let unit = usize::try_from(version.frame.unit()).unwrap_or(usize::MAX);
        self.cache
            .keep(version.contents.of(0), 0, unit, bytes, memory);
        Ok(())
    }

    async fn tail(&self, path: &str, info: &BlobInfo, length: u64) -> Result<Bytes, FsError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let start = info.length - length.min(info.length);
        self.get(path, start..info.length, &info.etag).await
    }

    /// Exactly the bytes of a range of one version.
    pub(crate) async fn get(
        &self,
        path: &str,
        range: std::ops::Range<u64>,
        etag: &blob_store::Etag,
    ) -> Result<Bytes, FsError> {
        let length = range.end - range.start;
        let bytes = self
            .bounded(self.store.get_range(path, range, etag))
            .await?;
        if bytes.len() as u64 != length {
            return Err(another_length());
        }
        Ok(bytes)
    }
}

fn another_length() -> FsError {
    FsError::from(StoreError::Answer {
        operation: "Get Blob",
        reason: "another length",
    })
}
