use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Link;
use super::protocol::{Gathered, ImageSettings, Reply, Request, receive, send};
use crate::LaunchError;

/// Exit code of an application whose end nobody saw.
const LOST: u8 = 255;

/// Making or starting the container takes a fraction of a second; a dead file system below a mount takes for ever.
const CONTAINER: Duration = Duration::from_secs(60);
/// Copying logs or telemetry, all of them, into a remote store.
const EXPORT: Duration = Duration::from_secs(600);

/// For the application to be gone after SIGKILL.
const KILLED: Duration = Duration::from_secs(10);

/// The launcher's view of the runner.
#[derive(Debug)]
pub(crate) struct Runner {
    socket: Arc<OwnedFd>,
    replies: mpsc::UnboundedReceiver<Reply>,
    ended: Option<u8>,
    /// It has let a deadline pass: its next reply could be to anything, so it is asked nothing more.
    late: bool,
}

impl Runner {
    pub(crate) fn new(link: Link) -> Self {
        let socket = Arc::new(link.socket);
        let (sender, replies) = mpsc::unbounded_channel();
        let reading = Arc::clone(&socket);
        // The runner sends a handful of messages in its life; a thread that waits for them is simplest.
        std::thread::spawn(move || {
            while let Ok(Some((reply, _))) = receive::<Reply>(reading.as_fd()) {
                if sender.send(reply).is_err() {
                    break;
                }
            }
        });
        Self {
            socket,
            replies,
            ended: None,
            late: false,
        }
    }

    /// Makes the container, without starting its program.
    pub(crate) async fn create(
        &mut self,
        image: ImageSettings,
        streams: [OwnedFd; 2],
    ) -> Result<(), LaunchError> {
        let fds = streams.each_ref().map(AsRawFd::as_raw_fd);
        match self.ask(&Request::Create(image), &fds, CONTAINER).await? {
            Reply::Created => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Starts the program of the container.
    pub(crate) async fn start(&mut self) -> Result<(), LaunchError> {
        match self.ask(&Request::Start, &[], CONTAINER).await? {
            Reply::Started => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Copies what was gathered into its sink, as the user that the sink belongs to; the number of files.
    pub(crate) async fn export(&mut self, what: Gathered) -> Result<usize, LaunchError> {
        match self.ask(&Request::Export(what), &[], EXPORT).await? {
            Reply::Exported(files) => Ok(files),
            Reply::Failed(reason) => Err(LaunchError::Export { reason }),
            other => Err(unexpected(other)),
        }
    }

    async fn ask(
        &mut self,
        request: &Request,
        fds: &[RawFd],
        deadline: Duration,
    ) -> Result<Reply, LaunchError> {
        if self.late {
            return Err(LaunchError::RunnerGone);
        }
        send(self.socket.as_fd(), request, fds)
            .map_err(|errno| LaunchError::io("the runner", errno))?;
        let answered = tokio::time::timeout(deadline, async {
            loop {
                match self.replies.recv().await {
                    // Told whenever it happens, whatever was asked.
                    Some(Reply::Exited(code)) => self.ended = Some(code),
                    Some(reply) => return Ok(reply),
                    None => return Err(LaunchError::RunnerGone),
                }
            }
        });
        if let Ok(reply) = answered.await {
            return reply;
        }
        self.late = true;
        Err(LaunchError::RunnerLate {
            seconds: deadline.as_secs(),
        })
    }

    /// Waits for the end of the application.
    pub(crate) async fn exited(&mut self) -> u8 {
        if let Some(code) = self.ended {
            return code;
        }
        loop {
            match self.replies.recv().await {
                Some(Reply::Exited(code)) => {
                    self.ended = Some(code);
                    return code;
                }
                Some(_) => {}
                None => return LOST,
            }
        }
    }

    /// Ends whatever was made, without waiting.
    pub(crate) fn kill(&self) {
        let _ = send(self.socket.as_fd(), &Request::Kill, &[]);
    }

    /// Ends the application: SIGTERM, and SIGKILL after `grace`.
    pub(crate) async fn stop(&mut self, grace: Duration) -> u8 {
        if !grace.is_zero() {
            let _ = send(self.socket.as_fd(), &Request::Terminate, &[]);
            if let Ok(code) = tokio::time::timeout(grace, self.exited()).await {
                return code;
            }
        }
        let _ = send(self.socket.as_fd(), &Request::Kill, &[]);
        // A process inside a request to a dead file system does not die of it; the room goes on without its code.
        tokio::time::timeout(KILLED, self.exited())
            .await
            .unwrap_or(LOST)
    }
}

fn unexpected(reply: Reply) -> LaunchError {
    match reply {
        Reply::Failed(reason) => LaunchError::Runtime { reason },
        Reply::Created | Reply::Started | Reply::Exported(_) | Reply::Exited(_) => {
            LaunchError::RunnerGone
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn pair() -> (Link, OwnedFd) {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        let link = Link {
            socket: ours,
            enforceable: false,
        };
        (link, theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_does_not_die_holds_nobody_up() {
        let (ours, _theirs) = pair();
        let mut runner = Runner::new(ours);
        assert_eq!(runner.stop(Duration::from_secs(1)).await, LOST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_runner_that_lets_a_deadline_pass_is_asked_nothing_more() {
        let (ours, theirs) = pair();
        let mut runner = Runner::new(ours);
        let late = runner.export(Gathered::Logs).await.unwrap_err();
        assert!(matches!(late, LaunchError::RunnerLate { seconds: 600 }));
        // The late answer is not taken for the next question's.
        send(theirs.as_fd(), &Reply::Exported(3), &[]).unwrap();
        let refused = runner.export(Gathered::Telemetry).await.unwrap_err();
        assert!(matches!(refused, LaunchError::RunnerGone));
        let (asked, _) = receive::<Request>(theirs.as_fd()).unwrap().unwrap();
        assert!(matches!(asked, Request::Export(Gathered::Logs)));
        drop(runner);
        let next = receive::<Request>(theirs.as_fd());
        assert!(matches!(next, Ok(None)), "{next:?}");
    }
}
