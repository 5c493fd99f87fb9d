use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cleanroom_crypto::random;

use crate::CliError;

/// Bytes after which what was written is on the disk: where a transfer that was killed goes on.
const SYNCED: u64 = 32 << 20;

/// A file that is not whole yet, in the folder where it will be. It goes when its transfer fails, unless it is kept for
/// the next one.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    keep: bool,
}

impl Partial {
    /// A new one, under a random name, so that no name in storage meets it.
    pub(super) fn create(folder: &Path) -> Result<Self, CliError> {
        let own = hex::encode(random::bytes::<8>()?);
        Self::at(folder, &own, true)
    }

    /// The one that a transfer of the same version left, and how many of its bytes can be relied on; or a new one.
    pub(super) fn resume(folder: &Path, version: &[u8; 32]) -> Result<(Self, u64), CliError> {
        let partial = Self::at(folder, &hex::encode(version), false)?;
        let failed = |error| CliError::io(partial.path.display().to_string(), error);
        match partial.file.try_lock() {
            Ok(()) => {}
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

    fn at(folder: &Path, own: &str, new: bool) -> Result<Self, CliError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| CliError::io(folder.display().to_string(), error))?;
        let path = folder.join(format!(".cleanroom-{own}.partial"));
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_NOFOLLOW);
        if new {
            options.create_new(true);
        } else {
            options.create(true);
        }
        let opened = options.open(&path);
        let file = opened.map_err(|error| CliError::io(path.display().to_string(), error))?;
        Ok(Self {
            path,
            file,
            keep: false,
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

    /// Leaves it there for the next transfer.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// Gives the whole file its name; it is on the disk then.
    pub(super) fn place(mut self, target: &Path) -> Result<(), CliError> {
        let failed = |error| CliError::io(target.display().to_string(), error);
        self.file.sync_all().map_err(failed)?;
        std::fs::rename(&self.path, target).map_err(failed)?;
        self.keep = true;
        let folder = target.parent().unwrap_or(target);
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // A random or authenticated name: nobody else's file.
        let _ = std::fs::remove_file(&self.path);
    }
}
