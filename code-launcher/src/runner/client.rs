use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::protocol::{Reply, Request, receive, send};
use super::{Link, RunRequest};
use crate::LaunchError;

/// Exit code of an application whose end nobody saw.
const LOST: u8 = 255;

/// The launcher's view of the runner.
#[derive(Debug)]
pub(crate) struct Runner {
    socket: Arc<OwnedFd>,
    replies: mpsc::UnboundedReceiver<Reply>,
}

impl Runner {
    pub(crate) fn new(link: Link) -> Self {
        let socket = Arc::new(link.0);
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
        Self { socket, replies }
    }

    /// Starts the application; returns when its first instruction has run.
    pub(crate) async fn run(
        &mut self,
        request: RunRequest,
        streams: [OwnedFd; 2],
    ) -> Result<(), LaunchError> {
        let fds = streams.each_ref().map(AsRawFd::as_raw_fd);
        send(self.socket.as_fd(), &Request::Run(request), &fds)
            .map_err(|errno| LaunchError::io("the runner", errno))?;
        match self.replies.recv().await {
            Some(Reply::Started) => Ok(()),
            Some(Reply::NoLimits) => Err(LaunchError::Limits),
            Some(Reply::Failed(reason)) => Err(LaunchError::Runtime { reason }),
            Some(Reply::Exited(_)) | None => Err(LaunchError::RunnerGone),
        }
    }

    /// Waits for the end of the application.
    pub(crate) async fn exited(&mut self) -> u8 {
        loop {
            match self.replies.recv().await {
                Some(Reply::Exited(code)) => return code,
                Some(_) => {}
                None => return LOST,
            }
        }
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
