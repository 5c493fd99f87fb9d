//! What is written after the last entry.

use super::directory::{Entry, write};
use super::extent::Run;
use super::groups::{DESCRIPTOR_BLOCKS, FIRST_INODE, Groups};
use super::inode::{Directory, Inode, SIZE};
use super::xattr::put;
use super::{Ext4, ROOT};
use crate::LayerError;
use crate::device::{BLOCK, Block, Sink};

impl<S: Sink> Ext4<S> {
    /// Writes directories, inodes and bitmaps, then what describes them at the start. Returns the sink and the number of
    /// blocks.
    pub(crate) fn finish(mut self) -> Result<(S, u32), LayerError> {
        self.write_directories()?;
        let table = self.device.next();
        let last = u32::try_from(self.inodes.len())
            .unwrap_or(u32::MAX)
            .saturating_add(FIRST_INODE - 2);
        let groups = Groups::choose(table, last)?;
        let directories = self.write_inodes(&groups)?;
        self.write_bitmaps(&groups, last, &directories)?;
        self.device
            .zeros(groups.blocks.saturating_sub(groups.used))?;
        Ok((self.device.finish()?, groups.blocks))
    }

    /// Each directory before those in it.
    fn write_directories(&mut self) -> Result<(), LayerError> {
        let mut waiting = vec![(ROOT, ROOT)];
        while let Some((number, parent)) = waiting.pop() {
            let first = self.device.next();
            let directory = self
                .inode_mut(number)?
                .directory_mut()
                .map(std::mem::take)
                .unwrap_or_default();
            let mut children: Vec<(u32, &[u8])> = directory
                .children
                .iter()
                .map(|(name, number)| (*number, name.as_ref()))
                .collect();
            children.sort_unstable();
            let before = waiting.len();
            let mut entries = Vec::with_capacity(children.len() + 2);
            entries.push(Entry {
                inode: number,
                kind: 2,
                name: b".",
            });
            entries.push(Entry {
                inode: parent,
                kind: 2,
                name: b"..",
            });
            for (child, name) in &children {
                let inode = self.inode(*child)?;
                if inode.directory().is_some() {
                    waiting.push((*child, number));
                }
                entries.push(Entry {
                    inode: *child,
                    kind: inode.entry_kind(),
                    name,
                });
            }
            write(&mut self.device, entries.into_iter())?;
            // Taken from the end: the first sub-directory is next.
            if let Some(added) = waiting.get_mut(before..) {
                added.reverse();
            }
            let run = Run::end(&mut self.device, first)?;
            let inode = self.inode_mut(number)?;
            inode.size = u64::from(run.blocks) * BLOCK as u64;
            inode.blocks = inode.blocks.saturating_add(run.allocated());
            if let Some(place) = inode.directory_mut() {
                *place = Directory {
                    run: Some(run),
                    ..Directory::default()
                };
            }
        }
        Ok(())
    }

    /// Writes the inode table; returns the number of directories in each group.
    fn write_inodes(&mut self, groups: &Groups) -> Result<Vec<u32>, LayerError> {
        // Numbers start at 1: number 1 is empty, the root is 2, 3 to 10 are empty.
        let mut inodes = std::mem::take(&mut self.inodes).into_iter();
        self.device.append_zeros(SIZE as u64)?;
        let mut directories = vec![0_u32; groups.count as usize];
        let mut number = ROOT;
        let mut count = |number: u32, inode: &Inode| {
            let group = ((number - 1) / groups.inodes_per_group) as usize;
            if let Some(count) = directories
                .get_mut(group)
                .filter(|_| inode.directory().is_some())
            {
                *count += 1;
            }
        };
        for inode in inodes.by_ref() {
            count(number, &inode);
            self.device.append(&inode.to_bytes())?;
            number = if number == ROOT {
                self.device
                    .append_zeros(SIZE as u64 * u64::from(FIRST_INODE - ROOT - 1))?;
                FIRST_INODE
            } else {
                number + 1
            };
        }
        let empty = u64::from(groups.inodes()).saturating_sub(u64::from(number - 1));
        self.device.append_zeros(empty * SIZE as u64)?;
        Ok(directories)
    }

    fn write_bitmaps(
        &mut self,
        groups: &Groups,
        last_inode: u32,
        directories: &[u32],
    ) -> Result<(), LayerError> {
        let mut descriptors = Vec::new();
        let (mut all_free_blocks, mut all_free_inodes) = (0, 0);
        for group in 0..groups.count {
            let (blocks, free_blocks) = groups.block_bitmap(group);
            let (inodes, free_inodes) = groups.inode_bitmap(group, last_inode);
            self.device.append(&blocks)?;
            self.device.append(&inodes)?;
            let directories = directories.get(group as usize).copied().unwrap_or_default();
            descriptors.extend(groups.descriptor(group, free_blocks, free_inodes, directories));
            all_free_blocks += free_blocks;
            all_free_inodes += free_inodes;
        }
        self.device
            .replace(0, &groups.superblock(all_free_blocks, all_free_inodes))?;
        for (index, part) in (1..=DESCRIPTOR_BLOCKS).zip(descriptors.chunks(BLOCK)) {
            let mut block: Block = [0; BLOCK];
            put(&mut block, 0, part);
            self.device.replace(index, &block)?;
        }
        Ok(())
    }
}
