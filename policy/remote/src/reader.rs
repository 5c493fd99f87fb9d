//! From a stream of tokio to a reader of a thread.

use std::io::{self, Read};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// Reads a stream of a running runtime, on a thread that is not one of the runtime's own. After the deadline every read
/// fails with [`io::ErrorKind::TimedOut`].
pub struct BlockingReader {
    runtime: Handle,
    stream: BoxStream<'static, io::Result<Bytes>>,
    part: Bytes,
    deadline: Instant,
}

impl BlockingReader {
    /// A reader of `stream`.
    pub const fn new(
        runtime: Handle,
        stream: BoxStream<'static, io::Result<Bytes>>,
        deadline: Instant,
    ) -> Self {
        Self {
            runtime,
            stream,
            part: Bytes::new(),
            deadline,
        }
    }
}

impl Read for BlockingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            let next = async { timeout_at(self.deadline, self.stream.next()).await };
            match self.runtime.block_on(next) {
                Ok(Some(part)) => self.part = part?,
                Ok(None) => return Ok(0),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        let most = self.part.len().min(buffer.len());
        let part = self.part.split_to(most);
        part.as_ref().read(buffer)
    }
}

impl std::fmt::Debug for BlockingReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingReader").finish_non_exhaustive()
    }
}
