//! The root half of the launcher.
//!
//! It knows the measured arguments and accepts five messages over an inherited socket: create, start, terminate, kill,
//! export. What runs is built from the measured application and what its image says about running it; nothing that the
//! launcher proper says can widen it.

mod bundle;
mod client;
mod oci;
mod protocol;
mod seccomp;
mod serve;

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use caps::Capability;
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, Gid, Uid, fork, geteuid, setgroups, setresgid, setresuid};

use sidecar_kit::{Privileges, harden};

use crate::{Args, Config, LaunchError};

pub use bundle::spec;
pub(crate) use client::Runner;
pub(crate) use protocol::Gathered;
pub use protocol::ImageSettings;

/// The launcher's end of the socket, and what root found out about this machine.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    enforceable: bool,
}

impl Link {
    /// Whether processor and memory limits can be enforced here.
    pub(crate) const fn enforces_limits(&self) -> bool {
        self.enforceable
    }
}

/// What the OCI runtime needs to make namespaces, mounts, devices and users; everything else is dropped.
const KEEP: [Capability; 11] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_KILL,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_CHROOT,
];

/// Which half this process is.
#[derive(Debug)]
pub enum Side {
    /// The launcher proper, already its own user.
    Launcher(Link),
    /// The runner, at the end of the launcher; the launcher's exit code.
    Runner(ExitCode),
}

/// Splits the process: the caller stays root as the runner until the launcher has ended, the child becomes `uid`.
///
/// Must be called before any thread is started.
///
/// # Errors
/// The arguments are not usable, the process is not root, or it cannot be split.
#[expect(unsafe_code, reason = "fork")]
pub fn split(args: &Args, uid: u32) -> Result<Side, LaunchError> {
    let config = Config::try_from(args.clone())?;
    if !geteuid().is_root() {
        return Err(LaunchError::NoRunner);
    }
    let failed = |errno: nix::errno::Errno| LaunchError::io("splitting the launcher", errno);
    let enforceable = oci::cgroup_available();
    let (launcher_end, runner_end) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(failed)?;
    // SAFETY: the process has one thread, so the child may use everything.
    match unsafe { fork() }.map_err(failed)? {
        ForkResult::Child => {
            drop(runner_end);
            become_user(uid)?;
            // After the change of user, which clears it.
            nix::sys::prctl::set_pdeathsig(Some(Signal::SIGKILL)).map_err(failed)?;
            Ok(Side::Launcher(Link {
                socket: launcher_end,
                enforceable,
            }))
        }
        ForkResult::Parent { child } => {
            drop(launcher_end);
            // The application inherits the filter: the SNP report ioctls stay denied to it as well.
            harden(&Privileges::none().keep(&KEEP)).map_err(|error| {
                LaunchError::io("hardening the runner", std::io::Error::other(error))
            })?;
            serve::serve(&config, &runner_end, child).map(Side::Runner)
        }
    }
}

/// Becomes a user for good: no group but its own, no way back.
///
/// # Errors
/// The system call that failed.
pub fn become_user(uid: u32) -> Result<(), LaunchError> {
    let failed = |errno: nix::errno::Errno| LaunchError::io("giving root up", errno);
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    setgroups(&[]).map_err(failed)?;
    setresgid(group, group, group).map_err(failed)?;
    setresuid(user, user, user).map_err(failed)
}
