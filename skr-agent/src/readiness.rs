use std::sync::Arc;
use std::time::Duration;

use attestation::{Attester, Evidence, RuntimeData};
use sidecar_http::{Coded, Fault, Pace, chain};
use sidecar_kit::{Latch, Process};

use crate::{Agent, SkrError};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A check costs one request to the secure processor, which the host may throttle for all of its guests.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
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
    /// Checks what every answer of this agent needs, part by part, over one report.
    #[tracing::instrument(name = "evidence.self_check", skip_all)]
    pub async fn self_check(&self) -> SelfCheck {
        let runtime = RuntimeData::new(*b"self-check");
        let context = self.context().await;
        let artefacts = context.policy().and_then(|_| context.uvm_endorsements());
        let context_complete = artefacts.is_ok();
        let report = Evidence::bound_report(&self.attester, &runtime).await;
        let endorsements = match &report {
            Ok(report) => Some(self.config.endorsements.find(report, &context).await),
            Err(_) => None,
        };
        let verification = match (&report, &endorsements) {
            (Ok(report), Some(Ok(endorsements))) if context_complete => {
                let evidence = Evidence::of(report.clone(), endorsements, &context);
                let verified =
                    evidence.and_then(|one| one.verified(&self.verifier, &context, &runtime));
                Some(verified.map(|_| ()))
            }
            _ => None,
        };
        SelfCheck {
            device: report.map(|_| ()).map_err(SkrError::from),
            context: artefacts.map(|_| ()).map_err(SkrError::from),
            endorsements: endorsements.map(|found| found.map(|_| ()).map_err(SkrError::from)),
            verification: verification.map(|verified| verified.map_err(SkrError::from)),
        }
    }
}

/// The conditions of `/ready`.
pub(crate) struct Latches([Condition; 4]);

struct Condition {
    /// Taken when it opens.
    latch: Option<Latch>,
    /// Why it is closed, as it was last told.
    reason: String,
}

impl Latches {
    pub(crate) fn new(process: &Process) -> Self {
        let names = ["device", "context", "endorsements", "verification"];
        Self(names.map(|name| Condition {
            latch: Some(process.latch(name)),
            reason: String::new(),
        }))
    }

    /// Opens what holds and says why the rest does not; whether to check again.
    fn settle(&mut self, check: SelfCheck) -> bool {
        let parts = [
            Some(check.device),
            Some(check.context),
            check.endorsements,
            check.verification,
        ];
        let mut hopeless = false;
        for (condition, outcome) in self.0.iter_mut().zip(parts) {
            match outcome {
                Some(Ok(())) => {
                    if let Some(latch) = condition.latch.take() {
                        latch.open();
                    }
                }
                Some(Err(error)) => {
                    hopeless |= error.fault() == Fault::Denied;
                    condition.close(&error);
                }
                // What it waits for has its own latch.
                None => {}
            }
        }
        !hopeless && self.0.iter().any(|condition| condition.latch.is_some())
    }
}

impl Condition {
    fn close(&mut self, error: &SkrError) {
        let reason = format!("{}: {}", error.code(), chain(error));
        if let Some(latch) = &self.latch
            && reason != self.reason
        {
            tracing::error!(code = error.code(), error = chain(error), "not ready");
            latch.explain(reason.clone());
            self.reason = reason;
        }
    }
}

/// Opens the latches. What is missing may come without notice, certificates above all, so it is looked for again until all
/// is there; only how the guest was launched never changes.
pub(crate) async fn watch<A: Attester>(agent: Arc<Agent<A>>, mut latches: Latches) {
    let mut pace = Pace::new(FIRST_PAUSE, LONGEST_PAUSE, ALWAYS);
    while latches.settle(agent.self_check().await) && pace.pause().await {}
}
