//! Where the clear bytes of a file lie in its blob: `header || extent[0] || … || extent[n-1] || trailer`, every extent
//! of fixed clear size but the last, and sealed on its own.

mod azure;
mod layout;
mod plain;
mod v1;
mod v2;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use blob_format::manifest::Entry;
use blob_format::v2::SealedExtent;
use blob_format::{Attributes, FormatError, Reader};
use blob_store::Metadata;

use crate::FsError;

pub(crate) use layout::{Layout, Stored, most_room, upload_room};

/// What a commit must know of one sealed extent beside its position: in format v2 its salt.
pub(crate) type Mark = Option<SealedExtent>;

/// One committed version of one file.
pub(crate) trait Frame: fmt::Debug + Send + Sync {
    /// Clear bytes of a whole extent: the unit that is sealed and staged.
    fn extent(&self) -> u64;

    /// Clear bytes of the smallest part that can be opened alone; divides the extent.
    fn unit(&self) -> u64;

    /// Bytes of the blob that hold a part of an extent: `clear` counts from the start of the extent, in whole units or up
    /// to the extent's end.
    fn stored(&self, index: u64, clear: Range<u64>) -> Range<u64>;

    /// Opens what [`Frame::stored`] names; returns exactly its clear bytes.
    fn open(&self, index: u64, clear: Range<u64>, stored: &[u8]) -> Result<Vec<u8>, FsError>;

    /// As [`Frame::open`]. `spare` may have memory of a length, whose content does not matter; what is opened is never held
    /// twice.
    fn open_with(
        &self,
        index: u64,
        clear: Range<u64>,
        stored: &[u8],
        _spare: &dyn Fn(usize) -> Vec<u8>,
    ) -> Result<Vec<u8>, FsError> {
        self.open(index, clear, stored)
    }

    /// Most bytes of memory that fetching and opening a part of an extent takes.
    fn room(&self, index: u64, clear: Range<u64>) -> u64 {
        let stored = self.stored(index, clear.clone());
        (stored.end - stored.start) + (clear.end - clear.start)
    }

    /// Starts the next version, with all extents as they are.
    ///
    /// # Errors
    /// [`FsError::NotSupported`] for a file that can only be read.
    fn edit(&self) -> Result<Arc<dyn Codec>, FsError>;

    /// Whether the path is part of the version: then its blob cannot change its name alone.
    fn is_bound(&self) -> bool {
        false
    }

    /// The same version at another path; `None` if its blob is the same there.
    fn at(&self, _path: &str) -> Result<Option<Committed>, FsError> {
        Ok(None)
    }
}

/// The next version of one file, while it is written.
pub(crate) trait Codec: fmt::Debug + Send + Sync {
    /// As [`Frame::extent`].
    fn extent(&self) -> u64;

    /// As [`Frame::unit`].
    fn unit(&self) -> u64;

    /// Bytes of the blob before the first extent.
    fn header(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Whether the blob holds the clear bytes as they are.
    fn is_plain(&self) -> bool {
        false
    }

    /// Whether no extent may be sealed twice, nor taken over from the version before: a version is sealed as a whole, and
    /// the next one starts with [`Frame::edit`].
    fn seals_once(&self) -> bool {
        false
    }

    /// Seals an extent, the header before it if it is the first one; `clear` is all of it. From any thread.
    fn seal(&self, index: u64, clear: &[u8]) -> Result<(Vec<u8>, Mark), FsError>;

    /// As [`Codec::seal`], into `out`, for which `spare` may have memory of a length.
    fn seal_into(
        &self,
        index: u64,
        clear: &[u8],
        out: &mut Vec<u8>,
        _spare: &dyn Fn(usize) -> Vec<u8>,
    ) -> Result<Mark, FsError> {
        let (sealed, mark) = self.seal(index, clear)?;
        *out = sealed;
        Ok(mark)
    }

    /// As [`Codec::seal`], of `len` zeros.
    fn seal_zeros(&self, index: u64, len: u64) -> Result<(Vec<u8>, Mark), FsError> {
        self.seal(index, &vec![0; buffer(len)?])
    }

    /// Makes the first `len` bytes a version at a path, with the extents that were sealed since the last one.
    fn commit(
        &self,
        path: &str,
        len: u64,
        sealed: Vec<Mark>,
        attributes: Attributes,
    ) -> Result<Committed, FsError>;
}

/// What a commit ends with.
pub(crate) struct Committed {
    /// The blob's last bytes, behind the extents.
    pub(crate) trailer: Vec<u8>,
    /// What the blob's metadata must say.
    pub(crate) metadata: Metadata,
    pub(crate) frame: Arc<dyn Frame>,
    /// What a manifest says of it; `None` if that needs the content's digest.
    pub(crate) entry: Option<Entry>,
}

/// Number of extents of `extent` bytes in a file of `len` bytes.
pub(crate) const fn extents(extent: u64, len: u64) -> u64 {
    len.div_ceil(extent)
}

/// Clear bytes of extent `index` in a file of `len` bytes.
pub(crate) fn extent_len(extent: u64, index: u64, len: u64) -> u64 {
    len.saturating_sub(index.saturating_mul(extent)).min(extent)
}

/// What opening a blob shows.
pub(crate) struct Opened {
    pub(crate) frame: Arc<dyn Frame>,
    pub(crate) len: u64,
    pub(crate) attributes: Attributes,
    pub(crate) entry: Option<Entry>,
}

/// A length in memory.
fn buffer(len: u64) -> Result<usize, FormatError> {
    usize::try_from(len).map_err(|_| FormatError::TooLarge)
}

/// [`Frame::stored`] of a reader whose extents have `extent` clear bytes.
fn stored(reader: &dyn Reader, extent: u64, index: u64, clear: &Range<u64>) -> Range<u64> {
    let start = index * extent;
    let plan = reader.plan(start + clear.start..start + clear.end);
    plan.map_or(0..0, |plan| plan.sealed)
}

/// [`Frame::open`] of such a reader.
fn open(
    reader: &dyn Reader,
    extent: u64,
    index: u64,
    clear: &Range<u64>,
    stored: &[u8],
) -> Result<Vec<u8>, FsError> {
    open_with(reader, extent, index, clear, stored, &|length| {
        vec![0; length]
    })
}

/// [`Frame::open_with`] of such a reader.
fn open_with(
    reader: &dyn Reader,
    extent: u64,
    index: u64,
    clear: &Range<u64>,
    stored: &[u8],
    spare: &dyn Fn(usize) -> Vec<u8>,
) -> Result<Vec<u8>, FsError> {
    let start = index * extent;
    let wanted = start + clear.start..start + clear.end;
    let plan = reader
        .plan(wanted.clone())
        .filter(|plan| plan.clear == wanted);
    let plan = plan.ok_or(FormatError::Content {
        offset: wanted.start,
    })?;
    let mut out = spare(buffer(clear.end - clear.start)?);
    reader.open(&plan, stored, &mut out)?;
    Ok(out)
}
