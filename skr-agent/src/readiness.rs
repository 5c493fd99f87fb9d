use std::sync::Arc;
use std::time::Duration;

use attestation::{AttestError, Attester, Evidence, RuntimeData};
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
                    hopeless |= condition.close(&error);
                }
                // What it waits for has its own latch.
                None => {}
            }
        }
        !hopeless && self.0.iter().any(|condition| condition.latch.is_some())
    }
}

impl Condition {
    /// Tells why it does not hold; true if it never will.
    fn close(&mut self, error: &SkrError) -> bool {
        let no_device = matches!(error, SkrError::Attest(AttestError::NoDevice { .. }));
        let hopeless = no_device || error.fault() == Fault::Denied;
        let reason = format!("{}: {}", error.code(), chain(error));
        if hopeless {
            if let Some(latch) = self.latch.take() {
                latch.fail(error.code(), &chain(error));
            }
        } else if let Some(latch) = &self.latch
            && reason != self.reason
        {
            tracing::error!(code = error.code(), error = chain(error), "not ready");
            latch.explain(reason.clone());
        }
        self.reason = reason;
        hopeless
    }
}

/// Opens the latches. What is missing may come without notice, certificates above all, so it is looked for again until all
/// is there; only the device and how the guest was launched never change.
pub(crate) async fn watch<A: Attester>(agent: Arc<Agent<A>>, mut latches: Latches) {
    let mut pace = Pace::new(FIRST_PAUSE, LONGEST_PAUSE, ALWAYS);
    while latches.settle(agent.self_check().await) && pace.pause().await {}
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU32, Ordering};

    use attestation::Report;
    use clap::Parser;
    use sidecar_http::{HttpsClient, Trust, install_crypto_provider, services};
    use sidecar_kit::CommonArgs;
    use tokio_util::sync::CancellationToken;
    use virtual_attester::VirtualAttester;

    use super::*;
    use crate::Config;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: CommonArgs,
    }

    /// Counts the requests to the secure processor, and may answer for a guest that can be debugged.
    struct Counting {
        inner: VirtualAttester,
        asked: Arc<AtomicU32>,
        debuggable: bool,
    }

    impl Attester for Counting {
        async fn report(&self, report_data: [u8; 64]) -> Result<Report, AttestError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let report = self.inner.report(report_data).await?;
            if !self.debuggable {
                return Ok(report);
            }
            let mut bytes = report.as_bytes().to_vec();
            bytes[0x0a] |= 1 << 3;
            Ok(Report::parse(&bytes)?)
        }
    }

    fn scene(context: &Path, debuggable: bool) -> (Arc<Agent<Counting>>, Latches, Arc<AtomicU32>) {
        install_crypto_provider();
        emulators::amd::write_context(context, b"policy").unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let attester = Counting {
            inner: VirtualAttester::new(Some(context.to_owned())),
            asked: Arc::clone(&asked),
            debuggable,
        };
        let agent = Agent::new(
            attester,
            virtual_attester::verifier().unwrap(),
            HttpsClient::new(&Trust::web()).unwrap(),
            Trust::web(),
            Config::for_directory(context),
            CancellationToken::new(),
        );
        let common = Line::parse_from(["skr-agent"]).common;
        let process = Process::for_tests(services::SKR_AGENT, common);
        (Arc::new(agent), Latches::new(&process), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_is_found_by_looks_of_one_report_each() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, latches, asked) = scene(dir.path(), false);
        let certificates = dir.path().join("host-amd-cert-base64");
        let content = std::fs::read(&certificates).unwrap();
        std::fs::remove_file(&certificates).unwrap();
        let watching = tokio::spawn(watch(agent, latches));
        // Looks at 0, 1, 3 and 7 s, each pause up to a quarter longer.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        assert!(!watching.is_finished());
        std::fs::write(&certificates, content).unwrap();
        watching.await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_changes_is_not_looked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, latches, asked) = scene(dir.path(), true);
        let error = agent.self_check().await.device.unwrap_err();
        assert_eq!(error.code(), "CR-SKR-0009");
        watch(agent, latches).await;
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_latch_tells_its_reason_and_stays_open() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, mut latches, _) = scene(dir.path(), false);
        let uvm = dir.path().join("reference-info-base64");
        std::fs::remove_file(&uvm).unwrap();
        assert!(latches.settle(agent.self_check().await));
        let open = |latches: &Latches| latches.0.each_ref().map(|one| one.latch.is_none());
        assert_eq!(open(&latches), [true, false, true, false]);
        assert!(latches.0[1].reason.starts_with("CR-SKR-0006: "));
        assert!(latches.0[1].reason.contains("reference-info-base64"));
        std::fs::write(&uvm, "bm90aGluZw==").unwrap();
        assert!(latches.settle(agent.self_check().await));
        assert_eq!(open(&latches), [true, true, true, false]);
        assert!(
            latches.0[3].reason.contains("CR-SNP-0060"),
            "{:?}",
            latches.0[3].reason
        );
        emulators::amd::write_context(dir.path(), b"policy").unwrap();
        assert!(!latches.settle(agent.self_check().await));
        assert_eq!(open(&latches), [true; 4]);
    }
}
