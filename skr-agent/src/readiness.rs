use std::sync::Arc;
use std::time::Duration;

use attestation::{Attester, RuntimeData};
use sidecar_http::{Coded, Pace, chain};
use sidecar_kit::{Latch, Process};

use crate::failure::retryable;
use crate::{Agent, SkrError};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// As long as a group may live.
const ALWAYS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What the agent can tell of itself without asking MAA or a vault.
#[derive(Debug)]
pub struct SelfCheck {
    /// The guest device gives reports that are bound to what was asked.
    pub device: Result<(), SkrError>,
    /// The security context has policy and endorsement of the utility VM.
    pub context: Result<(), SkrError>,
    /// There are certificates for the chip and its firmware; `None` without a report to find them for.
    pub endorsements: Option<Result<(), SkrError>>,
    /// All of it fits together and is signed by whom it should; `None` if a part is missing.
    pub verification: Option<Result<(), SkrError>>,
}

impl<A: Attester> Agent<A> {
    /// Checks what every answer of this agent needs, part by part.
    #[tracing::instrument(name = "evidence.self_check", skip_all)]
    pub async fn self_check(&self) -> SelfCheck {
        let runtime = RuntimeData::new(*b"self-check");
        let context = self.context().await;
        let artefacts = context
            .policy()
            .and_then(|_| context.uvm_endorsements())
            .map(|_| ());
        let report = self.report(&runtime).await;
        let endorsements = match &report {
            Ok(report) => Some(self.endorsements(report, &context).await),
            Err(_) => None,
        };
        let whole = artefacts.is_ok() && matches!(endorsements, Some(Ok(())));
        let verification = match whole {
            true => Some(
                self.evidence(&runtime)
                    .await
                    .map(|_| ())
                    .map_err(SkrError::from),
            ),
            false => None,
        };
        SelfCheck {
            device: report.map(|_| ()),
            context: artefacts.map_err(SkrError::from),
            endorsements,
            verification,
        }
    }
}

/// The latches of `/ready`, each taken when it opens.
pub(crate) struct Latches([Option<Latch>; 4]);

impl Latches {
    pub(crate) fn new(process: &Process) -> Self {
        let names = ["device", "context", "endorsements", "verification"];
        Self(names.map(|name| Some(process.latch(name))))
    }

    /// Opens what holds and says why the rest does not; whether that may come right by itself.
    fn settle(&mut self, check: SelfCheck) -> bool {
        let parts = [
            Some(check.device),
            Some(check.context),
            check.endorsements,
            check.verification,
        ];
        let mut hope = false;
        for (slot, outcome) in self.0.iter_mut().zip(parts) {
            match outcome {
                Some(Ok(())) => {
                    if let Some(latch) = slot.take() {
                        latch.open();
                    }
                }
                Some(Err(error)) if retryable(&error) => {
                    hope = true;
                    if let Some(latch) = slot {
                        let reason = chain(&error);
                        tracing::error!(code = error.code(), error = reason, "not ready");
                        latch.explain(format!("{}: {reason}", error.code()));
                    }
                }
                Some(Err(error)) => {
                    if let Some(latch) = slot.take() {
                        latch.fail(error.code(), &chain(&error));
                    }
                }
                // What it waits for has its own latch.
                None => {}
            }
        }
        hope && self.0.iter().any(Option::is_some)
    }
}

/// Opens the latches; checks again only where a service of others failed, which gives no notice when it is back.
pub(crate) async fn watch<A: Attester>(agent: Arc<Agent<A>>, mut latches: Latches) {
    let mut pace = Pace::new(FIRST_PAUSE, LONGEST_PAUSE, ALWAYS);
    while latches.settle(agent.self_check().await) && pace.pause().await {}
}
