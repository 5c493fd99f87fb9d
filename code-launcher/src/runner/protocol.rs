use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Largest message in bytes; the socket keeps message boundaries.
const LARGEST: usize = 128 << 10;

/// What the launcher may ask.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Request {
    /// Run the application; its standard output and error come along.
    Run(RunRequest),
    /// Send SIGTERM to the application.
    Terminate,
    /// Send SIGKILL to the application.
    Kill,
}

/// A command line for the measured application.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RunRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `<name>=<value>`; a later one wins.
    pub environment: Vec<String>,
    /// Working directory.
    pub working_dir: String,
}

/// What the runner answers.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Reply {
    /// The application's first instruction has run.
    Started,
    /// Limits cannot be enforced here.
    NoLimits,
    /// The application was not started.
    Failed(String),
    /// It has ended with this code; 128 + signal for a killed one.
    Exited(u8),
}

pub(super) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    fds: &[RawFd],
) -> Result<(), Errno> {
    let bytes = serde_json::to_vec(message).map_err(|_| Errno::EINVAL)?;
    if bytes.len() > LARGEST {
        return Err(Errno::EMSGSIZE);
    }
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(&bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )
    .map(|_| ())
}

/// The next message with its descriptors; `None` at the end.
#[expect(
    unsafe_code,
    reason = "descriptors that arrive are owned by whoever receives them"
)]
pub(super) fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> Result<Option<(T, Vec<OwnedFd>)>, Errno> {
    let mut bytes = vec![0; LARGEST];
    let mut control = nix::cmsg_space!([RawFd; 4]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = part {
            // SAFETY: the kernel has just made these descriptors for this process.
            fds.extend(
                received
                    .into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    let (length, truncated) = (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC));
    if length == 0 {
        return Ok(None);
    }
    if truncated {
        return Err(Errno::EMSGSIZE);
    }
    let text = bytes.get(..length).unwrap_or_default();
    let value = serde_json::from_slice(text).map_err(|_| Errno::EBADMSG)?;
    Ok(Some((value, fds)))
}
