use std::time::Duration;

use axum::Json;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use opentelemetry::trace::FutureExt;
use serde::Deserialize;
use serde_json::json;
use sidecar_http::services::{self, Service};
use sidecar_http::{
    Callers, Coded, Limits, Routes, UnixClient, WireError, bind_unix, serve_tcp, serve_unix,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::boot::BootSpan;
use crate::latch::{Failure, NotReady, Readiness};
use crate::telemetry::Telemetry;
use crate::{CommonArgs, KitError, Latch};

/// A sidecar's whole contract with its host: when to stop, what is ready, whom to call.
#[derive(Clone, Debug)]
pub struct Process {
    service: Service,
    common: CommonArgs,
    stopping: CancellationToken,
    tasks: TaskTracker,
    readiness: Readiness,
    telemetry: Telemetry,
    boot: Option<BootSpan>,
}

impl Process {
    pub(crate) fn new(
        service: Service,
        common: CommonArgs,
        telemetry: Telemetry,
        boot: Option<BootSpan>,
    ) -> Self {
        Self {
            service,
            common,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            readiness: Readiness::new(),
            telemetry,
            boot,
        }
    }

    /// A process without hardening, telemetry or signals, for tests inside one process.
    pub fn for_tests(service: Service, common: CommonArgs) -> Self {
        Self::new(service, common, Telemetry::default(), None)
    }

    /// Cancelled when the process is asked to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Asks the process to stop.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Runs a task that is awaited at shutdown within the grace time. Its spans belong to the boot trace.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.boot {
            Some(boot) => drop(self.tasks.spawn(task.with_context(boot.context()))),
            None => drop(self.tasks.spawn(task)),
        }
    }

    /// A condition that `/ready` waits for, by the name it is reported under.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.readiness.latch(name)
    }

    /// The common arguments.
    pub const fn common(&self) -> &CommonArgs {
        &self.common
    }

    /// Name and uid of this process.
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// A client of another service of the group.
    pub fn client(&self, service: &Service) -> UnixClient {
        self.common.client(service)
    }

    /// Hands all telemetry recorded so far to the collector.
    pub async fn flush(&self) {
        let telemetry = self.telemetry.clone();
        // The exporters block while their batch is on the way.
        let _ = tokio::task::spawn_blocking(move || telemetry.flush()).await;
    }

    /// Serves the sidecar's routes and the standard ones on its socket, and on the measured `--tcp` address; returns when
    /// the process stops and open requests are done.
    ///
    /// # Errors
    /// The process runs as another user than the policy says, or the socket cannot be bound.
    pub async fn serve(&self, routes: Routes) -> anyhow::Result<()> {
        let actual = nix::unistd::geteuid().as_raw();
        if actual != self.service.uid {
            return Err(KitError::WrongUser {
                service: self.service.name.to_string(),
                expected: self.service.uid,
                actual,
            }
            .into());
        }
        let routes = routes.and(self.standard_routes());
        let path = self.service.socket(&self.common.socket_dir);
        let unix = bind_unix(&path).map_err(|source| KitError::Bind {
            path: path.display().to_string(),
            source,
        })?;
        // The boot span is over once the process can be used.
        if let Some(boot) = self.boot.clone() {
            let readiness = self.readiness.clone();
            let stopping = self.stopping();
            self.spawn(async move {
                tokio::select! {
                    _ = readiness.wait(Duration::from_secs(3600)) => {}
                    () = stopping.cancelled() => {}
                }
                boot.end();
            });
        }
        match self.common.tcp {
            None => serve_unix(unix, routes, Limits::default(), self.stopping()).await?,
            Some(address) => {
                let bound = tokio::net::TcpListener::bind(address).await;
                let tcp = bound.map_err(|source| KitError::Bind {
                    path: address.to_string(),
                    source,
                })?;
                tokio::try_join!(
                    serve_unix(unix, routes.clone(), Limits::default(), self.stopping()),
                    serve_tcp(tcp, routes, Limits::default(), self.stopping()),
                )?;
            }
        }
        Ok(())
    }

    fn standard_routes(&self) -> Routes {
        let launcher = || Callers::Only(vec![services::CODE_LAUNCHER.uid]);
        let (ready, flush, stop) = (self.clone(), self.clone(), self.clone());
        Routes::new()
            .quiet_route(
                "/status",
                get(async || Json(json!({"message": "Status OK"}))),
                Callers::AnySidecar,
            )
            .quiet_route(
                "/ready",
                get(async move |query: Query<ReadyQuery>| ready.answer_ready(&query).await),
                Callers::AnySidecar,
            )
            .quiet_route(
                "/flush",
                post(async move || {
                    flush.flush().await;
                    Json(json!({}))
                }),
                launcher(),
            )
            .quiet_route(
                "/stop",
                post(async move || {
                    stop.stop();
                    Json(json!({}))
                }),
                launcher(),
            )
    }

    async fn answer_ready(&self, query: &ReadyQuery) -> Response {
        let hold = Duration::from_millis(query.wait_ms.min(MAX_HOLD_MS));
        let answer = tokio::select! {
            answer = self.readiness.wait(hold) => answer,
            // Draining must not wait for somebody who waits for us.
            () = self.stopping.cancelled() => Err(NotReady::Waiting(vec!["stopping".to_owned()])),
        };
        match answer {
            Ok(()) => Json(json!({"ready": true})).into_response(),
            Err(NotReady::Waiting(closed)) => WireError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "CR-KIT-0010",
                format!("not ready: waiting for {}", closed.join(", ")),
            )
            .into_response(),
            // Another status than "not yet": whoever waits gives up with this reason.
            Err(NotReady::Failed(Failure { code, message })) => {
                WireError::new(StatusCode::INTERNAL_SERVER_ERROR, code, message).into_response()
            }
        }
    }

    pub(crate) fn boot(&self) -> Option<&BootSpan> {
        self.boot.as_ref()
    }

    /// Waits for the tasks, not longer than the grace time.
    pub(crate) async fn drain(&self, grace: Duration) {
        self.stop();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("tasks were cut off at the end of the grace time");
        }
        if let Some(boot) = &self.boot {
            boot.end();
        }
    }
}

const MAX_HOLD_MS: u64 = 30_000;

#[derive(Deserialize)]
struct ReadyQuery {
    #[serde(default)]
    wait_ms: u64,
}

/// Logs an error where the process ends, with its stable code if it has one.
pub(crate) fn report(error: &anyhow::Error) {
    let code = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<KitError>())
        .map_or("", |error| error.code());
    tracing::error!(code, error = format!("{error:#}"), "stopped by an error");
}
