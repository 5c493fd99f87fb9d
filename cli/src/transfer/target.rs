//! The folder that a transfer writes: everything stays below it, and no link in it is followed.

use std::fs::File;
use std::io::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::Journal;
use super::partial::is_partial;
use crate::CliError;

/// What is made belongs to the owner alone.
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// A folder whose files are written.
pub(super) struct Target {
    path: PathBuf,
    root: OwnedFd,
    /// Where what is not whole yet is noted.
    journal: Option<Arc<Journal>>,
}

impl Target {
    /// The folder itself is as the owner names it, and is made if need be.
    pub(super) fn open(path: &Path, journal: Option<&Arc<Journal>>) -> Result<Self, CliError> {
        let failed = |error| CliError::io(path.display().to_string(), error);
        std::fs::create_dir_all(path).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            root: File::open(path).map_err(failed)?.into(),
            journal: journal.cloned(),
        })
    }

    /// Removes what the commands before this one left, but for what is to be kept.
    pub(super) fn tidy(&self, keep: impl Fn(&str) -> bool) -> Result<(), CliError> {
        let left = self.journal.iter().flat_map(|journal| journal.left());
        let mut left = left.filter(|name| is_partial(name) && !keep(name));
        left.try_for_each(|name| self.remove(name))
    }

    /// Notes that a file will not be whole for a while.
    pub(super) fn note(&self, whole: &str, partial: &str) -> Result<(), CliError> {
        match &self.journal {
            Some(journal) => journal.note_left(whole, partial),
            None => Ok(()),
        }
    }

    /// Where a file is, for messages.
    pub(super) fn shown(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file that is there; `None` if there is nothing, or something else.
    pub(super) fn read(&self, name: &str) -> Result<Option<File>, CliError> {
        // A pipe that stands there must not hold the open.
        let how = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = match open(&self.root, name, how) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            Err(error) => return Err(self.failed(name, error)),
        };
        let meta = file.metadata();
        let meta =
            meta.map_err(|error| CliError::io(self.shown(name).display().to_string(), error))?;
        Ok(meta.is_file().then_some(file))
    }

    /// The folder that a file will be in, made if need be.
    pub(super) fn parent(&self, name: &str) -> Result<OwnedFd, CliError> {
        let failed = |error| self.failed(name, error);
        let again = |folder: &OwnedFd| {
            let clone = folder.try_clone();
            clone.map_err(|error| CliError::io(self.shown(name).display().to_string(), error))
        };
        let mut current = again(&self.root)?;
        let Some((folders, _)) = name.rsplit_once('/') else {
            return Ok(current);
        };
        match folder(&self.root, folders) {
            Err(Errno::ENOENT) => {}
            other => return other.map_err(failed),
        }
        for part in folders.split('/') {
            current = match folder(&current, part) {
                Err(Errno::ENOENT) => {
                    match mkdirat(&current, part, Mode::from_bits_truncate(0o777)) {
                        Ok(()) | Err(Errno::EEXIST) => {}
                        Err(error) => return Err(failed(error)),
                    }
                    folder(&current, part).map_err(failed)?
                }
                other => other.map_err(failed)?,
            };
        }
        Ok(current)
    }

    /// Removes a file that may be there.
    pub(super) fn remove(&self, name: &str) -> Result<(), CliError> {
        let (folders, last) = name.rsplit_once('/').unwrap_or((".", name));
        let removed = folder(&self.root, folders)
            .and_then(|folder| unlinkat(&folder, last, UnlinkatFlags::NoRemoveDir));
        match removed {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(self.failed(name, error)),
        }
    }

    fn failed(&self, name: &str, error: Errno) -> CliError {
        let path = self.shown(name);
        match error {
            Errno::ELOOP | Errno::EXDEV => CliError::file(&path, "a link stands in its way"),
            other => CliError::io(path.display().to_string(), Error::from(other)),
        }
    }
}

fn folder(within: &OwnedFd, name: &str) -> nix::Result<OwnedFd> {
    open(within, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// Opens what is below a folder, over no link.
pub(super) fn open(within: &OwnedFd, name: &str, how: OFlag) -> nix::Result<OwnedFd> {
    // Without a file to make, a mode is an error.
    let mode = match how.contains(OFlag::O_CREAT) {
        true => PRIVATE,
        false => Mode::empty(),
    };
    let how = OpenHow::new()
        .flags(how | OFlag::O_CLOEXEC)
        .mode(mode)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(within.as_fd(), name, how)
}
