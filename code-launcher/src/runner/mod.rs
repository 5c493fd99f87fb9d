//! The root half of the launcher.
//!
//! It knows the measured arguments and accepts four messages over an inherited socket: run, stop, kill. What runs is built
//! from the measured application and a command line; nothing that the launcher proper says can widen it.

mod bundle;
mod client;
mod oci;
mod protocol;
mod seccomp;
mod serve;

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, Gid, Uid, fork, geteuid, setgid, setgroups, setuid};

use crate::{Args, Config, LaunchError};

pub use bundle::spec;
pub(crate) use client::Runner;
pub use protocol::RunRequest;

/// The launcher's end of the socket.
#[derive(Debug)]
pub struct Link(OwnedFd);

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
            setgroups(&[]).map_err(failed)?;
            setgid(Gid::from_raw(uid)).map_err(failed)?;
            setuid(Uid::from_raw(uid)).map_err(failed)?;
            // After the change of user, which clears it.
            nix::sys::prctl::set_pdeathsig(Some(Signal::SIGKILL)).map_err(failed)?;
            Ok(Side::Launcher(Link(launcher_end)))
        }
        ForkResult::Parent { child } => {
            drop(launcher_end);
            serve::serve(&config, &runner_end, child).map(Side::Runner)
        }
    }
}
