mod mutation;
mod roundtrip;
mod vectors;

use cleanroom_crypto::{Dek, digest};

use crate::writer::Salts;
use crate::{Attributes, FormatError, Params, View, Writer};

pub(crate) fn dek() -> Dek {
    let bytes: Vec<u8> = (0..32).collect();
    Dek::from_slice(&bytes).unwrap()
}

/// First bytes of SHA-256(u64le 0) ‖ SHA-256(u64le 1) ‖ …
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 32);
    for index in 0_u64.. {
        if out.len() >= length {
            break;
        }
        out.extend_from_slice(&digest::sha256(&index.to_le_bytes()));
    }
    out.truncate(length);
    out
}

pub(crate) fn recorded_writer(params: Params, path: Option<&str>) -> Writer {
    let file_id: Vec<u8> = (0xf0..=0xff).collect();
    let salts = Salts::Recorded(|index| {
        let salt = digest::sha256(&[&b"salt"[..], &index.to_le_bytes()].concat());
        salt[..16].try_into().unwrap()
    });
    Writer::with(&dek(), params, path, file_id.try_into().unwrap(), salts).unwrap()
}

pub(crate) fn finish(writer: &mut Writer, clear: &[u8]) -> Vec<u8> {
    let mut blob = writer.write(writer.len(), clear).unwrap().concat();
    blob.extend(writer.commit(Attributes::default()).unwrap().tail);
    blob
}

/// Reads a whole file as a mount does: the tail, then everything.
pub(crate) fn read(blob: &[u8], path: Option<&str>) -> Result<Vec<u8>, FormatError> {
    let view = View::open(&dek(), blob.len() as u64, blob, path)?;
    read_range(&view, blob, 0..view.len())
}

pub(crate) fn read_range(
    view: &View,
    blob: &[u8],
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, FormatError> {
    let index = |at: u64| usize::try_from(at).unwrap();
    let Some(plan) = view.plan(range.clone()) else {
        // An empty file has no segment to bring the header along.
        return Ok(Vec::new());
    };
    let sealed = blob[index(plan.sealed.start)..index(plan.sealed.end)].to_vec();
    let clear = view.decrypt(&plan, sealed)?;
    let start = index(range.start - plan.clear.start);
    let end = index(range.end.min(plan.clear.end) - plan.clear.start);
    Ok(clear[start..end].to_vec())
}
