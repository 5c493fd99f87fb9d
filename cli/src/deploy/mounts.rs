//! The file system of a local group: the volumes at the paths they have in every container.

use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use serde::{Deserialize, Serialize};

use super::DeployError;

/// A directory or file of this machine at a path of the group.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mount {
    pub source: PathBuf,
    pub target: PathBuf,
    pub read_only: bool,
    pub shared: bool,
}

/// Folders that the group gets empty and fills with its own volumes.
const OWN: [&str; 2] = ["/run", "/mnt"];

/// Arranges the calling process' mount namespace; nothing of it is visible outside.
pub(super) fn enter(mounts: &[Mount]) -> Result<(), DeployError> {
    change(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    // The sources lie on this machine, possibly below a folder that is about to be covered.
    let sources = mounts
        .iter()
        .map(|mount| std::fs::File::open(&mount.source))
        .collect::<Result<Vec<_>, _>>()?;
    for folder in OWN {
        mount(
            Some("tmpfs"),
            folder,
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            Some("mode=0755,size=16m"),
        )
        .map_err(|errno| failed(folder, errno))?;
    }
    for (mount, source) in mounts.iter().zip(&sources) {
        bind(mount, source)?;
    }
    Ok(())
}

fn bind(wanted: &Mount, source: &std::fs::File) -> Result<(), DeployError> {
    use std::os::fd::AsRawFd;
    let target = &wanted.target;
    if source.metadata()?.is_dir() {
        std::fs::create_dir_all(target)?;
    } else if !target.exists() {
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::File::create(target)?;
    }
    let source = PathBuf::from(format!("/proc/self/fd/{}", source.as_raw_fd()));
    change(Some(&source), target, MsFlags::MS_BIND)?;
    if wanted.read_only {
        change(
            None,
            target,
            MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        )?;
    }
    if wanted.shared {
        change(None, target, MsFlags::MS_SHARED)?;
    }
    Ok(())
}

fn change(source: Option<&Path>, target: &Path, flags: MsFlags) -> Result<(), DeployError> {
    mount(source, target, None::<&str>, flags, None::<&str>)
        .map_err(|errno| failed(&target.display().to_string(), errno))
}

fn failed(target: &str, errno: nix::errno::Errno) -> DeployError {
    DeployError::Namespace {
        step: "mount",
        reason: format!("{target}: {errno}"),
    }
}
