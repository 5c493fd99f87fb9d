use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Link;
use super::protocol::{Gathered, ImageSettings, Reply, Request, receive, send};
use crate::LaunchError;

/// Exit code of an application whose end nobody saw.
const LOST: u8 = 255;

/// The launcher's view of the runner.
#[derive(Debug)]
pub(crate) struct Runner {
    socket: Arc<OwnedFd>,
    replies: mpsc::UnboundedReceiver<Reply>,
    ended: Option<u8>,
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
        }
    }

    /// Makes the container, without starting its program.
    pub(crate) async fn create(
        &mut self,
        image: ImageSettings,
        streams: [OwnedFd; 2],
    ) -> Result<(), LaunchError> {
        let fds = streams.each_ref().map(AsRawFd::as_raw_fd);
        match self.ask(&Request::Create(image), &fds).await? {
            Reply::Created => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Starts the program of the container.
    pub(crate) async fn start(&mut self) -> Result<(), LaunchError> {
        match self.ask(&Request::Start, &[]).await? {
            Reply::Started => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Copies what was gathered into its sink, as the user that the sink belongs to; the number of files.
    pub(crate) async fn export(&mut self, what: Gathered) -> Result<usize, LaunchError> {
        match self.ask(&Request::Export(what), &[]).await? {
            Reply::Exported(files) => Ok(files),
            Reply::Failed(reason) => Err(LaunchError::Export { reason }),
            other => Err(unexpected(other)),
        }
    }

    async fn ask(&mut self, request: &Request, fds: &[RawFd]) -> Result<Reply, LaunchError> {
        send(self.socket.as_fd(), request, fds)
            .map_err(|errno| LaunchError::io("the runner", errno))?;
        loop {
            match self.replies.recv().await {
                // Told whenever it happens, whatever was asked.
                Some(Reply::Exited(code)) => self.ended = Some(code),
                Some(reply) => return Ok(reply),
                None => return Err(LaunchError::RunnerGone),
            }
        }
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
        self.exited().await
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
