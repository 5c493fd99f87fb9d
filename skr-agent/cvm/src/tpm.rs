//! The TPM, one collection at a time.

mod job;
mod worker;
mod worker_process;

use std::sync::Arc;
use std::time::Duration;

use sidecar_http::Pace;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use job::{Collected, Job};
pub use job::{Part, TpmFailure};
pub use worker::tpm_worker;

use crate::CvmError;
use worker_process::WorkerProcess;

/// Requests that may wait for their turn; each takes some seconds.
const WAITING: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a TPM that another process has open is asked again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The virtual TPM of this machine: `/dev/tpm0`, where `az-cvm-vtpm` looks for it.
///
/// Requests go one at a time: the report binds the `user-data` written last, so two at once would get each other's.
/// Each is answered by a process of its own, so a TPM that hangs costs one request and not the agent.
#[derive(Debug)]
pub struct Tpm {
    deadline: Duration,
    places: Semaphore,
    turn: Arc<Mutex<()>>,
}

impl Tpm {
    /// The TPM, with the time for one collection, which is also the time that a request waits for its turn.
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            places: Semaphore::new(WAITING),
            turn: Arc::default(),
        }
    }

    /// Does one job. It is done even if nobody waits for it any more: half of it would leave another caller's
    /// `user-data`.
    pub(crate) async fn collect(&self, job: Job) -> Result<Collected, CvmError> {
        let _place = self.places.try_acquire().map_err(|_| CvmError::Crowded {
            reason: format!("at most {WAITING} may wait"),
        })?;
        let seconds = self.deadline.as_secs();
        let turn = timeout(self.deadline, Arc::clone(&self.turn).lock_owned())
            .await
            .map_err(|_| CvmError::Crowded {
                reason: format!("no turn within {seconds} s"),
            })?;
        let (tell, told) = oneshot::channel();
        tokio::spawn(serve(job, self.deadline, tell, turn));
        told.await.unwrap_or_else(|_| {
            Err(CvmError::Worker {
                reason: "the agent is stopping".to_owned(),
            })
        })
    }
}

/// Keeps the turn until the process is gone: one that waits inside the TPM's driver cannot be ended at once.
async fn serve(
    job: Job,
    deadline: Duration,
    tell: oneshot::Sender<Result<Collected, CvmError>>,
    turn: OwnedMutexGuard<()>,
) {
    let end = Instant::now() + deadline;
    let mut pace = Pace::new(FIRST_PAUSE, LONGEST_PAUSE, PATIENCE.min(deadline));
    loop {
        let mut worker = match WorkerProcess::start() {
            Ok(worker) => worker,
            Err(error) => {
                let _ = tell.send(Err(error));
                break;
            }
        };
        let outcome = timeout_at(end, worker.ask(&job)).await.unwrap_or_else(|_| {
            Err(CvmError::Deadline {
                seconds: deadline.as_secs(),
            })
        });
        if matches!(outcome, Err(CvmError::Tpm(TpmFailure::Busy { .. }))) {
            worker.end().await;
            if pace.pause().await {
                continue;
            }
            let _ = tell.send(outcome);
            break;
        }
        // Whoever asked has left if this fails.
        let _ = tell.send(outcome);
        worker.end().await;
        break;
    }
    drop(turn);
}
