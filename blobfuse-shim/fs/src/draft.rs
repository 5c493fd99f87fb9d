//! What was written to one file since its last commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use blob_format::Attributes;
use blob_store::{BlockId, Condition};
use cleanroom_crypto::digest::Sha256;
use tokio::task::JoinSet;

use crate::FsError;
use crate::budget::Memory;
use crate::cache::ContentId;
use crate::codec::{Codec, Mark, extent_len, extents};
use crate::version::Version;

#[derive(Debug)]
pub(crate) struct Draft {
    /// The version that the next commit replaces, and whose extents it takes over.
    pub(crate) base: Option<Arc<Version>>,
    pub(crate) condition: Condition,
    pub(crate) codec: Arc<dyn Codec>,
    /// Clear length in bytes.
    pub(crate) len: u64,
    /// So many leading extents of the base are still content.
    pub(crate) kept: u64,
    /// Extents that differ from the base.
    pub(crate) extents: BTreeMap<u64, Extent>,
    pub(crate) staging: Staging,
    pub(crate) dirty: bool,
    pub(crate) mode: u32,
    pub(crate) time: Option<SystemTime>,
    /// Where a writer goes on that writes front to back.
    pub(crate) next: u64,
    pub(crate) digest: Option<Running>,
}

/// One changed extent.
#[derive(Debug)]
pub(crate) enum Extent {
    /// In memory, whole.
    Dirty(Buffer),
    /// Nothing was ever written there.
    Zero,
    /// Sealed and on its way to storage, or there; not part of the file before the commit.
    Staged {
        block: BlockId,
        content: ContentId,
        /// Its mark and sealed length, once storage has it.
        done: Option<(Mark, u64)>,
    },
}

/// Clear bytes with room to grow.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) memory: Memory,
}

/// Blocks on their way to one blob.
#[derive(Debug)]
pub(crate) struct Staging {
    writer: [u8; 8],
    sequence: u64,
    pub(crate) uploads: JoinSet<Result<Uploaded, FsError>>,
}

/// A block that storage has.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) index: u64,
    pub(crate) block: BlockId,
    pub(crate) mark: Mark,
    pub(crate) len: u64,
}

impl Staging {
    pub(crate) fn new() -> Result<Self, FsError> {
        let writer = cleanroom_crypto::random::bytes();
        Ok(Self {
            writer: writer.map_err(blob_format::FormatError::from)?,
            sequence: 0,
            uploads: JoinSet::new(),
        })
    }

    pub(crate) fn block(&mut self) -> BlockId {
        let id = BlockId::new(self.writer, self.sequence);
        self.sequence += 1;
        id
    }
}

impl Draft {
    /// Changes to a version, or a new file.
    pub(crate) fn new(
        codec: Arc<dyn Codec>,
        base: Option<Arc<Version>>,
        condition: Condition,
    ) -> Result<Self, FsError> {
        let kept = base.as_ref().map(|base| extents(codec.extent(), base.len));
        Ok(Self {
            len: base.as_ref().map_or(0, |base| base.len),
            kept: kept.unwrap_or(0),
            mode: base.as_ref().map_or(0o644, |base| base.attributes.mode),
            // What a manifest says of content that was there before is not known.
            digest: (base.is_none() && codec.is_plain()).then(Running::default),
            base,
            condition,
            codec,
            extents: BTreeMap::new(),
            staging: Staging::new()?,
            dirty: false,
            time: None,
            next: 0,
        })
    }

    pub(crate) fn modified(&self) -> SystemTime {
        self.time.unwrap_or_else(SystemTime::now)
    }

    pub(crate) fn attributes(&self) -> Attributes {
        let since = self.modified().duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = since.map_or(0, |since| since.as_nanos());
        Attributes {
            mtime_ns: u64::try_from(nanoseconds).unwrap_or(0),
            mode: self.mode,
        }
    }

    /// Clear bytes of an extent now.
    pub(crate) fn extent_len(&self, index: u64) -> u64 {
        extent_len(self.codec.extent(), index, self.len)
    }

    pub(crate) fn extents(&self) -> u64 {
        extents(self.codec.extent(), self.len)
    }

    /// The base, if an extent is still as it was there.
    pub(crate) fn clean(&self, index: u64) -> Option<&Arc<Version>> {
        let clean = index < self.kept && !self.extents.contains_key(&index);
        self.base.as_ref().filter(|_| clean)
    }

    pub(crate) fn holds_memory(&self) -> bool {
        self.extents
            .values()
            .any(|extent| matches!(extent, Extent::Dirty(_)))
    }

    pub(crate) fn is_staged(&self) -> bool {
        self.extents
            .values()
            .any(|extent| matches!(extent, Extent::Staged { .. }))
    }

    /// Takes note of finished uploads.
    pub(crate) fn uploaded(&mut self, uploaded: Uploaded) {
        if let Some(Extent::Staged { block, done, .. }) = self.extents.get_mut(&uploaded.index)
            && *block == uploaded.block
        {
            *done = Some((uploaded.mark, uploaded.len));
        }
    }

    /// Cuts behind extent `count`; the last one that stays is whole or in memory already.
    pub(crate) fn cut(&mut self, count: u64) {
        self.extents.split_off(&count);
        self.kept = self.kept.min(count);
        if let Some(digest) = &mut self.digest {
            digest.cut(count);
        }
    }
}

/// The digest of content that is written front to back; given up as soon as it is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running {
    whole: Sha256,
    next: u64,
    last: Option<Sha256>,
    broken: bool,
}

impl Running {
    /// An extent leaves with this content.
    pub(crate) fn staged(&mut self, index: u64, clear: &[u8], is_whole: bool) {
        if index != self.next {
            self.broken = true;
        }
        if self.broken {
            return;
        }
        if is_whole {
            self.whole.update(clear);
            self.next += 1;
            self.last = None;
        } else {
            let mut digest = self.whole.clone();
            digest.update(clear);
            self.last = Some(digest);
        }
    }

    fn cut(&mut self, count: u64) {
        self.broken |= count < self.next;
        self.last = None;
    }

    /// The digest of a file whose last extent is whole or not.
    pub(crate) fn finish(&self, whole: u64, is_partial: bool) -> Option<[u8; 32]> {
        match (self.broken || self.next != whole, is_partial, &self.last) {
            (false, false, _) => Some(self.whole.clone().finish()),
            (false, true, Some(last)) => Some(last.clone().finish()),
            _ => None,
        }
    }
}
