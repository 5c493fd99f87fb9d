//! Mounting as root, and giving root up.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use caps::Capability;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid};
use sidecar_kit::{Privileges, harden};

use crate::ShimError;

/// A mount whose requests arrive on a descriptor, and the helper that ends it.
#[derive(Debug)]
pub struct Mounted {
    /// `/dev/fuse`, connected to the mount.
    pub device: OwnedFd,
    /// What ends the mount.
    pub guard: Guard,
}

/// Ends the mount when it is dropped or its process dies.
#[derive(Debug)]
pub struct Guard {
    line: OwnedFd,
    helper: Pid,
    path: PathBuf,
}

impl Guard {
    /// The mount point.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Unmounts and waits until it is done. Files that are still open lose their mount when the process ends.
    ///
    /// # Errors
    /// The helper could not unmount.
    pub fn unmount(self) -> Result<(), ShimError> {
        drop(self.line);
        let failed = |errno| ShimError::system("unmounting")(errno);
        match waitpid(self.helper, None).map_err(failed)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            _ => Err(failed(Errno::EBUSY)),
        }
    }
}

/// Mounts at `path` as [`attach`] does and leaves the helper. Must run before any thread starts.
///
/// # Errors
/// As [`attach`].
pub fn mount(path: &Path, owner: u32, read_only: bool) -> Result<Mounted, ShimError> {
    let device = attach(path, owner, read_only)?;
    match leave_helper(path) {
        Ok(guard) => Ok(Mounted { device, guard }),
        Err(error) => {
            // Closing the device ends the connection; the mount point must not stay behind dead.
            drop(device);
            let _ = nix::mount::umount2(path, MntFlags::MNT_DETACH);
            Err(error)
        }
    }
}

/// Mounts at `path`, over a dead mount if there is one: for every user, with the kernel checking permissions. Returns
/// `/dev/fuse`, connected to the mount. Must run as root.
///
/// # Errors
/// [`ShimError::NotRoot`], or the system call that failed.
pub fn attach(path: &Path, owner: u32, read_only: bool) -> Result<OwnedFd, ShimError> {
    if !Uid::effective().is_root() {
        return Err(ShimError::NotRoot);
    }
    detach_dead(path)?;
    fs::create_dir_all(path).map_err(ShimError::io("making the mount point"))?;
    let device: OwnedFd = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_CLOEXEC.bits())
        .open("/dev/fuse")
        .map_err(ShimError::io("opening /dev/fuse"))?
        .into();
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    if read_only {
        flags |= MsFlags::MS_RDONLY;
    }
    let options = format!(
        "fd={},rootmode=40000,user_id={owner},group_id={owner},default_permissions,allow_other",
        device.as_raw_fd()
    );
    nix::mount::mount(
        Some("cleanroom"),
        path,
        Some("fuse.cleanroom"),
        flags,
        Some(options.as_str()),
    )
    .map_err(ShimError::system("mounting"))?;
    Ok(device)
}

/// A mount whose process was killed answers ENOTCONN until somebody detaches it.
fn detach_dead(path: &Path) -> Result<(), ShimError> {
    // Mounts can lie over one another; no honest number of crashes comes close.
    for _ in 0..64 {
        // Not `stat`: the kernel answers that from memory for as long as it may believe the dead process.
        match nix::sys::statvfs::statvfs(path) {
            Err(Errno::ENOTCONN) => {
                let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
                nix::mount::umount2(path, flags)
                    .map_err(ShimError::system("detaching a dead mount"))?;
            }
            _ => return Ok(()),
        }
    }
    Err(ShimError::io("detaching a dead mount")(
        io::ErrorKind::ResourceBusy.into(),
    ))
}

/// Forks a process that does nothing but unmount when the other end of a pipe is closed.
#[allow(unsafe_code)]
fn leave_helper(path: &Path) -> Result<Guard, ShimError> {
    let (end, line) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(ShimError::system("a pipe"))?;
    // SAFETY: the caller has not started a thread yet, so the child may allocate and take locks; it never returns.
    match unsafe { nix::unistd::fork() }.map_err(ShimError::system("forking"))? {
        ForkResult::Parent { child } => Ok(Guard {
            line,
            helper: child,
            path: path.to_owned(),
        }),
        ForkResult::Child => {
            drop(line);
            let code = i32::from(help(&end, path).is_err());
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
    }
}

#[allow(unsafe_code)]
fn help(end: &OwnedFd, path: &Path) -> Result<(), ShimError> {
    let failed = ShimError::system;
    // The device, above all: the connection must end with the process that serves it.
    for (first, last) in [
        (0, end.as_raw_fd() - 1),
        (end.as_raw_fd() + 1, libc::c_int::MAX),
    ] {
        if first <= last {
            // SAFETY: closes descriptors that only the parent's copy of this memory refers to.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
    // Signals for the parent's group are not for the helper.
    nix::unistd::setsid().map_err(failed("a new session"))?;
    harden(&Privileges::none().keep(&[Capability::CAP_SYS_ADMIN]))
        .map_err(|error| ShimError::Config(error.to_string()))?;
    let mut byte = [0];
    loop {
        match nix::unistd::read(end, &mut byte) {
            Ok(0) => break,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed("waiting")(errno)),
        }
    }
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    nix::mount::umount2(path, flags).map_err(failed("unmounting"))
}

/// Becomes a user for good: no group but its own, no way back.
///
/// # Errors
/// The system call that failed, or a way back that is left.
pub fn become_user(uid: u32) -> Result<(), ShimError> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    if Uid::effective() == user {
        return Ok(());
    }
    nix::unistd::setgroups(&[]).map_err(ShimError::system("dropping groups"))?;
    nix::unistd::setresgid(group, group, group).map_err(ShimError::system("changing the group"))?;
    nix::unistd::setresuid(user, user, user).map_err(ShimError::system("changing the user"))?;
    if nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(ShimError::system("giving root up")(Errno::EPERM));
    }
    Ok(())
}
