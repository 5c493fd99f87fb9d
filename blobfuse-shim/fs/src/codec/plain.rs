use std::ops::Range;
use std::sync::Arc;

use blob_format::Attributes;
use blob_store::Metadata;

use super::{Codec, Committed, Frame, Mark, Opened};
use crate::FsError;

/// As the extents of format v2.
pub(super) const EXTENT: u64 = 4 << 20;
pub(super) const UNIT: u64 = 64 << 10;

/// Content as it is; the service encrypts.
#[derive(Debug)]
pub(super) struct Plain;

pub(super) fn open(blob_len: u64) -> Opened {
    Opened {
        frame: Arc::new(Plain),
        len: blob_len,
        attributes: Attributes::default(),
        entry: None,
    }
}

impl Frame for Plain {
    fn extent(&self) -> u64 {
        EXTENT
    }

    fn unit(&self) -> u64 {
        UNIT
    }

    fn stored(&self, index: u64, clear: Range<u64>) -> Range<u64> {
        let start = index * EXTENT;
        start + clear.start..start + clear.end
    }

    fn open(&self, _index: u64, _clear: Range<u64>, stored: &[u8]) -> Result<Vec<u8>, FsError> {
        Ok(stored.to_vec())
    }

    fn open_with(
        &self,
        _index: u64,
        _clear: Range<u64>,
        stored: &[u8],
        spare: &dyn Fn(usize) -> Vec<u8>,
    ) -> Result<Vec<u8>, FsError> {
        let mut out = spare(stored.len());
        out.copy_from_slice(stored);
        Ok(out)
    }

    fn edit(&self) -> Result<Arc<dyn Codec>, FsError> {
        Ok(Arc::new(Self))
    }
}

impl Codec for Plain {
    fn extent(&self) -> u64 {
        EXTENT
    }

    fn unit(&self) -> u64 {
        UNIT
    }

    fn is_plain(&self) -> bool {
        true
    }

    fn seal(&self, _index: u64, clear: &[u8]) -> Result<(Vec<u8>, Mark), FsError> {
        Ok((clear.to_vec(), None))
    }

    fn commit(
        &self,
        _path: &str,
        _len: u64,
        _sealed: Vec<Mark>,
        _attributes: Attributes,
    ) -> Result<Committed, FsError> {
        Ok(Committed {
            trailer: Vec::new(),
            metadata: Metadata::new(),
            frame: Arc::new(Self),
            entry: None,
        })
    }
}
