//! The owner's folder: which files it holds, and how they are opened without leaving it.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::partial::is_partial;
use super::{MOST_FILES, OWN, refusal};
use crate::CliError;

/// A folder whose files are read.
pub(super) struct Tree {
    path: PathBuf,
    root: OwnedFd,
}

/// A file of it.
pub(super) struct Found {
    /// Path in the dataset.
    pub(super) name: String,
    /// Bytes, as the walk saw it.
    pub(super) length: u64,
}

impl Tree {
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let failed = |error| CliError::io(path.display().to_string(), error);
        let root = File::open(path).map_err(failed)?;
        if !root.metadata().map_err(failed)?.is_dir() {
            return Err(CliError::file(path, "is no folder"));
        }
        Ok(Self {
            path: path.to_owned(),
            root: root.into(),
        })
    }

    /// The files with their names, sorted. A link that stays inside stands for the file it leads to; what no mount could
    /// show is refused by its name, before anything is sent.
    pub(super) fn files(&self) -> Result<Vec<Found>, CliError> {
        self.walk(false)
    }

    /// The files of a folder that holds a sealed dataset, without those of the dataset itself.
    pub(super) fn sealed_files(&self) -> Result<Vec<Found>, CliError> {
        self.walk(true)
    }

    fn walk(&self, has_own: bool) -> Result<Vec<Found>, CliError> {
        let mut found = Vec::new();
        let mut folders = vec![self.path.clone()];
        while let Some(current) = folders.pop() {
            let unreadable = |error| CliError::io(current.display().to_string(), error);
            for entry in std::fs::read_dir(&current).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let path = entry.path();
                let kind = entry.file_type().map_err(unreadable)?;
                if has_own && path == self.path.join(OWN) {
                    continue;
                }
                // Of a transfer that was interrupted, or runs.
                if kind.is_file() && path.to_str().is_some_and(is_partial) {
                    continue;
                }
                if kind.is_dir() {
                    folders.push(path);
                    continue;
                }
                if !kind.is_file() && !kind.is_symlink() {
                    return Err(CliError::file(&path, "is neither a file nor a folder"));
                }
                let name = path.strip_prefix(&self.path).ok().and_then(Path::to_str);
                let name = name.ok_or_else(|| CliError::file(&path, "the name is not UTF-8"))?;
                if let Some(reason) = refusal(name) {
                    return Err(CliError::file(&path, reason));
                }
                let length = if kind.is_symlink() {
                    self.clear(name)?.before.length
                } else {
                    entry.metadata().map_err(unreadable)?.len()
                };
                found.push(Found {
                    name: name.to_owned(),
                    length,
                });
            }
            if found.len() > MOST_FILES {
                return Err(CliError::file(&self.path, "has more than 10 000 000 files"));
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Opens a file; whatever happened since the walk, it lies inside the folder.
    pub(super) fn clear(&self, name: &str) -> Result<ClearFile, CliError> {
        let path = self.path.join(name);
        // A pipe that took the file's place must not hold the open.
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let opened = openat2(self.root.as_fd(), name, how).map_err(Error::from);
        let file = opened.map(File::from).map_err(|error| {
            if error.kind() == ErrorKind::CrossesDevices {
                return CliError::file(&path, "is a link that leads out of the folder");
            }
            CliError::io(path.display().to_string(), error)
        })?;
        let before = Stamp::of(&file, &path)?;
        Ok(ClearFile { file, path, before })
    }
}

/// What tells that a file is still the one that was opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File, path: &Path) -> Result<Self, CliError> {
        let meta = file.metadata();
        let meta = meta.map_err(|error| CliError::io(path.display().to_string(), error))?;
        if !meta.is_file() {
            return Err(CliError::file(path, "is neither a file nor a folder"));
        }
        Ok(Self {
            inode: (meta.dev(), meta.ino()),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// A file of the owner, opened.
pub(super) struct ClearFile {
    file: File,
    path: PathBuf,
    before: Stamp,
}

impl ClearFile {
    pub(super) const fn len(&self) -> u64 {
        self.before.length
    }

    /// What tells this version of it from others.
    pub(super) fn version(&self) -> String {
        let Stamp {
            inode: (device, inode),
            length,
            modified: (seconds, nanoseconds),
            ..
        } = self.before;
        format!("{device:x}-{inode:x}-{length:x}-{seconds:x}.{nanoseconds:x}")
    }

    /// Unix time in nanoseconds; 0 before 1970.
    pub(super) fn modified_ns(&self) -> u64 {
        let modified = self.file.metadata().and_then(|meta| meta.modified());
        let since = modified
            .unwrap_or(SystemTime::UNIX_EPOCH)
            .duration_since(UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
    }

    /// Reads exactly the bytes at an offset.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), CliError> {
        self.file.read_exact_at(into, offset).map_err(|error| {
            if error.kind() == ErrorKind::UnexpectedEof {
                return self.changing();
            }
            CliError::io(self.path.display().to_string(), error)
        })
    }

    /// Whether it is what it was when it was opened, and still what its name leads to.
    pub(super) fn check_unchanged(&self) -> Result<(), CliError> {
        let now = Stamp::of(&self.file, &self.path)?;
        let named = std::fs::metadata(&self.path);
        let named = named.map(|meta| (meta.dev(), meta.ino())).ok();
        if now != self.before || named != Some(self.before.inode) {
            return Err(self.changing());
        }
        Ok(())
    }

    fn changing(&self) -> CliError {
        CliError::Changing {
            path: self.path.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Result<Vec<String>, CliError> {
        let files = Tree::open(folder)?.files()?;
        Ok(files.into_iter().map(|found| found.name).collect())
    }

    fn refused(folder: &Path, at: &Path, because: &str) {
        match names(folder) {
            Err(CliError::File { path, reason }) => {
                assert_eq!(path, at);
                assert!(reason.contains(because), "{reason}");
            }
            other => panic!("{}: {other:?}", at.display()),
        }
    }

    #[test]
    fn files_are_found_sorted_and_what_no_mount_can_show_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("b/c")).unwrap();
        for name in ["z", "b/c/d", "b/a"] {
            std::fs::write(root.join(name), name).unwrap();
        }
        symlink("../z", root.join("b/link")).unwrap();
        assert_eq!(names(root).unwrap(), ["b/a", "b/c/d", "b/link", "z"]);
        assert_eq!(Tree::open(root).unwrap().clear("b/link").unwrap().len(), 1);

        let odd = |name: &str| {
            let path = root.join(name);
            std::fs::write(&path, "x").unwrap();
            path
        };
        let long = odd(&"n".repeat(255));
        assert_eq!(names(root).unwrap().len(), 5);
        std::fs::remove_file(long).unwrap();
        let control = odd("line\nbreak");
        refused(root, &control, "control");
        std::fs::remove_file(control).unwrap();
        std::fs::create_dir(root.join(OWN)).unwrap();
        let own = odd(".cleanroom/manifest");
        refused(root, &own, ".cleanroom");
        std::fs::remove_file(own).unwrap();
        let deep = root.join(vec!["d".repeat(200); 6].join("/"));
        std::fs::create_dir_all(deep.parent().unwrap()).unwrap();
        std::fs::write(&deep, "x").unwrap();
        refused(root, &deep, "1024");
    }

    #[test]
    fn nothing_outside_is_read_and_what_is_no_file_is_refused() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        let link = folder.path().join("link");
        let inside = folder.path().join("folder");
        std::fs::create_dir(&inside).unwrap();
        for (target, because) in [
            ("/etc/passwd".into(), "leads out"),
            (outside.path().join("secret"), "leads out"),
            (inside.clone(), "neither"),
        ] {
            // Absolute links lead out, also those that come back; relative ones may stay.
            let target = target.strip_prefix(folder.path()).unwrap_or(&target);
            symlink(target, &link).unwrap();
            refused(folder.path(), &link, because);
            std::fs::remove_file(&link).unwrap();
        }
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused(folder.path(), &pipe, "neither");
        std::fs::remove_file(pipe).unwrap();

        // A folder that becomes a link between the walk and the read.
        std::fs::write(inside.join("secret"), "mine").unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        assert_eq!(tree.files().unwrap().len(), 1);
        std::fs::remove_dir_all(&inside).unwrap();
        symlink(outside.path(), &inside).unwrap();
        assert!(matches!(
            tree.clear("folder/secret"),
            Err(CliError::File { .. })
        ));
    }

    #[test]
    fn a_file_that_changes_or_is_exchanged_while_it_is_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let change = |how: &dyn Fn()| {
            std::fs::write(&path, "content").unwrap();
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(UNIX_EPOCH).unwrap();
            let tree = Tree::open(folder.path()).unwrap();
            let file = tree.clear("file").unwrap();
            let mut read = [0; 7];
            file.read(0, &mut read).unwrap();
            file.check_unchanged().unwrap();
            how();
            let noticed = file.check_unchanged();
            assert!(matches!(noticed, Err(CliError::Changing { .. })));
            file.read(0, &mut read)
        };
        change(&|| std::fs::write(&path, "CONTENT").unwrap()).unwrap();
        change(&|| {
            std::fs::write(folder.path().join("new"), "content").unwrap();
            std::fs::rename(folder.path().join("new"), &path).unwrap();
        })
        .unwrap();
        let cut = change(&|| std::fs::write(&path, "cut").unwrap());
        assert!(matches!(cut, Err(CliError::Changing { .. })));
    }
}
