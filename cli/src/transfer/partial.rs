use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use cleanroom_crypto::random;
use nix::fcntl::{OFlag, renameat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::target::{self, Target};
use super::{PART, STRETCH};
use crate::CliError;

/// Bytes of a stretch.
const SYNCED: u64 = STRETCH * PART;

fn name_of(own: &str) -> String {
    format!(".cleanroom-{own}.partial")
}

fn beside(whole: &str, own: &str) -> String {
    match whole.rsplit_once('/') {
        Some((folders, _)) => format!("{folders}/{}", name_of(own)),
        None => name_of(own),
    }
}

/// Where [`Partial::resume`] has what a transfer of a version left of a file.
pub(super) fn path_of(whole: &str, version: &[u8; 32]) -> String {
    beside(whole, &hex::encode(version))
}

/// Whether a path is of a file that is not whole yet, and so of no dataset.
pub(super) fn is_partial(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let own = name.strip_prefix(".cleanroom-");
    own.and_then(|own| own.strip_suffix(".partial"))
        .is_some_and(|own| {
            matches!(own.len(), 16 | 64)
                && own.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
}

/// A file that is not whole yet, in the folder where it will be. When its transfer ends early, it goes, unless the next
/// one can go on with it.
pub(super) struct Partial {
    folder: OwnedFd,
    /// In the folder.
    name: String,
    /// What it will be called there.
    whole: String,
    /// For messages.
    path: PathBuf,
    file: File,
    fate: Fate,
}

/// What becomes of it when its transfer ends early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Goes,
    /// If it is long enough to be resumed.
    Stays,
    /// It has its name, or is another transfer's.
    Left,
}

impl Partial {
    /// A new one for a file, under a random name, so that no name in storage meets it.
    pub(super) fn create(target: &Target, whole: &str) -> Result<Self, CliError> {
        let own = hex::encode(random::bytes::<8>()?);
        Self::at(target, whole, &own, OFlag::O_EXCL, Fate::Goes)
    }

    /// The one that a transfer of the same version left, and how many of its bytes were on the disk; or a new one.
    pub(super) fn resume(
        target: &Target,
        whole: &str,
        version: &[u8; 32],
    ) -> Result<(Self, u64), CliError> {
        let own = hex::encode(version);
        let mut partial = Self::at(target, whole, &own, OFlag::empty(), Fate::Left)?;
        let failed = |error| CliError::io(partial.path.display().to_string(), error);
        match partial.file.try_lock() {
            Ok(()) => partial.fate = Fate::Stays,
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(CliError::Busy {
                    path: partial.path.clone(),
                });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let written = partial.file.metadata().map_err(failed)?.len();
        // Nothing was written behind a boundary before all up to it was on the disk.
        let sure = written.saturating_sub(1) / SYNCED * SYNCED;
        partial.file.set_len(sure).map_err(failed)?;
        Ok((partial, sure))
    }

    fn at(
        target: &Target,
        whole: &str,
        own: &str,
        how: OFlag,
        fate: Fate,
    ) -> Result<Self, CliError> {
        let folder = target.parent(whole)?;
        let name = name_of(own);
        let last = whole.rsplit_once('/').map_or(whole, |(_, last)| last);
        let beside = beside(whole, own);
        let path = target.shown(&beside);
        target.note(whole, &beside)?;
        let opened = target::open(&folder, &name, how | OFlag::O_RDWR | OFlag::O_CREAT);
        let file =
            opened.map_err(|error| CliError::io(path.display().to_string(), error.into()))?;
        Ok(Self {
            folder,
            name,
            whole: last.to_owned(),
            path,
            file: file.into(),
            fate,
        })
    }

    /// Writes at an offset; in order, where it is to be resumed.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), CliError> {
        let failed = |error| CliError::io(self.path.display().to_string(), error);
        self.file.write_all_at(bytes, offset).map_err(failed)
    }

    /// Writes behind what is there, so that it can be resumed.
    pub(super) fn append(&self, offset: u64, bytes: &[u8]) -> Result<(), CliError> {
        let failed = |error| CliError::io(self.path.display().to_string(), error);
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            if at > 0 && at.is_multiple_of(SYNCED) {
                self.file.sync_data().map_err(failed)?;
            }
            let room = usize::try_from(SYNCED - at % SYNCED).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.write(at, now)?;
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Reads back what is there.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), CliError> {
        let failed = |error| CliError::io(self.path.display().to_string(), error);
        self.file.read_exact_at(into, offset).map_err(failed)
    }

    /// Forgets what is there from an offset on.
    pub(super) fn cut(&self, offset: u64) -> Result<(), CliError> {
        let failed = |error| CliError::io(self.path.display().to_string(), error);
        self.file.set_len(offset).map_err(failed)
    }

    /// Removes it: nobody goes on with it.
    pub(super) fn discard(mut self) {
        self.fate = Fate::Goes;
    }

    /// Gives the whole file its name; it is on the disk then.
    pub(super) fn place(mut self) -> Result<(), CliError> {
        let whole = self.path.with_file_name(&self.whole);
        let failed = |error| CliError::io(whole.display().to_string(), error);
        self.file.sync_all().map_err(failed)?;
        let renamed = renameat(&self.folder, &*self.name, &self.folder, &*self.whole);
        renamed.map_err(|error| failed(error.into()))?;
        self.fate = Fate::Left;
        let folder = self.folder.try_clone().map(File::from);
        folder.and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let can_resume = || self.file.metadata().is_ok_and(|meta| meta.len() > SYNCED);
        if self.fate == Fate::Left || (self.fate == Fate::Stays && can_resume()) {
            return;
        }
        // A random or authenticated name: nobody else's file.
        let _ = unlinkat(&self.folder, &*self.name, UnlinkatFlags::NoRemoveDir);
    }
}
