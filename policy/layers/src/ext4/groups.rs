//! The end of an image: the inode table, the bitmaps, and the two kinds of blocks at its start that describe them.

use super::xattr::put;
use crate::LayerError;
use crate::device::{BLOCK, Block};

/// The device size for which the reference reserves room: 128 GiB.
const MOST_BLOCKS: u32 = 1 << 25;
pub(super) const GROUP_BLOCKS: u32 = 32_768;
const DESCRIPTORS_IN_BLOCK: u32 = 128;
const INODES_IN_BLOCK: u32 = 16;
/// Inodes below this number are reserved.
pub(super) const FIRST_INODE: u32 = 11;

/// Blocks reserved for group descriptors.
pub(super) const DESCRIPTOR_BLOCKS: u32 = MOST_BLOCKS
    .div_ceil(GROUP_BLOCKS)
    .div_ceil(DESCRIPTORS_IN_BLOCK);

/// How inodes and blocks are divided into groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    pub(super) count: u32,
    pub(super) inodes_per_group: u32,
    table: u32,
    bitmaps: u32,
    /// Blocks with content; zeros follow up to `blocks`.
    pub(super) used: u32,
    pub(super) blocks: u32,
}

impl Groups {
    /// The fewest groups, and of the ways to have so few the one with the fewest inodes per group.
    pub(super) fn choose(table: u32, inodes: u32) -> Result<Self, LayerError> {
        let too_large = || LayerError::TooLarge {
            entry: "the layer".into(),
            what: "the image",
        };
        let mut best: Option<(u32, u32)> = None;
        for inodes_per_group in (INODES_IN_BLOCK..=GROUP_BLOCKS).step_by(INODES_IN_BLOCK as usize) {
            let data = GROUP_BLOCKS - inodes_per_group / INODES_IN_BLOCK - 2;
            let inode_groups = inodes.saturating_sub(1) / inodes_per_group;
            let needed = u32::max(
                table,
                inode_groups
                    .checked_mul(data)
                    .and_then(|n| n.checked_add(1))
                    .ok_or_else(too_large)?,
            );
            let count = needed.div_ceil(data);
            if best.is_none_or(|(fewest, _)| count < fewest) {
                best = Some((count, inodes_per_group));
            }
        }
        let (count, inodes_per_group) = best.ok_or_else(too_large)?;
        if count.div_ceil(DESCRIPTORS_IN_BLOCK) > DESCRIPTOR_BLOCKS {
            return Err(too_large());
        }
        // At most 1024 groups: nothing below exceeds 2^26.
        let bitmaps = table + count * (inodes_per_group / INODES_IN_BLOCK);
        let used = bitmaps + 2 * count;
        Ok(Self {
            count,
            inodes_per_group,
            table,
            bitmaps,
            used,
            blocks: u32::max(used, (count - 1) * GROUP_BLOCKS + 1),
        })
    }

    pub(super) fn inodes(&self) -> u32 {
        self.count * self.inodes_per_group
    }

    fn descriptor_blocks(&self) -> u32 {
        self.count.div_ceil(DESCRIPTORS_IN_BLOCK)
    }

    /// The blocks of a group that are in use, and how many are free.
    pub(super) fn block_bitmap(&self, group: u32) -> (Block, u32) {
        let mut bitmap = [0; BLOCK];
        let start = group * GROUP_BLOCKS;
        set(
            &mut bitmap,
            0,
            self.used.saturating_sub(start).min(GROUP_BLOCKS),
            true,
        );
        if group == 0 {
            set(
                &mut bitmap,
                1 + self.descriptor_blocks(),
                DESCRIPTOR_BLOCKS + 1,
                false,
            );
        }
        let last = self.blocks % GROUP_BLOCKS;
        if group == self.count - 1 && last != 0 {
            set(&mut bitmap, last, GROUP_BLOCKS, true);
        }
        let used: u32 = bitmap.iter().map(|byte| byte.count_ones()).sum();
        (bitmap, GROUP_BLOCKS - used)
    }

    /// The inodes of a group that are in use, and how many are free. Inodes are numbered without gaps from the first on.
    pub(super) fn inode_bitmap(&self, group: u32, last_inode: u32) -> (Block, u32) {
        let mut bitmap = [0; BLOCK];
        let before = group * self.inodes_per_group;
        let used = last_inode.saturating_sub(before).min(self.inodes_per_group);
        set(&mut bitmap, 0, used, true);
        (bitmap, self.inodes_per_group - used)
    }

    pub(super) fn descriptor(
        &self,
        group: u32,
        free_blocks: u32,
        free_inodes: u32,
        directories: u32,
    ) -> [u8; 32] {
        let mut descriptor = [0; 32];
        let bitmap = self.bitmaps + 2 * group;
        let table = self.table + group * (self.inodes_per_group / INODES_IN_BLOCK);
        put(&mut descriptor, 0, &bitmap.to_le_bytes());
        put(&mut descriptor, 4, &(bitmap + 1).to_le_bytes());
        put(&mut descriptor, 8, &table.to_le_bytes());
        for (at, count) in [(12, free_blocks), (14, free_inodes), (16, directories)] {
            put(
                &mut descriptor,
                at,
                count.to_le_bytes().first_chunk::<2>().unwrap_or(&[0; 2]),
            );
        }
        descriptor
    }

    /// Block 0, with the superblock at byte 1024.
    pub(super) fn superblock(&self, free_blocks: u32, free_inodes: u32) -> Block {
        let mut block = [0; BLOCK];
        let mut at = |offset: usize, field: &[u8]| put(&mut block, 1024 + offset, field);
        let words = [
            (0x00, self.inodes()),
            (0x04, self.blocks),
            (0x0c, free_blocks),
            (0x10, free_inodes),
            (0x18, 2),
            (0x1c, 2),
            (0x20, GROUP_BLOCKS),
            (0x24, GROUP_BLOCKS),
            (0x28, self.inodes_per_group),
            (0x4c, 1),
            (0x54, FIRST_INODE),
            // ext_attr, sparse_super2
            (0x5c, 0x208),
            // filetype, extents, flex_bg
            (0x60, 0x242),
            // large_file, huge_file, extra_isize, readonly
            (0x64, 0x104a),
            (0x268, FIRST_INODE),
        ];
        for (offset, value) in words {
            at(offset, &u32::to_le_bytes(value));
        }
        // Magic number, clean, errors ignored, inode size, extra inode sizes.
        for (offset, value) in [
            (0x38, 0xef53),
            (0x3a, 1),
            (0x3c, 1),
            (0x58, 256),
            (0x15c, 24),
            (0x15e, 24),
        ] {
            at(offset, &u16::to_le_bytes(value));
        }
        // log2 of the groups in a flexible group.
        at(0x174, &[31]);
        block
    }
}

/// Sets or clears bits `from..to`.
fn set(bitmap: &mut Block, from: u32, to: u32, value: bool) {
    for bit in from..to {
        let Some(byte) = bitmap.get_mut((bit / 8) as usize) else {
            return;
        };
        let mask = 1 << (bit % 8);
        if value { *byte |= mask } else { *byte &= !mask }
    }
}
