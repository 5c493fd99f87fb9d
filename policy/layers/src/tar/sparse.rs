//! Sparse files: the GNU format's own (type `S`) and the three PAX forms 0.0, 0.1 and 1.0.

use std::io::BufRead;

use super::header::{Format, Header, Malformed, field};
use super::number::{decimal, numeric};
use super::pax::{Records, SPARSE_MAP};
use super::{BLOCK, META_CAP, TarReader};
use crate::LayerError;

const OUT_OF_ORDER: Malformed = Malformed("the map of a sparse file is malformed");

/// Where the data of a sparse file goes: offset and length of each piece, in order.
#[derive(Debug, Default)]
pub(super) struct Map(Vec<(u64, u64)>);

impl Map {
    pub(super) fn pieces(self) -> impl Iterator<Item = (u64, u64)> {
        self.0.into_iter()
    }

    fn push(&mut self, offset: i64, length: i64) -> Result<(), Malformed> {
        let (Ok(offset), Ok(length)) = (u64::try_from(offset), u64::try_from(length)) else {
            return Err(OUT_OF_ORDER);
        };
        let before = self.0.last().map_or(0, |(offset, length)| offset + length);
        if offset < before {
            return Err(OUT_OF_ORDER);
        }
        // Two values below 2^63 each.
        self.0.push((offset, length));
        Ok(())
    }

    fn check(self, size: i64) -> Result<Self, Malformed> {
        let end = self.0.last().map_or(0, |(offset, length)| offset + length);
        match u64::try_from(size) {
            Ok(size) if end <= size => Ok(self),
            _ => Err(OUT_OF_ORDER),
        }
    }
}

impl<R: BufRead> TarReader<R> {
    /// Reads the map that follows the header of a sparse entry and corrects name and size. `None`: not sparse.
    pub(super) fn sparse_map(
        &mut self,
        header: &mut Header,
        block: &[u8; BLOCK],
        records: &Records,
    ) -> Result<Option<Map>, LayerError> {
        let map = if header.kind == b'S' {
            self.gnu_map(header, block)?
        } else {
            match self.pax_map(header, records)? {
                Some(map) => map,
                None => return Ok(None),
            }
        };
        if super::header_only(header.kind) {
            return Err(self.malformed(Malformed("an entry without data is sparse")));
        }
        map.check(header.size)
            .map(Some)
            .map_err(|error| self.malformed(error))
    }

    fn gnu_map(&mut self, header: &mut Header, block: &[u8; BLOCK]) -> Result<Map, LayerError> {
        if header.format != Format::Gnu {
            return Err(self.malformed(Malformed("a sparse entry outside the GNU format")));
        }
        let mut map = Map::default();
        header.size =
            numeric(field(block, 483..495)).ok_or_else(|| self.malformed(OUT_OF_ORDER))?;
        push_entries(&mut map, field(block, 386..482)).map_err(|error| self.malformed(error))?;
        let mut more = field(block, 482..483) != [0];
        let mut extension = [0_u8; BLOCK];
        let mut read = 0;
        while more {
            read += BLOCK;
            if read > META_CAP {
                return Err(self.malformed(Malformed(
                    "the map of a sparse file is larger than any honest one",
                )));
            }
            self.input.exact(&mut extension)?;
            push_entries(&mut map, field(&extension, 0..504))
                .map_err(|error| self.malformed(error))?;
            more = field(&extension, 504..505) != [0];
        }
        Ok(map)
    }

    fn pax_map(
        &mut self,
        header: &mut Header,
        records: &Records,
    ) -> Result<Option<Map>, LayerError> {
        let version = |key| records.value(key).unwrap_or_default();
        let leading = match (version(b"GNU.sparse.major"), version(b"GNU.sparse.minor")) {
            (b"0", b"0" | b"1") => false,
            (b"1", b"0") => true,
            (b"", b"") if records.value(SPARSE_MAP).is_some() => false,
            _ => return Ok(None),
        };
        if let Some(name) = records.value(b"GNU.sparse.name") {
            header.name = name.to_vec();
        }
        let size = records
            .value(b"GNU.sparse.size")
            .or_else(|| records.value(b"GNU.sparse.realsize"));
        if let Some(size) = size {
            header.size = decimal(size).ok_or_else(|| self.malformed(OUT_OF_ORDER))?;
        }
        if leading {
            return self.leading_map().map(Some);
        }
        let map = listed_map(records).map_err(|error| self.malformed(error))?;
        Ok(Some(map))
    }

    /// Format 1.0: the map is decimal lines in the first blocks of the data.
    fn leading_map(&mut self) -> Result<Map, LayerError> {
        let mut lines = Lines::default();
        let count = self.line(&mut lines)?;
        let mut map = Map::default();
        for _ in 0..count {
            let (offset, length) = (self.line(&mut lines)?, self.line(&mut lines)?);
            map.push(offset, length)
                .map_err(|error| self.malformed(error))?;
        }
        Ok(map)
    }

    fn line(&mut self, lines: &mut Lines) -> Result<i64, LayerError> {
        loop {
            let unread = lines.text.get(lines.at..).unwrap_or_default();
            if let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                lines.at += end + 1;
                let number = unread.get(..end).and_then(decimal);
                return number
                    .filter(|number| *number >= 0)
                    .ok_or_else(|| self.malformed(OUT_OF_ORDER));
            }
            if lines.text.len() >= META_CAP {
                return Err(self.malformed(Malformed(
                    "the map of a sparse file is larger than any honest one",
                )));
            }
            let mut block = [0_u8; BLOCK];
            if self.physical < BLOCK as u64 {
                return Err(self.malformed(OUT_OF_ORDER));
            }
            self.input.exact(&mut block)?;
            self.physical -= BLOCK as u64;
            lines.text.extend_from_slice(&block);
        }
    }
}

/// The part of a leading map that has been read.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    at: usize,
}

/// Formats 0.0 and 0.1: one record of numbers.
fn listed_map(records: &Records) -> Result<Map, Malformed> {
    let count = records.value(b"GNU.sparse.numblocks").and_then(decimal);
    let list = records.value(SPARSE_MAP).unwrap_or_default();
    let numbers: Option<Vec<i64>> = match list {
        [] => Some(Vec::new()),
        list => list.split(|byte| *byte == b',').map(decimal).collect(),
    };
    let numbers = numbers.ok_or(OUT_OF_ORDER)?;
    if count.and_then(|count| usize::try_from(count).ok()?.checked_mul(2)) != Some(numbers.len()) {
        return Err(OUT_OF_ORDER);
    }
    let mut map = Map::default();
    for pair in numbers.chunks_exact(2) {
        if let [offset, length] = pair {
            map.push(*offset, *length)?;
        }
    }
    Ok(map)
}

/// Entries of 24 bytes up to the first unused one.
fn push_entries(map: &mut Map, entries: &[u8]) -> Result<(), Malformed> {
    for entry in entries.chunks_exact(24) {
        if entry.first() == Some(&0) {
            break;
        }
        let (offset, length) = entry.split_at_checked(12).ok_or(OUT_OF_ORDER)?;
        let (Some(offset), Some(length)) = (numeric(offset), numeric(length)) else {
            return Err(OUT_OF_ORDER);
        };
        map.push(offset, length)?;
    }
    Ok(())
}
