use std::sync::Arc;
use std::time::Duration;

use sidecar_http::{Coded, Pace, chain};
use sidecar_kit::{Latch, Process};

use crate::{Agent, CvmError};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// As long as a machine may live.
const ALWAYS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The latches of `/ready`, each taken when it is settled.
pub(crate) struct Latches {
    tpm: Option<Latch>,
    endorsements: Option<Latch>,
    /// The reason as it was last told.
    reason: String,
}

/// What to do about what does not hold.
enum Next {
    Again {
        /// A new report may cure it.
        renew: bool,
    },
    Nothing,
}

impl Latches {
    pub(crate) fn new(process: &Process) -> Self {
        Self {
            tpm: Some(process.latch("tpm")),
            endorsements: Some(process.latch("endorsements")),
            reason: String::new(),
        }
    }
}

/// Opens the latches. What is missing may come without notice, certificates above all, so it is looked for again until all
/// is there; only how the guest was launched never changes.
pub(crate) async fn watch(agent: Arc<Agent>, mut latches: Latches) {
    let mut pace = Pace::new(FIRST_PAUSE, LONGEST_PAUSE, ALWAYS);
    let mut renew = false;
    while let Next::Again { renew: next } = check(&agent, &mut latches, renew).await
        && pace.pause().await
    {
        renew = next;
    }
}

async fn check(agent: &Agent, latches: &mut Latches, renew: bool) -> Next {
    let sound = match agent.own(renew).await {
        Ok(sound) => sound,
        Err(error) => return close(&mut latches.tpm, &mut latches.reason, &error),
    };
    open(&mut latches.tpm);
    match agent.certify(&sound).await {
        Ok(()) => {
            open(&mut latches.endorsements);
            Next::Nothing
        }
        Err(error) => close(&mut latches.endorsements, &mut latches.reason, &error),
    }
}

fn open(latch: &mut Option<Latch>) {
    if let Some(latch) = latch.take() {
        latch.open();
    }
}

fn close(latch: &mut Option<Latch>, told: &mut String, error: &CvmError) -> Next {
    let reason = chain(error);
    if error.is_final() {
        if let Some(latch) = latch.take() {
            latch.fail(error.code(), &reason);
        }
        return Next::Nothing;
    }
    let explained = format!("{}: {reason}", error.code());
    if let Some(latch) = latch
        && explained != *told
    {
        tracing::error!(code = error.code(), error = reason, "not ready");
        latch.explain(explained.clone());
        *told = explained;
    }
    Next::Again {
        renew: error.passes(),
    }
}
