//! A tar reader that accepts and refuses what the reference's does.
//!
//! The hash of a layer depends on how its tar is read where writers differ: which of two names wins, what a header of an
//! unknown type is, when an archive ends. The rules are in `docs/layer-hashes.md`; no general tar library follows them.

mod header;
mod input;
mod number;
mod pax;
mod sparse;

use std::collections::BTreeMap;
use std::io::BufRead;

use self::header::{Header, Malformed};
use self::input::{Filled, Input};
use self::pax::Records;
use self::sparse::Map;
use crate::{LayerError, Limits};

const BLOCK: usize = 512;
/// Largest body of an extended header, of a long name, and of a sparse map.
const META_CAP: usize = 1 << 20;

/// A point in time: seconds since 1970, and nanoseconds after them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl Time {
    pub(crate) fn seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }
}

/// One entry, with everything that extended records and long names say about it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The type's letter; 0 has become `0` or `5`.
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes of content, holes included.
    pub(crate) size: u64,
    pub(crate) mtime: Option<Time>,
    pub(crate) atime: Option<Time>,
    pub(crate) ctime: Option<Time>,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A part of an entry's content.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Data(&'a [u8]),
    Hole(u64),
}

/// Reads entries one after the other.
#[derive(Debug)]
pub(crate) struct TarReader<R> {
    input: Input<R>,
    limits: Limits,
    entries: u64,
    /// Data bytes of the current entry that are still in the stream, and the padding after them.
    physical: u64,
    padding: usize,
    size: u64,
    map: Option<Map>,
}

impl<R: BufRead> TarReader<R> {
    pub(crate) fn new(stream: R, limits: Limits) -> Self {
        Self {
            input: Input::new(stream),
            limits,
            entries: 0,
            physical: 0,
            padding: 0,
            size: 0,
            map: None,
        }
    }

    /// The next entry, past what is left of the current one. `None`: the archive has ended; what follows it is not read.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut records = Records::default();
        let (mut long_name, mut long_link) = (Vec::new(), Vec::new());
        loop {
            let mut block = [0_u8; BLOCK];
            if !self.next_header(&mut block)? {
                return Ok(None);
            }
            let mut header = Header::parse(&block).map_err(|error| self.malformed(error))?;
            self.expect(&header)?;
            match header.kind {
                b'x' => records = self.records()?,
                b'g' => {
                    let records = self.records()?;
                    records
                        .apply(&mut header)
                        .map_err(|error| self.malformed(error))?;
                    return self.global(header.name, &records).map(Some);
                }
                b'L' => long_name = number::text(&self.meta()?).to_vec(),
                b'K' => long_link = number::text(&self.meta()?).to_vec(),
                _ => {
                    records
                        .apply(&mut header)
                        .map_err(|error| self.malformed(error))?;
                    if !long_name.is_empty() {
                        header.name = long_name;
                    }
                    if !long_link.is_empty() {
                        header.link = long_link;
                    }
                    return self.entry(header, &block, &records).map(Some);
                }
            }
        }
    }

    /// Hands the current entry's content on, in order. Content can be read once; what is not read is skipped.
    pub(crate) fn content(
        &mut self,
        mut take: impl FnMut(Piece<'_>) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        let Some(map) = self.map.take() else {
            let all = self.physical;
            return self.copy(all, &mut take);
        };
        let mut at = 0;
        for (offset, length) in map.pieces() {
            take(Piece::Hole(offset.saturating_sub(at)))?;
            if length > self.physical {
                return Err(
                    self.malformed(Malformed("a sparse file has less data than its map says"))
                );
            }
            self.copy(length, &mut take)?;
            at = offset.saturating_add(length);
        }
        if self.physical > 0 {
            return Err(self.malformed(Malformed("a sparse file has more data than its map says")));
        }
        take(Piece::Hole(self.size.saturating_sub(at)))
    }

    fn copy(
        &mut self,
        mut length: u64,
        take: &mut impl FnMut(Piece<'_>) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        while length > 0 {
            let part = self.input.part(length)?;
            let read = part.len();
            take(Piece::Data(part))?;
            self.input.consume(read);
            length -= read as u64;
            self.physical -= read as u64;
        }
        Ok(())
    }

    /// Reads a header; false at the end of the archive.
    fn next_header(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, LayerError> {
        self.map = None;
        let left = std::mem::take(&mut self.physical);
        self.input.skip(left)?;
        // The reference takes an archive that ends within padding for whole.
        let mut padding = [0_u8; BLOCK];
        let padding = padding
            .get_mut(..std::mem::take(&mut self.padding))
            .unwrap_or_default();
        if !padding.is_empty() && self.input.fill(padding)? != Filled::Whole {
            return Ok(false);
        }
        match self.input.fill(block)? {
            Filled::Nothing => return Ok(false),
            Filled::Part => return Err(self.input.truncated()),
            Filled::Whole if *block != [0; BLOCK] => return Ok(true),
            Filled::Whole => {}
        }
        match self.input.fill(block)? {
            Filled::Nothing => Ok(false),
            Filled::Part => Err(self.input.truncated()),
            Filled::Whole if *block == [0; BLOCK] => Ok(false),
            Filled::Whole => {
                Err(self.malformed(Malformed("a block of zeros is followed by more entries")))
            }
        }
    }

    /// Notes how much data follows a header.
    fn expect(&mut self, header: &Header) -> Result<(), LayerError> {
        let size = if header_only(header.kind) {
            0
        } else {
            header.size
        };
        let Ok(size) = u64::try_from(size) else {
            return Err(self.malformed(Malformed("a size is negative")));
        };
        self.physical = size;
        let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        self.padding = (BLOCK - over) % BLOCK;
        Ok(())
    }

    fn entry(
        &mut self,
        mut header: Header,
        block: &[u8; BLOCK],
        records: &Records,
    ) -> Result<Entry, LayerError> {
        if header.kind == 0 {
            header.kind = if header.name.ends_with(b"/") {
                b'5'
            } else {
                b'0'
            };
        }
        self.expect(&header)?;
        self.map = self.sparse_map(&mut header, block, records)?;
        self.size = u64::try_from(header.size).unwrap_or_default();
        self.count(&header.name)?;
        Ok(Entry {
            kind: header.kind,
            mode: low16(header.mode),
            uid: low32(header.uid),
            gid: low32(header.gid),
            size: if header_only(header.kind) {
                0
            } else {
                self.size
            },
            mtime: header.mtime,
            atime: header.atime,
            ctime: header.ctime,
            device: (low32(header.device.0), low32(header.device.1)),
            xattrs: records.xattrs(),
            name: header.name,
            link: header.link,
        })
    }

    /// A global extended header: an entry of its own, of which only name and attributes are kept.
    fn global(&mut self, name: Vec<u8>, records: &Records) -> Result<Entry, LayerError> {
        self.count(&name)?;
        Ok(Entry {
            kind: b'g',
            name,
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: None,
            atime: None,
            ctime: None,
            device: (0, 0),
            xattrs: records.xattrs(),
        })
    }

    fn count(&mut self, name: &[u8]) -> Result<(), LayerError> {
        self.entries = self.entries.saturating_add(1);
        self.limits.entries(self.entries)?;
        self.limits.path(name)
    }

    fn records(&mut self) -> Result<Records, LayerError> {
        let body = self.meta()?;
        Records::parse(&body).map_err(|error| self.malformed(error))
    }

    /// The body of a record that describes the next entry.
    fn meta(&mut self) -> Result<Vec<u8>, LayerError> {
        let length = usize::try_from(self.physical)
            .ok()
            .filter(|length| *length <= META_CAP);
        let Some(length) = length else {
            return Err(self.malformed(Malformed(
                "an extended header or long name is larger than 1 MiB",
            )));
        };
        let mut body = vec![0; length];
        self.input.exact(&mut body)?;
        self.physical = 0;
        Ok(body)
    }

    fn malformed(&self, Malformed(reason): Malformed) -> LayerError {
        LayerError::Tar {
            offset: self.input.offset(),
            reason,
        }
    }
}

/// Types without data, whatever their size field says.
fn header_only(kind: u8) -> bool {
    matches!(kind, b'1'..=b'6')
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the reference keeps the low bits of ids; a negative one wraps"
)]
fn low32(value: i64) -> u32 {
    value as u32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the reference keeps the low bits of a mode"
)]
fn low16(value: i64) -> u16 {
    value as u16
}
