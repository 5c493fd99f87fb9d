//! The blocks of a directory: its entries by inode number, then name.

use super::xattr::put;
use crate::LayerError;
use crate::device::{BLOCK, Device, Sink};

/// Bytes of an entry without its name. Every block ends with an unused one.
const ENTRY: usize = 8;
const UNUSED: usize = 12;

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) inode: u32,
    pub(super) kind: u8,
    pub(super) name: &'a [u8],
}

/// Writes a directory's blocks.
pub(super) fn write<'a, S: Sink>(
    device: &mut Device<S>,
    entries: impl Iterator<Item = Entry<'a>>,
) -> Result<(), LayerError> {
    let mut left = BLOCK;
    for entry in entries {
        let length = (ENTRY + entry.name.len()).next_multiple_of(4);
        if left < length + UNUSED {
            close(device, left)?;
            left = BLOCK;
        }
        let name = u8::try_from(entry.name.len()).unwrap_or_default();
        device.append(&head(entry.inode, length, name, entry.kind))?;
        device.append(entry.name)?;
        let padding = length - ENTRY - entry.name.len();
        device.append([0; 4].get(..padding).unwrap_or_default())?;
        left -= length;
    }
    close(device, left)
}

fn close<S: Sink>(device: &mut Device<S>, left: usize) -> Result<(), LayerError> {
    device.append(&head(0, left, 0, 0))?;
    device.pad();
    Ok(())
}

fn head(inode: u32, length: usize, name: u8, kind: u8) -> [u8; ENTRY] {
    let mut head = [0; ENTRY];
    put(&mut head, 0, &inode.to_le_bytes());
    put(
        &mut head,
        4,
        &u16::try_from(length).unwrap_or_default().to_le_bytes(),
    );
    put(&mut head, 6, &[name, kind]);
    head
}
