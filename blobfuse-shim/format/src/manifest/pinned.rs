use std::ops::Range;

use cleanroom_crypto::Dek;

use super::{Entry, Manifest, ManifestHmac};
use crate::FormatError;

/// A manifest that is the one the contract pins: what it does not list is not there, and what it lists must be.
///
/// Only [`Manifest::pin`] makes one. Where a path is both a file and a directory, the directory wins. Names that no file
/// system can show (empty, `.`, `..`, with a NUL) are not found.
#[derive(Debug)]
pub struct Pinned(Manifest);

/// What a path is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found<'a> {
    /// A file, to be compared with what storage returns ([`Entry::admit`]). If storage has none, that is an IO error.
    File(&'a Entry),
    /// A directory with something in it; the root always.
    Directory,
}

impl Manifest {
    /// Compares with the contract.
    ///
    /// # Errors
    /// [`FormatError::ManifestRoot`]; [`FormatError::Crypto`].
    pub fn pin(self, dek: &Dek, contract: &ManifestHmac) -> Result<Pinned, FormatError> {
        if self.hmac(dek)? != *contract {
            return Err(FormatError::ManifestRoot);
        }
        Ok(Pinned(self))
    }
}

impl Pinned {
    /// What is at a path, without a leading slash; the root is the empty string.
    ///
    /// # Errors
    /// [`FormatError::NotListed`].
    pub fn look_up(&self, path: &str) -> Result<Found<'_>, FormatError> {
        if path.is_empty() {
            return Ok(Found::Directory);
        }
        if !path.split('/').all(expressible) {
            return Err(FormatError::NotListed);
        }
        if !self.range(&format!("{path}/")).is_empty() {
            return Ok(Found::Directory);
        }
        self.file(path).map(Found::File)
    }

    /// The entry of a file.
    ///
    /// # Errors
    /// [`FormatError::NotListed`].
    pub fn file(&self, path: &str) -> Result<&Entry, FormatError> {
        let entries = self.0.entries();
        entries
            .binary_search_by(|entry| entry.path.as_str().cmp(path))
            .ok()
            .and_then(|index| entries.get(index))
            .ok_or(FormatError::NotListed)
    }

    /// The names in a directory with what they are, sorted by the first path that begins with each.
    pub fn list(&self, directory: &str) -> impl Iterator<Item = (&str, Found<'_>)> {
        let prefix = match directory {
            "" => String::new(),
            _ => format!("{directory}/"),
        };
        let mut left = self.range(&prefix);
        let entries = self.0.entries();
        std::iter::from_fn(move || {
            loop {
                let entry = entries.get(left.next()?)?;
                let rest = entry.path.get(prefix.len()..)?;
                let (name, found) = match rest.split_once('/') {
                    Some((name, _)) => {
                        left.start = self.range(&format!("{prefix}{name}/")).end;
                        (name, Found::Directory)
                    }
                    None if self.range(&format!("{}/", entry.path)).is_empty() => {
                        (rest, Found::File(entry))
                    }
                    // The directory of this name comes later.
                    None => continue,
                };
                if expressible(name) {
                    return Some((name, found));
                }
            }
        })
    }

    /// The whole list.
    pub const fn manifest(&self) -> &Manifest {
        &self.0
    }

    /// The entries whose path begins with a prefix that is empty or ends with a slash.
    fn range(&self, prefix: &str) -> Range<usize> {
        let entries = self.0.entries();
        let start = entries.partition_point(|entry| entry.path.as_str() < prefix);
        let behind = |entry: &Entry| entry.path.as_str() < prefix || entry.path.starts_with(prefix);
        start..entries.partition_point(behind)
    }
}

fn expressible(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('\0')
}
