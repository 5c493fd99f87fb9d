//! Finding inodes by path and number, and adding them.

use super::inode::Inode;
use super::{Ext4, LINKS, ROOT, groups};
use crate::LayerError;
use crate::device::Sink;
use crate::error::shown;

/// Where a path leads: a directory's inode, and the name in it. The root has none.
pub(super) struct Place<'p> {
    pub(super) directory: u32,
    pub(super) name: &'p [u8],
}

impl<S: Sink> Ext4<S> {
    pub(super) fn insert(
        &mut self,
        place: &Place<'_>,
        inode: Inode,
        path: &[u8],
    ) -> Result<u32, LayerError> {
        check_name(place.name, path)?;
        self.limits.entries(self.inodes.len() as u64)?;
        // The root is followed by number 11.
        let number = u32::try_from(self.inodes.len())
            .unwrap_or(u32::MAX)
            .saturating_add(groups::FIRST_INODE - 1);
        let parent = self.inode_mut(place.directory)?;
        if inode.directory().is_some() {
            if parent.links >= LINKS {
                return Err(LayerError::Links { entry: shown(path) });
            }
            parent.links += 1;
        }
        let directory = parent
            .directory_mut()
            .ok_or_else(|| not_a_directory(path))?;
        directory.children.insert(place.name.into(), number);
        self.inodes.push(inode);
        Ok(number)
    }

    /// Where the last component of a path is or would be. `None`: the path is the root.
    pub(super) fn place<'p>(
        &self,
        components: &[&'p [u8]],
        path: &[u8],
    ) -> Result<Option<Place<'p>>, LayerError> {
        let Some((name, parents)) = components.split_last() else {
            return Ok(None);
        };
        let mut directory = ROOT;
        for parent in parents {
            directory = self
                .child(directory, parent, path)?
                .ok_or_else(|| not_a_directory(path))?;
        }
        if self.inode(directory)?.directory().is_none() {
            return Err(not_a_directory(path));
        }
        Ok(Some(Place { directory, name }))
    }

    pub(super) fn child(
        &self,
        directory: u32,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<u32>, LayerError> {
        let directory = self
            .inode(directory)?
            .directory()
            .ok_or_else(|| not_a_directory(path))?;
        Ok(directory.children.get(name).copied())
    }

    pub(super) fn inode(&self, number: u32) -> Result<&Inode, LayerError> {
        self.inodes.get(slot(number)).ok_or_else(|| impossible(b""))
    }

    pub(super) fn inode_mut(&mut self, number: u32) -> Result<&mut Inode, LayerError> {
        self.inodes
            .get_mut(slot(number))
            .ok_or_else(|| impossible(b""))
    }
}

/// The root is first; number 11 follows.
pub(super) fn slot(number: u32) -> usize {
    if number < groups::FIRST_INODE {
        0
    } else {
        (number - groups::FIRST_INODE + 1) as usize
    }
}

pub(super) fn check_name(name: &[u8], path: &[u8]) -> Result<(), LayerError> {
    if (1..=255).contains(&name.len()) {
        return Ok(());
    }
    Err(LayerError::Name {
        entry: shown(path),
        length: name.len(),
    })
}

pub(super) fn replaces(path: &[u8], reason: &'static str) -> LayerError {
    LayerError::Replace {
        entry: shown(path),
        reason,
    }
}

pub(super) fn not_a_directory(path: &[u8]) -> LayerError {
    LayerError::NotADirectory { entry: shown(path) }
}

/// The tree is consistent: every number in it is an inode, and parents exist when their children are made.
pub(super) fn impossible(path: &[u8]) -> LayerError {
    not_a_directory(path)
}
