//! Ranges: `bytes=a-b` and `bytes=a-`; the service knows no suffix form.
use bytes::Bytes;

use super::fault::{BlobFault, bad_header};
use super::request::Call;
use super::store::{Block, length_of};

/// Half-open range of a blob, clamped to its length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The range asked for; `x-ms-range` wins over `Range`.
pub(super) fn asked(call: &Call, length: u64) -> Result<Option<Range>, BlobFault> {
    let (name, text) = match (call.header("x-ms-range"), call.header("range")) {
        (Some(text), _) => ("x-ms-range", text),
        (None, Some(text)) => ("Range", text),
        (None, None) => return Ok(None),
    };
    let (start, last) = parse(text).ok_or_else(|| bad_header(name))?;
    if start >= length {
        let says = format!("bytes */{length}");
        let text = "The range specified is invalid for the current size of the resource.";
        return Err(BlobFault::new(416, "InvalidRange", text).with("content-range", says));
    }
    let end = last.map_or(length, |last| last.saturating_add(1).min(length));
    Ok(Some(Range { start, end }))
}

fn parse(text: &str) -> Option<(u64, Option<u64>)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start = digits(first)?;
    if last.is_empty() {
        return Some((start, None));
    }
    let last = digits(last)?;
    (last >= start).then_some((start, Some(last)))
}

fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// The parts of `blocks` within `range`, without copying.
pub(super) fn slices(blocks: &[Block], range: Range) -> Vec<Bytes> {
    let mut found = Vec::new();
    let mut at = 0_u64;
    for block in blocks {
        let end = at + length_of(&block.data);
        if end > range.start && at < range.end {
            let from = usize::try_from(range.start.saturating_sub(at)).unwrap_or(usize::MAX);
            let to = usize::try_from(range.end.min(end) - at).unwrap_or(usize::MAX);
            found.push(block.data.slice(from..to));
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_range_forms_of_the_service_parse() {
        assert_eq!(parse("bytes=0-0"), Some((0, Some(0))));
        assert_eq!(parse("bytes=7-"), Some((7, None)));
        for refused in [
            "bytes=-5",
            "bytes=5-4",
            "bytes=+1-2",
            "bytes=1-2,4-5",
            "0-1",
            "bytes=a-b",
            "bytes=-",
        ] {
            assert_eq!(parse(refused), None, "{refused}");
        }
    }

    #[test]
    fn slices_cross_block_borders() {
        let block = |data: &'static [u8]| Block {
            id: String::new(),
            data: Bytes::from_static(data),
            key: None,
        };
        let blocks = [block(b"abc"), block(b""), block(b"def"), block(b"g")];
        let joined = |start, end| slices(&blocks, Range { start, end }).concat();
        assert_eq!(joined(0, 7), b"abcdefg");
        assert_eq!(joined(2, 4), b"cd");
        assert_eq!(joined(6, 7), b"g");
        assert_eq!(joined(3, 6), b"def");
    }
}
