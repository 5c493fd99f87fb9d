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
#[serde(deny_unknown_fields)]
pub(super) enum Request {
    /// Make the container, without starting its program; standard output and error come along.
    Create(ImageSettings),
    /// Start the program of the container.
    Start,
    /// Send SIGTERM to the application.
    Terminate,
    /// Send SIGKILL to the application.
    Kill,
    /// Copy what was gathered into its measured sink.
    Export(Gathered),
}

/// What the image says about running it. The measured application goes before all of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSettings {
    /// Program and arguments, where the application names none.
    pub command: Vec<String>,
    /// `<name>=<value>`; the application's own win.
    pub environment: Vec<String>,
    /// Working directory; `/` when absent.
    pub working_dir: Option<String>,
}

/// What a room gathers for its parties.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Gathered {
    /// Output of the application.
    Logs,
    /// Traces, metrics and logs of the sidecars.
    Telemetry,
    /// Events that did not reach the ledger.
    Audit,
}

/// What the runner answers.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Reply {
    /// The container is made.
    Created,
    /// The application's program was started.
    Started,
    /// Every file is durable in the sink; their number.
    Exported(usize),
    /// What was asked for last did not succeed.
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
