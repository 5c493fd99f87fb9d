use std::sync::Arc;
use std::time::Duration;

use sidecar_http::{Coded, Pace, chain};
use sidecar_kit::{Latch, Process};

use crate::{Agent, CvmError};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// As long as a machine may live.
const ALWAYS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The latches of `/ready`, each taken when it opens.
pub(crate) struct Latches {
    tpm: Option<Latch>,
    endorsements: Option<Latch>,
}

impl Latches {
    pub(crate) fn new(process: &Process) -> Self {
        Self {
            tpm: Some(process.latch("tpm")),
            endorsements: Some(process.latch("endorsements")),
        }
    }

    fn closed(&self) -> bool {
        self.tpm.is_some() || self.endorsements.is_some()
    }
}

/// Opens the latches; checks again only what may come right by itself, which gives no notice when it does.
pub(crate) async fn watch(agent: Arc<Agent>, mut latches: Latches) {
    let mut pace = Pace::new(FIRST_PAUSE, LONGEST_PAUSE, ALWAYS);
    while latches.closed() && check(&agent, &mut latches).await && pace.pause().await {}
}

/// Whether there is hope for what does not hold.
async fn check(agent: &Agent, latches: &mut Latches) -> bool {
    let sound = match agent.own().await {
        Ok(sound) => sound,
        Err(error) => return explain(&latches.tpm, &error),
    };
    open(&mut latches.tpm);
    match agent.certify(&sound).await {
        Ok(()) => {
            open(&mut latches.endorsements);
            false
        }
        Err(error) => explain(&latches.endorsements, &error),
    }
}

fn open(latch: &mut Option<Latch>) {
    if let Some(latch) = latch.take() {
        latch.open();
    }
}

fn explain(latch: &Option<Latch>, error: &CvmError) -> bool {
    let reason = chain(error);
    tracing::error!(code = error.code(), error = reason, "not ready");
    if let Some(latch) = latch {
        latch.explain(format!("{}: {reason}", error.code()));
    }
    error.retryable() || error.passes()
}
