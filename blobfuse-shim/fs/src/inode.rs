//! Inode numbers, given out at lookup and taken back by `forget`.

use std::collections::HashMap;

use crate::version::{Identity, Version};
use crate::{FsError, Kind, ROOT};

/// The mount's own directory.
pub(crate) const OWN: u64 = 2;
/// The file that proves which process serves this mount.
pub(crate) const NONCE: u64 = 3;
const FIRST: u64 = 16;

#[derive(Debug)]
struct Node {
    path: String,
    kind: Kind,
    lookups: u64,
    /// The version whose pages the kernel may have.
    version: Option<Identity>,
    /// The length that the kernel was told last, in bytes.
    told: u64,
}

#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: HashMap<u64, Node>,
    paths: HashMap<String, u64>,
    next: u64,
}

impl Nodes {
    pub(crate) fn new() -> Self {
        let root = Node {
            path: String::new(),
            kind: Kind::Directory,
            lookups: 1,
            version: None,
            told: 0,
        };
        Self {
            nodes: HashMap::from([(ROOT, root)]),
            paths: HashMap::from([(String::new(), ROOT)]),
            next: FIRST,
        }
    }

    /// The inode of a path, counted as one more lookup; the kernel is told a length with it.
    pub(crate) fn look_up(&mut self, path: &str, kind: Kind, length: u64) -> u64 {
        if let Some(ino) = self.paths.get(path)
            && let Some(node) = self.nodes.get_mut(ino)
        {
            node.lookups += 1;
            node.kind = kind;
            node.told = length;
            return *ino;
        }
        let ino = self.next;
        self.next += 1;
        let node = Node {
            path: path.to_owned(),
            kind,
            lookups: 1,
            version: None,
            told: length,
        };
        self.nodes.insert(ino, node);
        self.paths.insert(path.to_owned(), ino);
        ino
    }

    pub(crate) fn forget(&mut self, ino: u64, count: u64) {
        if ino == ROOT {
            return;
        }
        let Some(node) = self.nodes.get_mut(&ino) else {
            return;
        };
        node.lookups = node.lookups.saturating_sub(count);
        if node.lookups == 0
            && let Some(node) = self.nodes.remove(&ino)
            && self.paths.get(&node.path) == Some(&ino)
        {
            self.paths.remove(&node.path);
        }
    }

    pub(crate) fn get(&self, ino: u64) -> Result<(String, Kind), FsError> {
        let node = self.nodes.get(&ino).ok_or(FsError::Handle)?;
        Ok((node.path.clone(), node.kind))
    }

    pub(crate) fn directory(&self, ino: u64) -> Result<String, FsError> {
        match self.get(ino)? {
            (path, Kind::Directory) => Ok(path),
            _ => Err(FsError::NotDirectory),
        }
    }

    /// The number that a listing shows.
    pub(crate) fn shown(&self, path: &str) -> u64 {
        self.paths.get(path).copied().unwrap_or_else(|| {
            // FNV-1a with the top bit set: stable, and never an inode that is in use.
            let hash = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            hash | 1 << 63
        })
    }

    pub(crate) fn at(&self, path: &str) -> Option<u64> {
        self.paths.get(path).copied()
    }

    /// The inode is opened at a version; whether the kernel's pages are of the same one.
    pub(crate) fn opened(&mut self, ino: u64, version: Option<Identity>) -> bool {
        let Some(node) = self.nodes.get_mut(&ino) else {
            return false;
        };
        let is_same = version.is_some() && node.version == version;
        node.version = version;
        is_same
    }

    /// A commit of ours replaced a version: what the kernel has went through us.
    pub(crate) fn replaced(&mut self, path: &str, old: Option<&Version>, new: &Version) {
        let node = self.paths.get(path).and_then(|ino| self.nodes.get_mut(ino));
        let Some(node) = node else {
            return;
        };
        node.told = new.len;
        if node.version == old.map(Version::identity) {
            node.version = Some(new.identity());
        }
    }

    /// The length that the kernel was told last.
    pub(crate) fn told(&self, ino: u64) -> Option<u64> {
        self.nodes.get(&ino).map(|node| node.told)
    }

    /// The kernel is told a length.
    pub(crate) fn tell(&mut self, ino: u64, length: u64) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.told = length;
        }
    }

    /// What was written to a file is lost, but the kernel may have pages of it.
    pub(crate) fn distrust(&mut self, path: &str) {
        if let Some(node) = self.paths.get(path).and_then(|ino| self.nodes.get_mut(ino)) {
            node.version = None;
        }
    }

    /// The path no longer leads to its inode; the inode lives on until it is forgotten.
    pub(crate) fn unlink(&mut self, path: &str) {
        self.paths.remove(path);
    }

    /// Renames a directory with everything below it.
    pub(crate) fn rename_tree(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        let inside: Vec<String> = {
            let inside = |path: &&String| path.starts_with(&below);
            self.paths.keys().filter(inside).cloned().collect()
        };
        for path in inside {
            if let Some(rest) = path.strip_prefix(&below) {
                self.rename(&path, &format!("{to}/{rest}"));
            }
        }
        self.rename(from, to);
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        self.unlink(to);
        if let Some(ino) = self.paths.remove(from) {
            if let Some(node) = self.nodes.get_mut(&ino) {
                to.clone_into(&mut node.path);
            }
            self.paths.insert(to.to_owned(), ino);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_lives_until_every_lookup_is_forgotten() {
        let mut nodes = Nodes::new();
        let ino = nodes.look_up("a", Kind::File, 0);
        assert_eq!(nodes.look_up("a", Kind::File, 0), ino);
        nodes.forget(ino, 1);
        assert_eq!(nodes.get(ino).unwrap().0, "a");
        nodes.forget(ino, 1);
        assert_eq!(nodes.get(ino), Err(FsError::Handle));
        assert_ne!(nodes.look_up("a", Kind::File, 0), ino);
        nodes.forget(ROOT, 100);
        assert!(nodes.directory(ROOT).is_ok());
    }

    #[test]
    fn a_renamed_inode_keeps_its_number_and_replaces_the_target() {
        let mut nodes = Nodes::new();
        let (a, b) = (
            nodes.look_up("a", Kind::File, 0),
            nodes.look_up("b", Kind::File, 0),
        );
        nodes.rename("a", "b");
        assert_eq!(nodes.get(a).unwrap().0, "b");
        assert_eq!(nodes.shown("b"), a);
        nodes.forget(b, 1);
        assert_eq!(
            nodes.shown("b"),
            a,
            "the replaced inode must not take the path along"
        );
    }
}
