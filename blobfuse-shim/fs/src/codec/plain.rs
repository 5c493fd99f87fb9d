use std::ops::Range;
use std::sync::Arc;

use blob_format::Attributes;
use blob_format::manifest::Entry;

use super::{Codec, Mark, Opened};
use crate::FsError;

/// As the extents of format v2.
pub(super) const EXTENT: u64 = 4 << 20;
pub(super) const UNIT: u64 = 64 << 10;

/// Content as it is; the service encrypts.
#[derive(Debug)]
pub(super) struct Plain;

pub(super) fn open(blob_len: u64) -> Opened {
    let extents = usize::try_from(blob_len.div_ceil(EXTENT)).unwrap_or(usize::MAX);
    Opened {
        codec: Arc::new(Plain),
        len: blob_len,
        generation: 0,
        marks: vec![[0; 16]; extents.min(1 << 22)],
        attributes: Attributes::default(),
        entry: None,
    }
}

impl Codec for Plain {
    fn extent(&self) -> u64 {
        EXTENT
    }

    fn unit(&self) -> u64 {
        UNIT
    }

    fn header(&self) -> &[u8] {
        &[]
    }

    fn stored(&self, index: u64, clear: Range<u64>) -> Range<u64> {
        let start = index * EXTENT;
        start + clear.start..start + clear.end
    }

    fn seal(&self, _index: u64, clear: &[u8]) -> Result<(Vec<u8>, Mark), FsError> {
        Ok((clear.to_vec(), [0; 16]))
    }

    fn open(
        &self,
        _index: u64,
        _clear: Range<u64>,
        _mark: &Mark,
        stored: Vec<u8>,
    ) -> Result<Vec<u8>, FsError> {
        Ok(stored)
    }

    fn trailer(
        &self,
        _path: &str,
        _len: u64,
        _generation: u64,
        _marks: &[Mark],
        _attributes: Attributes,
    ) -> Result<(Vec<u8>, Option<Entry>), FsError> {
        Ok((Vec::new(), None))
    }
}
