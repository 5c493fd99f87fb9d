use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::oci::{Runtime, StartError};
use super::protocol::{Reply, Request, receive, send};
use crate::{Config, LaunchError};

/// Serves the launcher until it has ended; its exit code.
pub(super) fn serve(
    config: &Config,
    socket: &OwnedFd,
    launcher: Pid,
) -> Result<ExitCode, LaunchError> {
    let failed = |errno: Errno| LaunchError::io("the runner", errno);
    // The container's first process is a grandchild; its exit code comes here once its parent is gone.
    nix::sys::prctl::set_child_subreaper(true).map_err(failed)?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        signals.add(signal);
    }
    signals.thread_block().map_err(failed)?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(failed)?;
    let mut runtime = Runtime::new(config)?;
    let mut talking = true;
    loop {
        let (asked, signalled) = {
            let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            if talking {
                fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            }
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
            let happened = |fd: Option<&PollFd<'_>>| {
                fd.and_then(PollFd::revents)
                    .is_some_and(|events| !events.is_empty())
            };
            (happened(fds.get(1)), happened(fds.first()))
        };
        if signalled {
            while let Some(signal) = signals.read_signal().map_err(failed)? {
                if signal.ssi_signo != Signal::SIGCHLD as u32 {
                    let _ = kill(launcher, Signal::SIGTERM);
                }
            }
            if let Some(code) = reap(&mut runtime, socket, launcher).map_err(failed)? {
                runtime.clean_up();
                return Ok(ExitCode::from(code));
            }
        }
        if asked {
            talking = answer(&mut runtime, socket);
        }
    }
}

/// Answers one message; false when there will be no more.
fn answer(runtime: &mut Runtime<'_>, socket: &OwnedFd) -> bool {
    let (request, fds) = match receive::<Request>(socket.as_fd()) {
        Ok(Some(message)) => message,
        Ok(None) | Err(Errno::ECONNRESET) => return false,
        Err(errno) => {
            let _ = send(socket.as_fd(), &Reply::Failed(errno.to_string()), &[]);
            return true;
        }
    };
    let reply = match request {
        Request::Create(image) => runtime.create(&image, fds).map(|()| Reply::Created),
        Request::Start => runtime.start().map(|()| Reply::Started),
        Request::Export(what) => runtime.export(what).map(Reply::Exported),
        Request::Terminate => {
            runtime.signal(Signal::SIGTERM);
            return true;
        }
        Request::Kill => {
            runtime.signal(Signal::SIGKILL);
            return true;
        }
    };
    let reply = reply.unwrap_or_else(|StartError(reason)| Reply::Failed(reason));
    let _ = send(socket.as_fd(), &reply, &[]);
    true
}

/// Collects every ended child; the launcher's exit code if it was among them.
fn reap(runtime: &mut Runtime<'_>, socket: &OwnedFd, launcher: Pid) -> Result<Option<u8>, Errno> {
    loop {
        let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, u8::try_from(code).unwrap_or(u8::MAX)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                (pid, 128 + u8::try_from(signal as i32).unwrap_or(127))
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno),
        };
        if pid == launcher {
            return Ok(Some(code));
        }
        if runtime.ended(pid) {
            let _ = send(socket.as_fd(), &Reply::Exited(code), &[]);
        }
    }
}
