//! Where a file's blocks are: one run of consecutive blocks, in extents of 128 MiB.

use super::xattr::put;
use crate::LayerError;
use crate::device::{BLOCK, Block, Device, Sink};

/// The 60 bytes of an inode that describe its content.
pub(super) const ROOT: usize = 60;
const EXTENT_BLOCKS: u32 = 32_768;
const IN_ROOT: u32 = 4;
const IN_LEAF: u32 = 340;
const MAGIC: u16 = 0xf30a;

/// Largest file, 42.4 GiB: from 340 extents on the reference begins a second leaf block, and writes wrong trees.
pub(super) const LARGEST: u64 = (IN_LEAF as u64 - 1) * (EXTENT_BLOCKS as u64) * (BLOCK as u64);

/// Content on the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) blocks: u32,
    /// The block with the extents that do not fit into the inode.
    leaf: Option<u32>,
}

impl Run {
    /// Describes the blocks from `first` up to the device's next one, which may take another block.
    pub(super) fn end<S: Sink>(device: &mut Device<S>, first: u32) -> Result<Self, LayerError> {
        device.pad();
        let mut run = Self {
            first,
            blocks: device.next().saturating_sub(first),
            leaf: None,
        };
        if run.extents() > IN_ROOT {
            run.leaf = Some(device.next());
            let mut leaf: Block = [0; BLOCK];
            put(&mut leaf, 0, &header(run.extents(), IN_LEAF, 0));
            run.write_extents(&mut leaf);
            device.append(&leaf)?;
        }
        Ok(run)
    }

    /// Blocks of content and of its description.
    pub(super) fn allocated(&self) -> u32 {
        self.blocks.saturating_add(u32::from(self.leaf.is_some()))
    }

    pub(super) fn root(&self) -> [u8; ROOT] {
        let mut root = [0; ROOT];
        match self.leaf {
            None => {
                put(&mut root, 0, &header(self.extents(), IN_ROOT, 0));
                self.write_extents(&mut root);
            }
            Some(leaf) => {
                put(&mut root, 0, &header(1, IN_ROOT, 1));
                // First logical block 0, then the leaf's number.
                put(&mut root, 16, &leaf.to_le_bytes());
            }
        }
        root
    }

    fn extents(&self) -> u32 {
        self.blocks.div_ceil(EXTENT_BLOCKS)
    }

    fn write_extents(&self, node: &mut [u8]) {
        let mut at = 12;
        let mut logical = 0;
        while logical < self.blocks {
            let length = u32::min(self.blocks - logical, EXTENT_BLOCKS);
            put(node, at, &logical.to_le_bytes());
            // At most 0x8000: the low half of the number.
            put(
                node,
                at + 4,
                length.to_le_bytes().first_chunk::<2>().unwrap_or(&[0; 2]),
            );
            put(
                node,
                at + 8,
                &(self.first.saturating_add(logical)).to_le_bytes(),
            );
            logical += length;
            at += 12;
        }
    }
}

fn header(entries: u32, most: u32, depth: u16) -> [u8; 12] {
    let mut header = [0; 12];
    put(&mut header, 0, &MAGIC.to_le_bytes());
    put(
        &mut header,
        2,
        entries.to_le_bytes().first_chunk::<2>().unwrap_or(&[0; 2]),
    );
    put(
        &mut header,
        4,
        most.to_le_bytes().first_chunk::<2>().unwrap_or(&[0; 2]),
    );
    put(&mut header, 6, &depth.to_le_bytes());
    header
}
