//! Storage as an adversary: it holds genuine files, and gives out of them what it likes.

use std::sync::LazyLock;

use blob_format::{FormatError, Reader};
use cleanroom_crypto::Dek;

/// The data key of `tests/vectors/blob-format`: public.
pub static DEK: LazyLock<Dek> = LazyLock::new(|| {
    let bytes: Vec<u8> = (0..32).collect();
    Dek::from_slice(&bytes).unwrap()
});

/// No file that storage makes is longer, in bytes.
const LONGEST: usize = 64 << 10;

/// Clear bytes that differ everywhere.
pub fn content(length: usize) -> Vec<u8> {
    let numbers = (0_u32..).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes());
    numbers.take(length).collect()
}

/// What storage does to a file, 8 bytes for each step: what, with which genuine file, where, from where, how much.
pub struct Edits<'a>(&'a [u8]);

impl<'a> Edits<'a> {
    /// Reads the steps.
    pub const fn new(steps: &'a [u8]) -> Self {
        Self(steps)
    }

    /// Does them to the genuine file of a number.
    pub fn apply(&self, genuine: &[Vec<u8>], number: usize) -> Vec<u8> {
        let mut blob = genuine[number % genuine.len()].clone();
        for [kind, which, a, b, c, d, e, f] in self.0.as_chunks().0 {
            let other = &genuine[usize::from(*which) % genuine.len()];
            let [at, from, count] =
                [[*a, *b], [*c, *d], [*e, *f]].map(|pair| usize::from(u16::from_le_bytes(pair)));
            let at = at % (blob.len() + 1);
            let from = from % (other.len() + 1);
            let part = &other[from..other.len().min(from + count)];
            let end = blob.len().min(at + count);
            match kind % 5 {
                0 if at < blob.len() => blob[at] ^= which,
                0 | 1 => drop(blob.splice(at..end, part.iter().copied())),
                2 => drop(blob.splice(at..at, part.iter().copied())),
                3 => drop(blob.drain(at..end)),
                _ => blob.truncate(at),
            }
            blob.truncate(LONGEST);
        }
        blob
    }
}

/// Reads a whole file in one piece, in pieces of one unit, and from its middle: the same bytes each time, or an error.
///
/// # Errors
/// The first.
pub fn read(file: &dyn Reader, blob: &[u8]) -> Result<Vec<u8>, FormatError> {
    let whole = part(file, blob, 0..file.len())?;
    let mut at = 0;
    while at < file.len() {
        let end = file.len().min(at + file.unit());
        let clear = part(file, blob, at..end)?;
        assert!(clear == whole[usize::try_from(at).unwrap()..usize::try_from(end).unwrap()]);
        at = end;
    }
    assert_eq!(at, file.len());
    assert!(file.plan(file.len()..u64::MAX).is_none());
    Ok(whole)
}

/// The clear bytes of a range.
///
/// # Errors
/// What the reader tells of changed content.
pub fn part(
    file: &dyn Reader,
    blob: &[u8],
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, FormatError> {
    let Some(plan) = file.plan(range.clone()) else {
        assert!(range.is_empty());
        return Ok(Vec::new());
    };
    assert!(plan.clear.start <= range.start && range.end <= plan.clear.end);
    assert!(plan.clear.end <= file.len() && plan.sealed.end <= blob.len() as u64);
    let [start, end] = [plan.sealed.start, plan.sealed.end].map(|at| usize::try_from(at).unwrap());
    let mut clear = vec![0x55; usize::try_from(plan.clear.end - plan.clear.start).unwrap()];
    let opened = file.open(&plan, &blob[start..end], &mut clear);
    if opened.is_err() {
        assert!(
            clear.iter().all(|byte| *byte == 0),
            "bytes that nobody vouches for"
        );
    }
    opened?;
    let skip = usize::try_from(range.start - plan.clear.start).unwrap();
    let length = usize::try_from(range.end - range.start).unwrap();
    Ok(clear[skip..skip + length].to_vec())
}
