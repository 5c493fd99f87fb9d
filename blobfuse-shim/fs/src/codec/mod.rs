//! Where the clear bytes of a file lie in its blob: `header || extent[0] || … || extent[n-1] || trailer`, every extent
//! of fixed clear size but the last, and sealed on its own.

mod plain;
mod v2;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use blob_format::manifest::Entry;
use blob_format::v2::SealedExtent;
use blob_format::{Attributes, Params, View};
use cleanroom_crypto::Dek;

use crate::{FsError, Mode};

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

    /// As [`Frame::open`], into a buffer of exactly the clear length, whose content does not matter.
    fn fill(
        &self,
        index: u64,
        clear: Range<u64>,
        stored: &[u8],
        out: &mut [u8],
    ) -> Result<(), FsError> {
        let opened = self.open(index, clear, stored)?;
        if opened.len() != out.len() {
            return Err(FsError::Stale);
        }
        out.copy_from_slice(&opened);
        Ok(())
    }

    /// Starts the next version, with all extents as they are.
    fn edit(&self) -> Arc<dyn Codec>;

    /// Whether the content can only be read at the path it was written for.
    fn is_bound(&self) -> bool {
        false
    }
}

/// The next version of one file, while it is written.
pub(crate) trait Codec: fmt::Debug + Send + Sync {
    /// As [`Frame::extent`].
    fn extent(&self) -> u64;

    /// As [`Frame::unit`].
    fn unit(&self) -> u64;

    /// Bytes of the blob before the first extent.
    fn header(&self) -> Vec<u8>;

    /// Seals an extent, the header before it if it is the first one; `clear` is all of it. From any thread.
    fn seal(&self, index: u64, clear: &[u8]) -> Result<(Vec<u8>, Mark), FsError>;

    /// Whether a manifest entry needs the digest of the content.
    fn needs_digest(&self) -> bool {
        false
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

/// How many bytes at the blob's end must be seen to open it.
pub(crate) fn tail_len(mode: Mode, blob_len: u64) -> Result<u64, FsError> {
    match mode {
        Mode::Cpk => Ok(0),
        Mode::CseV2(params) => Ok(View::tail_len(params, blob_len)?),
    }
}

/// How many bytes at the end a tail that may be too short asks for.
pub(crate) fn needed_tail(mode: Mode, blob_len: u64, tail: &[u8]) -> Result<u64, FsError> {
    match mode {
        Mode::Cpk => Ok(0),
        Mode::CseV2(_) => Ok(View::needed_tail(blob_len, tail)?),
    }
}

/// Opens a committed file from the end of its blob.
pub(crate) fn open(
    mode: Mode,
    dek: &Dek,
    path: &str,
    blob_len: u64,
    tail: &[u8],
) -> Result<Opened, FsError> {
    match mode {
        Mode::Cpk => Ok(plain::open(blob_len)),
        Mode::CseV2(_) => v2::open(dek, path, blob_len, tail),
    }
}

/// The layout of a new file.
pub(crate) fn create(mode: Mode, dek: &Dek) -> Result<Arc<dyn Codec>, FsError> {
    Ok(match mode {
        Mode::Cpk => Arc::new(plain::Plain),
        // Sinks are not bound to a path: they could not be renamed.
        Mode::CseV2(params) => Arc::new(v2::V2::create(dek, params)?),
    })
}

/// Clear length of a blob from its length alone; 0 for a length that no file has, which opening then refuses.
pub(crate) fn clear_len(mode: Mode, blob_len: u64) -> u64 {
    match mode {
        Mode::Cpk => blob_len,
        Mode::CseV2(params) => Params::clear_len(params, blob_len).unwrap_or(0),
    }
}

/// Clear bytes of a whole extent and of a unit of files that this mount makes.
pub(crate) const fn sizes(mode: Mode) -> (u64, u64) {
    match mode {
        Mode::Cpk => (plain::EXTENT, plain::UNIT),
        Mode::CseV2(params) => (params.extent(), params.segment()),
    }
}
