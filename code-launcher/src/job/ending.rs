//! The end of a room: sinks sealed, what was agreed exported, everybody stopped.

use std::time::Duration;

use futures::future::join_all;
use governance_client::{GovernanceError, Scope};
use serde_json::json;
use sidecar_http::services::{self, Service};
use sidecar_http::{Coded, UnixClient, chain};

use super::Room;
use crate::datasets;
use crate::runner::{Gathered, Runner};

/// Sealing flushes what is still in memory to a remote store.
const SEAL: Duration = Duration::from_secs(300);
/// Notes in other scopes tell a story; nothing waits for them longer.
const NOTE: Duration = Duration::from_secs(30);
/// Sidecars that do not answer at the end are left behind.
const FAREWELL: Duration = Duration::from_secs(5);

impl Room<'_> {
    /// An event of another scope, best effort.
    pub(super) async fn note(&self, scope: &str, message: &str) {
        let data = json!({"source": "code-launcher", "message": message});
        match tokio::time::timeout(NOTE, self.governance.put_event(scope, &data)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), scope, "an event is not committed");
            }
            Err(_) => tracing::warn!(scope, "an event is not committed in time"),
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
                    false
                }
            }
        }));
        sealed.await.into_iter().all(|sealed| sealed)
    }

    /// Logs and telemetry into their sinks; false if something that was agreed was lost.
    pub(super) async fn export(&self, runner: &mut Runner) -> bool {
        let flushes = self.sidecars().map(|service| async move {
            let flushed = self
                .client(&service)
                .call(http::Method::POST, "/flush", None)
                .await;
            (service, flushed)
        });
        // Whatever the others sent, it is lost if the collector has not written it.
        let mut collected = true;
        for (service, flushed) in join_all(flushes).await {
            if let Err(error) = flushed {
                tracing::warn!(service = %service.name, error = chain(&error), "telemetry was not flushed");
                collected &= service.name != services::OTEL_COLLECTOR.name;
            }
        }
        self.process.flush().await;
        let args = &self.config.args;
        let exports = [
            (&args.logs_sink, Scope::Logging, Gathered::Logs),
            (&args.telemetry_sink, Scope::Telemetry, Gathered::Telemetry),
        ];
        let mut complete = true;
        for (sink, scope, what) in exports {
            let Some(shim) = sink.as_ref().and_then(|name| self.config.shims.get(name)) else {
                continue;
            };
            complete &= self.export_one(runner, shim, scope, what).await;
            if !collected && matches!(what, Gathered::Telemetry) {
                tracing::error!(
                    "the telemetry that was agreed is not complete: the collector is gone"
                );
                complete = false;
            }
        }
        complete
    }

    async fn export_one(
        &self,
        runner: &mut Runner,
        shim: &Service,
        scope: Scope,
        what: Gathered,
    ) -> bool {
        match self.governance.consent(scope).await {
            Ok(_) => {}
            Err(error @ GovernanceError::Disabled { .. }) => {
                self.note("refusal", &format!("export refused: {}", chain(&error)))
                    .await;
                return true;
            }
            Err(error) => {
                tracing::error!(error = chain(&error), %scope, "consent to the export is unknown");
                return false;
            }
        }
        let copied = async {
            datasets::prove(self.config, shim, self.process).await?;
            runner.export(what).await
        };
        match copied.await {
            Ok(files) => {
                tracing::info!(files, %scope, "exported");
                self.seal(&[shim]).await
            }
            Err(error) => {
                tracing::error!(code = error.code(), error = chain(&error), %scope, "the export failed");
                false
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
