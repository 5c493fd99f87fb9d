//! One committed version of one file, and how it is found.

use std::collections::HashMap;
use std::sync::Arc;

use blob_format::Attributes;
use blob_format::manifest::Entry;
use blob_store::{BlobInfo, BlockId, Etag, Metadata, StoreError};
use bytes::Bytes;

use crate::FsError;
use crate::cache::ContentId;
use crate::codec::{self, Frame, Layout, Stored, extent_len};
use crate::inner::Inner;

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

/// What tells two versions apart: a store could show two under one ETag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    etag: Etag,
    authenticator: Option<[u8; 32]>,
}

impl Version {
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            etag: self.info.etag.clone(),
            authenticator: self.entry.as_ref().map(|entry| entry.authenticator),
        }
    }

    pub(crate) fn extent_len(&self, index: u64) -> u64 {
        extent_len(self.frame.extent(), index, self.len)
    }
}

impl Inner {
    /// Finds the newest version of a path and authenticates its frame. `listed` is what a listing said a moment ago: it
    /// saves a request if it is still true.
    pub(crate) async fn load(
        self: &Arc<Self>,
        path: &str,
        listed: Option<BlobInfo>,
    ) -> Result<Version, FsError> {
        let loaded = match &self.source {
            Some(source) => self.load_listed(path, source).await,
            None => self.load_newest(path, listed).await,
        };
        loaded.inspect_err(|error| self.findings.report(&self.dek, path, error))
    }

    async fn load_newest(&self, path: &str, listed: Option<BlobInfo>) -> Result<Version, FsError> {
        let (version, blob) = self.load_any(path, listed).await?;
        self.measured(path, &version);
        self.keep_small(&version, &blob)?;
        Ok(version)
    }

    /// The newest version, and the blob's bytes as far as they came along; `listed` as in [`Inner::load`].
    pub(crate) async fn load_any(
        &self,
        path: &str,
        listed: Option<BlobInfo>,
    ) -> Result<(Version, Bytes), FsError> {
        if self.layout.needs_metadata() {
            let (info, metadata) = self.bounded(self.store.describe(path)).await?;
            return self.load_version(path, info, &metadata).await;
        }
        let none = Metadata::new();
        let listed = listed.filter(|info| {
            // Only a request for content can show that it is still true.
            let tail = self.layout.tail_len(info.length);
            info.length > 0 && (info.length <= SMALL || !matches!(tail, Ok(0)))
        });
        if let Some(info) = listed {
            match self.load_version(path, info, &none).await {
                Err(FsError::Stale | FsError::NotFound) => {}
                outcome => return outcome,
            }
        }
        let info = self.bounded(self.store.head(path)).await?;
        self.load_version(path, info, &none).await
    }

    /// Authenticates the frame of a version, as far as the layout can; returns the end of its blob, too.
    pub(crate) async fn frame(
        &self,
        layout: &Layout,
        path: &str,
        info: &BlobInfo,
        metadata: &Metadata,
    ) -> Result<(codec::Opened, Bytes), FsError> {
        if info.directory {
            return Err(FsError::IsDirectory);
        }
        let length = info.length;
        let mut first = layout.tail_len(length)?;
        if length <= SMALL {
            first = length;
        }
        let mut tail = self.tail(path, info, first).await?;
        let needed = layout.needed_tail(length, &tail)?;
        if needed > first {
            // The file's own sizes differ from the mount's.
            tail = self.tail(path, info, needed).await?;
        }
        let stored = Stored {
            length,
            tail: &tail,
            metadata,
        };
        let opened = layout.open(path, &stored)?;
        Ok((opened, tail))
    }

    async fn load_version(
        &self,
        path: &str,
        info: BlobInfo,
        metadata: &Metadata,
    ) -> Result<(Version, Bytes), FsError> {
        let (opened, tail) = self.frame(&self.layout, path, &info, metadata).await?;
        let part = opened.frame.unit().min(opened.len);
        // The sizes of the mount's own files were checked when it was mounted.
        if part > self.extent && opened.frame.room(0, 0..part) > self.budget.total() {
            return Err(FsError::NotSupported(
                "a file in parts that exceed the memory limit",
            ));
        }
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
        Ok((version, tail))
    }

    /// Opens a small file's content, if it came along with its frame and there is memory for it.
    pub(crate) fn keep_small(&self, version: &Version, blob: &Bytes) -> Result<(), FsError> {
        let clear = 0..version.extent_len(0);
        let is_whole = blob.len() as u64 == version.info.length;
        if !is_whole || version.len == 0 || version.len > clear.end {
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

    pub(crate) async fn tail(
        &self,
        path: &str,
        info: &BlobInfo,
        length: u64,
    ) -> Result<Bytes, FsError> {
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
        etag: &Etag,
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
