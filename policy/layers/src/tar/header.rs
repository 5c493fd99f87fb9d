//! One header block of 512 bytes.

use std::ops::Range;

use super::number::{numeric, octal, text};
use super::{BLOCK, Time};

/// The variants of the format differ in what follows the fields of 1979.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// A header, as it stands.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) format: Format,
    pub(super) kind: u8,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: i64,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) size: i64,
    pub(super) mtime: Option<Time>,
    pub(super) atime: Option<Time>,
    pub(super) ctime: Option<Time>,
    pub(super) device: (i64, i64),
}

/// Why a block is no header.
#[derive(Debug)]
pub(super) struct Malformed(pub(super) &'static str);

pub(super) fn field(block: &[u8; BLOCK], range: Range<usize>) -> &[u8] {
    block.get(range).unwrap_or_default()
}

fn number(block: &[u8; BLOCK], range: Range<usize>) -> Result<i64, Malformed> {
    numeric(field(block, range)).ok_or(Malformed("a field is not the number it should be"))
}

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, Malformed> {
        let format = format(block)?;
        let mut header = Self {
            format,
            kind: field(block, 156..157).first().copied().unwrap_or_default(),
            name: text(field(block, 0..100)).to_vec(),
            link: text(field(block, 157..257)).to_vec(),
            mode: number(block, 100..108)?,
            uid: number(block, 108..116)?,
            gid: number(block, 116..124)?,
            size: number(block, 124..136)?,
            mtime: Some(Time::seconds(number(block, 136..148)?)),
            atime: None,
            ctime: None,
            device: (0, 0),
        };
        if format == Format::V7 {
            return Ok(header);
        }
        header.device = (number(block, 329..337)?, number(block, 337..345)?);
        let prefix = match format {
            Format::V7 => &[],
            Format::Ustar => text(field(block, 345..500)),
            Format::Star => {
                header.atime = Some(Time::seconds(number(block, 476..488)?));
                header.ctime = Some(Time::seconds(number(block, 488..500)?));
                text(field(block, 345..476))
            }
            Format::Gnu => header.gnu_times(block),
        };
        if !prefix.is_empty() {
            header.name = [prefix, b"/", &header.name].concat();
        }
        Ok(header)
    }

    /// Reads the times of the GNU format. A writer of 2016 put a prefix there: then there are no times, and the prefix is
    /// returned.
    fn gnu_times<'b>(&mut self, block: &'b [u8; BLOCK]) -> &'b [u8] {
        let time = |range: Range<usize>| match field(block, range) {
            [0, ..] | [] => Ok(None),
            field => numeric(field)
                .map(|seconds| Some(Time::seconds(seconds)))
                .ok_or(()),
        };
        if let (Ok(atime), Ok(ctime)) = (time(345..357), time(357..369)) {
            (self.atime, self.ctime) = (atime, ctime);
            return &[];
        }
        let prefix = text(field(block, 345..500));
        if prefix.is_ascii() { prefix } else { &[] }
    }
}

/// The format, if the checksum is right: over unsigned bytes, or over signed ones as some old writers did.
fn format(block: &[u8; BLOCK]) -> Result<Format, Malformed> {
    let spaced = |(at, byte): (usize, &u8)| {
        if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        }
    };
    let bytes = || block.iter().enumerate().map(spaced);
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    let stated = octal(field(block, 148..156));
    if stated != Some(unsigned) && stated != Some(signed) {
        return Err(Malformed("the checksum of a header is wrong"));
    }
    Ok(match field(block, 257..265) {
        [b'u', b's', b't', b'a', b'r', 0, ..] if field(block, 508..512) == b"tar\0" => Format::Star,
        [b'u', b's', b't', b'a', b'r', 0, ..] => Format::Ustar,
        b"ustar  \0" => Format::Gnu,
        _ => Format::V7,
    })
}
