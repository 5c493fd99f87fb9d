//! The end of a room: sinks sealed, what was agreed exported, everybody stopped.

use std::time::Duration;

use futures::future::join_all;
use governance_client::{GovernanceError, Scope};
use serde_json::json;
use sidecar_http::services::{self, Service};
use sidecar_http::{Coded, UnixClient, chain};

use super::Room;
use crate::runner::{Gathered, Runner};
use crate::{LaunchError, datasets};

/// Sealing flushes what is still in memory to a remote store.
const SEAL: Duration = Duration::from_secs(300);
/// Notes in other scopes tell a story; nothing waits for them longer.
const NOTE: Duration = Duration::from_secs(30);
/// Sidecars that do not answer at the end are left behind.
const FAREWELL: Duration = Duration::from_secs(5);
/// Between two tries of the exit event.
const AGAIN: Duration = Duration::from_secs(2);

/// How an export went; of several, the worst counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Exported {
    /// Everything that the parties agreed to is durable.
    Complete,
    /// Nobody could be asked whether they agree, so nothing was exported.
    Unknown,
    /// Something that they agreed to is lost.
    Lost,
}

impl Room<'_> {
    /// Tells the application's end; true once it is committed. The governance sidecar delivers the event once, however
    /// often it is asked; it is not asked again after the deadline, nor when it has ended itself.
    pub(super) async fn exit_event(&self, message: &str) -> bool {
        let deadline = Duration::from_secs(self.config.args.exit_commit_deadline);
        let mut last = None;
        let telling = async {
            let mut pauses = tokio::time::interval(AGAIN);
            pauses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                pauses.tick().await;
                let Err(error) = self.event(message).await else {
                    return true;
                };
                tracing::warn!(error = chain(&error), "the exit event is not committed");
                if last.insert(error).is_final() {
                    return false;
                }
            }
        };
        let committed = tokio::time::timeout(deadline, telling).await == Ok(true);
        if committed {
            self.timeline.mark("exit_event_committed");
            tracing::info!(event = message, "the exit event is committed");
        } else {
            self.undelivered.keep("", message, last.as_ref());
        }
        committed
    }

    /// An event of another scope, best effort.
    pub(super) async fn note(&self, scope: &str, message: &str) {
        let data = json!({"source": "code-launcher", "message": message});
        match tokio::time::timeout(NOTE, self.governance.put_event(scope, &data)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.undelivered.keep(scope, message, Some(&error)),
            Err(_) => self.undelivered.keep(scope, message, None),
        }
    }

    /// Seals sinks; true if every one is durable.
    pub(super) async fn seal(&self, sinks: &[&Service]) -> bool {
        let sealed = join_all(sinks.iter().map(|sink| async move {
            let client = self.process.client(sink).with_deadline(SEAL);
            let answer: Result<serde_json::Value, _> = client.post_json("/seal", &json!({})).await;
            match answer {
                Ok(manifest) => {
                    tracing::info!(sink = %sink.name, %manifest, "sealed");
                    self.note("dataset", &format!("{} sealed: {manifest}", sink.name)).await;
                    true
                }
                Err(error) => {
                    tracing::error!(sink = %sink.name, error = chain(&error), "the sink is not durable");
                    let message = format!("{} is not sealed: {}", sink.name, error.code());
                    self.note("dataset", &message).await;
                    false
                }
            }
        }));
        sealed.await.into_iter().all(|sealed| sealed)
    }

    /// Logs, telemetry and undelivered events into their sinks. `logged` tells whether all output is in the log.
    pub(super) async fn export(&self, runner: &mut Runner, logged: bool) -> Exported {
        let collected = self.flush().await;
        let args = &self.config.args;
        let mut outcome = Exported::Complete;
        if let Some(sink) = &args.logs_sink {
            let (agreed, asked) = self.agreed(Scope::Logging, Gathered::Logs).await;
            if !agreed.is_empty() && !logged {
                tracing::error!("the logs that were agreed are not complete");
                outcome = Exported::Lost;
            }
            outcome = outcome.max(asked.max(self.fill(runner, sink, agreed).await));
        }
        let Some(sink) = &args.telemetry_sink else {
            return outcome;
        };
        let (mut what, asked) = self.agreed(Scope::Telemetry, Gathered::Telemetry).await;
        outcome = outcome.max(asked);
        if !what.is_empty() && !collected {
            tracing::error!("the telemetry that was agreed is not complete");
            outcome = Exported::Lost;
        }
        // What the ledger should have told the parties needs no further consent.
        if !self.undelivered.is_empty() {
            match self.undelivered.write(&args.telemetry_path) {
                Ok(()) => what.push(Gathered::Audit),
                Err(error) => {
                    tracing::error!(%error, "undelivered events are not written");
                    outcome = Exported::Lost;
                }
            }
        }
        outcome.max(self.fill(runner, sink, what).await)
    }

    /// Everybody's telemetry to the collector; false unless the collector has written all that came.
    async fn flush(&self) -> bool {
        let flushes = self.sidecars().map(|service| async move {
            let flushed = self
                .client(&service)
                .call(http::Method::POST, "/flush", None)
                .await;
            (service, flushed)
        });
        for (service, flushed) in join_all(flushes).await {
            if let Err(error) = flushed {
                tracing::warn!(service = %service.name, error = chain(&error), "telemetry was not flushed");
            }
        }
        self.process.flush().await;
        // Whatever was sent, it is lost if the collector has not written it.
        let complete = self
            .client(&services::OTEL_COLLECTOR)
            .get_json::<serde_json::Value>("/complete")
            .await;
        complete
            .inspect_err(|error| {
                tracing::error!(
                    code = error.code(),
                    error = chain(error),
                    "telemetry is lost"
                )
            })
            .is_ok()
    }

    /// What the parties agree to export, asked now.
    async fn agreed(&self, scope: Scope, what: Gathered) -> (Vec<Gathered>, Exported) {
        match self.governance.consent(scope).await {
            Ok(_) => (vec![what], Exported::Complete),
            Err(error @ GovernanceError::Disabled { .. }) => {
                self.note("refusal", &format!("export refused: {}", chain(&error)))
                    .await;
                (Vec::new(), Exported::Complete)
            }
            Err(error) => {
                tracing::error!(error = chain(&error), %scope, "consent to the export is unknown");
                let message = format!("export refused: consent to {scope} is unknown");
                self.undelivered.keep("refusal", &message, Some(&error));
                (Vec::new(), Exported::Unknown)
            }
        }
    }

    /// Copies what was gathered into a sink and seals it; a sink that nothing is for stays as it is.
    async fn fill(&self, runner: &mut Runner, sink: &str, what: Vec<Gathered>) -> Exported {
        let Some(shim) = self.config.shims.get(sink).filter(|_| !what.is_empty()) else {
            return Exported::Complete;
        };
        let copied = async {
            datasets::prove(self.config, shim, self.process).await?;
            let mut files = 0;
            for part in &what {
                files += runner.export(*part).await?;
            }
            Ok::<_, LaunchError>(files)
        };
        match copied.await {
            Ok(files) => {
                tracing::info!(files, ?what, "exported");
                match self.seal(&[shim]).await {
                    true => Exported::Complete,
                    false => Exported::Lost,
                }
            }
            Err(error) => {
                tracing::error!(
                    code = error.code(),
                    error = chain(&error),
                    ?what,
                    "the export failed"
                );
                Exported::Lost
            }
        }
    }

    /// Asks everybody else to stop.
    pub(super) async fn stop_all(&self) {
        let stops = self.sidecars().map(|service| async move {
            let _ = self
                .client(&service)
                .call(http::Method::POST, "/stop", None)
                .await;
        });
        join_all(stops).await;
    }

    fn client(&self, service: &Service) -> UnixClient {
        self.process.client(service).with_deadline(FAREWELL)
    }

    /// Everybody else in the room.
    fn sidecars(&self) -> impl Iterator<Item = Service> {
        let fixed = [
            services::SKR_AGENT,
            services::SECRETS,
            services::IDENTITY,
            services::GOVERNANCE,
            services::OTEL_COLLECTOR,
        ];
        self.config.shims.values().cloned().chain(fixed)
    }
}
