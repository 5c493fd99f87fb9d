mod azure;
mod dataset;
mod draft;
mod manifest;
mod mutation;
mod roundtrip;
mod splices;
mod v1;
mod vectors;

use std::ops::Range;
use std::sync::LazyLock;

use cleanroom_crypto::{Dek, digest};

use crate::v2::{Draft, Salts};
use crate::{Attributes, FormatError, Params, Reader, View, Writer};

/// The smallest sizes: extents of two segments.
pub(crate) const SMALL: Params = match Params::new(12, 13) {
    Ok(params) => params,
    Err(_) => panic!(),
};

pub(crate) fn dek() -> Dek {
    let bytes: Vec<u8> = (0..32).collect();
    Dek::from_slice(&bytes).unwrap()
}

pub(crate) fn other_dek() -> Dek {
    Dek::from_slice(&[9; 32]).unwrap()
}

/// First bytes of SHA-256(u64le 0) ‖ SHA-256(u64le 1) ‖ …
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    static ALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
        (0..17_u64 << 15)
            .flat_map(|index| digest::sha256(&index.to_le_bytes()))
            .collect()
    });
    ALL[..length].to_vec()
}

pub(crate) fn recorded_draft(params: Params, path: Option<&str>, file_id: [u8; 16]) -> Draft {
    let salts = Salts::Recorded(|index| {
        let salt = digest::sha256(&[&b"salt"[..], &index.to_le_bytes()].concat());
        salt[..16].try_into().unwrap()
    });
    Draft::with(&dek(), params, path, file_id, salts).unwrap()
}

pub(crate) fn finish(writer: &mut Writer, clear: &[u8]) -> Vec<u8> {
    let mut blob = writer.write(writer.len(), clear).unwrap().concat();
    blob.extend(writer.commit(Attributes::default()).unwrap().tail);
    blob
}

/// Reads a whole file of format v2 as a mount does: the tail, then everything.
pub(crate) fn read(blob: &[u8], path: Option<&str>) -> Result<Vec<u8>, FormatError> {
    let view = View::open(&dek(), blob.len() as u64, blob, path)?;
    read_range(&view, blob, 0..view.len())
}

/// Reads a range of a file as a mount does.
pub(crate) fn read_range(
    reader: &dyn Reader,
    blob: &[u8],
    range: Range<u64>,
) -> Result<Vec<u8>, FormatError> {
    let Some(plan) = reader.plan(range.clone()) else {
        return Ok(Vec::new());
    };
    let mut clear = vec![1; size(plan.clear.end - plan.clear.start)];
    let sealed = blob
        .get(size(plan.sealed.start)..size(plan.sealed.end))
        .expect("a plan within the blob");
    let opened = reader.open(&plan, sealed, &mut clear);
    if opened.is_err() {
        assert!(clear.iter().all(|byte| *byte == 0), "nothing is released");
    }
    opened?;
    let start = size(range.start - plan.clear.start);
    let end = size(range.end.min(plan.clear.end) - plan.clear.start);
    Ok(clear[start..end].to_vec())
}

pub(crate) fn size(length: u64) -> usize {
    usize::try_from(length).unwrap()
}
