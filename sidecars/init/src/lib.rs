//! The init container: directories with their owners, and the beginning of the boot trace.
//!
//! No security property depends on it: the host decides whether it runs. What it makes is checked by whoever uses it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::random;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{Gid, Uid, fchown};
use serde::Deserialize;
use sidecar_http::{Coded, Fault};
use thiserror::Error;

/// What an operator types.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Base64 of JSON: `[{"path","uid","gid","mode"}]`, parents first.
    #[arg(long)]
    pub directories: String,
}

/// Why the group was not prepared.
#[derive(Debug, Error)]
pub enum InitError {
    /// The list of directories is unreadable.
    #[error("--directories: {reason}")]
    Directories {
        /// What is wrong.
        reason: String,
    },
    /// A directory cannot be made as asked; a symbolic link on the way is never followed.
    #[error("directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The boot trace cannot be written.
    #[error("boot trace in {path}")]
    Trace {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Coded for InitError {
    fn code(&self) -> &str {
        match self {
            Self::Directories { .. } => "CR-INIT-0001",
            Self::Directory { .. } => "CR-INIT-0002",
            Self::Trace { .. } => "CR-INIT-0003",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Directories { .. } => Fault::Caller,
            Self::Directory { .. } | Self::Trace { .. } => Fault::Platform,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Directory {
    path: PathBuf,
    uid: u32,
    gid: u32,
    mode: u32,
}

/// Makes the directories and the boot trace. Running it again changes nothing.
///
/// # Errors
/// The first directory that cannot be made, by path.
pub fn run(args: &Args, boot_dir: &Path) -> Result<(), InitError> {
    let refused = |reason: String| InitError::Directories { reason };
    let json = BASE64_STANDARD
        .decode(&args.directories)
        .map_err(|error| refused(error.to_string()))?;
    let directories: Vec<Directory> =
        serde_json::from_slice(&json).map_err(|error| refused(error.to_string()))?;
    for directory in &directories {
        make(directory).map_err(|source| InitError::Directory {
            path: directory.path.clone(),
            source,
        })?;
    }
    write_trace(boot_dir).map_err(|source| InitError::Trace {
        path: boot_dir.to_owned(),
        source,
    })
}

/// Walks from the root by descriptors, so that nothing that is swapped on the way redirects the owner change.
fn make(directory: &Directory) -> io::Result<()> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut at = OwnedFd::from(File::open("/")?);
    for part in directory.path.components() {
        let name = match part {
            Component::RootDir => continue,
            Component::Normal(name) => name,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        match mkdirat(at.as_fd(), name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        at = openat(at.as_fd(), name, flags, Mode::empty())?;
    }
    if !directory.path.is_absolute() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    fchown(
        at.as_fd(),
        Some(Uid::from_raw(directory.uid)),
        Some(Gid::from_raw(directory.gid)),
    )?;
    // The sticky bit is the only special one that a group needs.
    fchmod(
        at.as_fd(),
        Mode::from_bits_truncate(directory.mode & 0o1777),
    )?;
    Ok(())
}

/// Writes a random W3C `traceparent`, once.
fn write_trace(boot_dir: &Path) -> io::Result<()> {
    let failed = |_| io::Error::other("no random bytes");
    let (trace, span) = (
        random::bytes::<16>().map_err(failed)?,
        random::bytes::<8>().map_err(failed)?,
    );
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(boot_dir.join("traceparent"));
    match opened {
        Ok(mut file) => write!(file, "00-{}-{}-01", hex::encode(trace), hex::encode(span)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn args(json: &str) -> Args {
        Args {
            directories: BASE64_STANDARD.encode(json),
        }
    }

    #[test]
    fn directories_get_owner_and_mode_and_a_second_run_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sockets/identity");
        let args = args(&format!(
            r#"[{{"path":"{}","uid":10029,"gid":10029,"mode":457}}]"#,
            path.display()
        ));
        run(&args, folder.path()).unwrap();
        let first = std::fs::read(folder.path().join("traceparent")).unwrap();
        run(&args, folder.path()).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777),
            (10029, 10029, 0o711)
        );
        assert_eq!(
            std::fs::read(folder.path().join("traceparent")).unwrap(),
            first
        );
        assert_eq!(first.len(), 55);
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("sockets")).unwrap();
        let args = args(&format!(
            r#"[{{"path":"{}/sockets/identity","uid":10029,"gid":10029,"mode":457}}]"#,
            folder.path().display()
        ));
        assert!(matches!(
            run(&args, folder.path()),
            Err(InitError::Directory { .. })
        ));
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_unreadable_list_or_a_relative_path_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            run(&args("[{}]"), folder.path()),
            Err(InitError::Directories { .. })
        ));
        let relative = args(r#"[{"path":"a/../b","uid":1,"gid":1,"mode":448}]"#);
        assert!(matches!(
            run(&relative, folder.path()),
            Err(InitError::Directory { .. })
        ));
    }
}
