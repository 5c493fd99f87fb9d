use std::io;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Collected, Job, TpmFailure};
use crate::CvmError;

/// This program as it was started, whatever has become of its file.
const PROGRAM: &str = "/proc/self/exe";
/// The largest NV index as JSON has less.
const ANSWER_CAP: u64 = 1 << 20;

/// A process that does one job.
pub(super) struct WorkerProcess(Child);

impl WorkerProcess {
    pub(super) fn start() -> Result<Self, CvmError> {
        Command::new(PROGRAM)
            .arg("--tpm-worker")
            .env_clear()
            // The library writes to standard error; what matters comes back as an answer.
            .env("TSS2_LOG", "all+NONE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map(Self)
            .map_err(|error| CvmError::Worker {
                reason: format!("not started: {error}"),
            })
    }

    /// Hands the job over and reads the answer.
    pub(super) async fn ask(&mut self, job: &Job) -> Result<Collected, CvmError> {
        let answer = self.exchange(job).await.map_err(|error| CvmError::Worker {
            reason: error.to_string(),
        })?;
        match serde_json::from_slice::<Result<Collected, TpmFailure>>(&answer) {
            Ok(outcome) => outcome.map_err(CvmError::from),
            Err(error) => Err(CvmError::Worker {
                reason: match self.0.wait().await {
                    Ok(status) => format!("no usable answer ({error}), {status}"),
                    Err(lost) => format!("no usable answer ({error}), {lost}"),
                },
            }),
        }
    }

    async fn exchange(&mut self, job: &Job) -> io::Result<Vec<u8>> {
        let question = serde_json::to_vec(job)?;
        if let Some(mut stdin) = self.0.stdin.take() {
            stdin.write_all(&question).await?;
            stdin.shutdown().await?;
        }
        let mut answer = Vec::new();
        if let Some(stdout) = self.0.stdout.take() {
            stdout.take(ANSWER_CAP).read_to_end(&mut answer).await?;
        }
        Ok(answer)
    }

    /// Ends it and waits until it is gone.
    pub(super) async fn end(mut self) {
        // It fails for one that has ended already.
        let _ = self.0.kill().await;
    }
}
