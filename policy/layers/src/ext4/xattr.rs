//! Extended attributes: in the inode while there is room, in a block of their own beyond.

use std::collections::BTreeMap;

use super::order::sort;
use crate::device::{BLOCK, Block};

/// Bytes at the end of an inode: a magic number and the area of the attributes.
pub(super) const INLINE: usize = 104;
const AREA: usize = 100;
/// Four zero bytes end the list of entries.
const INLINE_ROOM: usize = AREA - 4;
const HEADER: usize = 32;
const BLOCK_ROOM: usize = BLOCK - HEADER - 4;
const MAGIC: u32 = 0xea02_0000;

/// Prefixes that a number stands for, the first match counts.
const PREFIXES: [(&[u8], u8); 7] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"system.richacl", 8),
    (b"system.", 7),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// Attributes by full name.
pub(super) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where each attribute goes, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) inline: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) block: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Finds a place for each attribute; the error is the name of the first that fits nowhere.
pub(super) fn place(xattrs: Xattrs) -> Result<Placed, Vec<u8>> {
    let (mut inline_room, mut block_room) = (INLINE_ROOM, BLOCK_ROOM);
    let mut placed = Placed::default();
    for (name, value) in xattrs {
        let length =
            16 + compressed(&name).1.len().next_multiple_of(4) + value.len().next_multiple_of(4);
        if length <= inline_room {
            inline_room -= length;
            placed.inline.push((name, value));
        } else if length <= block_room {
            block_room -= length;
            placed.block.push((name, value));
        } else {
            return Err(name);
        }
    }
    Ok(placed)
}

/// The end of an inode.
pub(super) fn inline_area(xattrs: &[(Vec<u8>, Vec<u8>)]) -> [u8; INLINE] {
    let mut area = [0; INLINE];
    if !xattrs.is_empty() {
        let entries: Vec<_> = xattrs.iter().map(Attribute::new).collect();
        put(&mut area, 0, &MAGIC.to_le_bytes());
        write(&mut area, &entries, 4, 4);
    }
    area
}

/// An attribute block; it may have no entries.
pub(super) fn block(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Block {
    let mut block = [0; BLOCK];
    put(&mut block, 0, &MAGIC.to_le_bytes());
    put(&mut block, 4, &1_u32.to_le_bytes());
    put(&mut block, 8, &1_u32.to_le_bytes());
    let mut entries: Vec<_> = xattrs.iter().map(Attribute::new).collect();
    sort(&mut entries, |a, b| {
        a.index < b.index || a.name.len() < b.name.len() || a.name < b.name
    });
    write(&mut block, &entries, HEADER, 0);
    block
}

struct Attribute<'a> {
    index: u8,
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn new((name, value): &'a (Vec<u8>, Vec<u8>)) -> Self {
        let (index, name) = compressed(name);
        Self { index, name, value }
    }

    fn hash(&self) -> u32 {
        let mut hash = 0_u32;
        for byte in self.name {
            hash = (hash << 5) ^ (hash >> 27) ^ u32::from(*byte);
        }
        for word in self.value.chunks(4) {
            let mut padded = [0; 4];
            put(&mut padded, 0, word);
            hash = (hash << 16) ^ (hash >> 16) ^ u32::from_le_bytes(padded);
        }
        hash
    }
}

fn compressed(name: &[u8]) -> (u8, &[u8]) {
    let short = |(prefix, index): &(&[u8], u8)| Some((*index, name.strip_prefix(*prefix)?));
    PREFIXES.iter().find_map(short).unwrap_or((0, name))
}

/// Entries from `start` on, values from the end backwards; offsets are counted from `origin`.
fn write(area: &mut [u8], attributes: &[Attribute<'_>], start: usize, origin: usize) {
    let (mut at, mut end) = (start, area.len());
    for attribute in attributes {
        let name = attribute.name;
        end = end.saturating_sub(attribute.value.len().next_multiple_of(4));
        let mut entry = [0; 16];
        let [length, ..] = (name.len() as u64).to_le_bytes();
        put(&mut entry, 0, &[length, attribute.index]);
        let offset = u16::try_from(end.saturating_sub(origin)).unwrap_or_default();
        put(&mut entry, 2, &offset.to_le_bytes());
        let size = u32::try_from(attribute.value.len()).unwrap_or_default();
        put(&mut entry, 8, &size.to_le_bytes());
        put(&mut entry, 12, &attribute.hash().to_le_bytes());
        put(area, at, &entry);
        put(area, at + 16, name);
        put(area, end, attribute.value);
        at += 16 + name.len().next_multiple_of(4);
    }
}

/// Copies into a buffer what fits; callers have made room.
pub(super) fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    let end = at.saturating_add(bytes.len());
    if let Some(place) = buffer.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}
