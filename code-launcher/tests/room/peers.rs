//! The other sidecars of a room: they answer the launcher as the real ones do, and keep a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Json;
use axum::extract::{Path as Segment, Query};
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use blob_fs::FileSystem;
use http::StatusCode;
use serde_json::{Value, json};
use sidecar_http::services::{self, Service};
use sidecar_http::{Callers, Limits, Routes, WireError, bind_unix, serve_unix};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What peers saw and how they behave.
#[derive(Default)]
struct State {
    journal: Vec<(Instant, String)>,
    events: Vec<(String, String)>,
    disabled: BTreeSet<String>,
    silent: bool,
    refused_events: BTreeSet<String>,
    /// Consent is withdrawn while an event with this text is committed.
    withdrawing_events: BTreeSet<String>,
    broken_sinks: BTreeSet<String>,
    /// The collector could not write all that came.
    incomplete_telemetry: bool,
    lying_shims: bool,
    failed_shims: BTreeMap<String, String>,
    waiting_shims: BTreeSet<String>,
    /// Nothing but consent is answered, as by a service that is in trouble.
    stuck_events: bool,
}

#[derive(Clone)]
pub(crate) struct Peers {
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
    end_governance: CancellationToken,
    news: Arc<watch::Sender<()>>,
    _stop_on_drop: Arc<DropGuard>,
}

impl Peers {
    pub(crate) async fn start(sockets: &Path) -> Self {
        let stop = CancellationToken::new();
        let peers = Self {
            state: Arc::default(),
            stop: stop.clone(),
            end_governance: stop.child_token(),
            news: Arc::new(watch::Sender::new(())),
            _stop_on_drop: Arc::new(stop.clone().drop_guard()),
        };
        for service in [
            services::SKR_AGENT,
            services::SECRETS,
            services::IDENTITY,
            services::OTEL_COLLECTOR,
        ] {
            let routes = peers.standard(&service);
            peers.serve(sockets, &service, routes, &stop).await;
        }
        let governance = peers
            .standard(&services::GOVERNANCE)
            .and(peers.governance());
        peers
            .serve(
                sockets,
                &services::GOVERNANCE,
                governance,
                &peers.end_governance,
            )
            .await;
        peers
    }

    /// A shim in front of a mounted file system.
    pub(crate) async fn shim(&self, sockets: &Path, name: &str, uid: u32, fs: FileSystem) {
        let service = services::shim(name, uid);
        let (challenged, sealing, finding) = (fs.clone(), fs.clone(), fs);
        let (nonces, seals) = (self.clone(), self.clone());
        let sink = name.to_owned();
        let readiness = post(async move |Json(challenge): Json<Value>| {
            let nonce = challenge["nonce"].as_str().unwrap_or_default();
            let lie = nonces.with(|state| state.lying_shims);
            challenged.set_nonce(if lie { "0000000000000000" } else { nonce });
            Json(json!({}))
        });
        let seal = post(async move || {
            seals.note(format!("seal {sink}"));
            if seals.with(|state| state.broken_sinks.contains(&sink)) {
                let status = StatusCode::BAD_GATEWAY;
                return WireError::new(status, "CR-FS-0001", "not committed").into_response();
            }
            match sealing.seal().await {
                Ok(sealed) => Json(sealed).into_response(),
                Err(error) => WireError::from(error).into_response(),
            }
        });
        let findings = post(async move |Json(asked): Json<Value>| {
            let seen = usize::try_from(asked["seen"].as_u64().unwrap()).unwrap();
            let found = match asked["wait"].as_bool().unwrap() {
                true => finding.next_findings(seen).await,
                false => finding.findings(seen),
            };
            Json(json!({"findings": found}))
        });
        let routes = self
            .standard(&service)
            .route("/readiness", readiness, launcher())
            .route("/seal", seal, launcher())
            .route("/findings", findings, launcher());
        self.serve(sockets, &service, routes, &self.stop).await;
    }

    fn standard(&self, service: &Service) -> Routes {
        let name = service.name.clone();
        let asked = name.clone();
        let (stopped, failed) = (self.clone(), self.clone());
        let ready = get(async move || {
            let code = failed.with(|state| state.failed_shims.get(&*asked).cloned());
            if let Some(code) = code {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let message = "failed: mount: no such container";
                return WireError::new(status, code, message).into_response();
            }
            if failed.with(|state| state.waiting_shims.contains(&*asked)) {
                std::future::pending::<()>().await;
            }
            Json(json!({})).into_response()
        });
        let collector = self.clone();
        let complete = get(async move || {
            if collector.with(|state| state.incomplete_telemetry) {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return WireError::new(status, "CR-OTEL-0006", "not written").into_response();
            }
            Json(json!({})).into_response()
        });
        Routes::new()
            .route("/ready", ready, Callers::AnySidecar)
            .route("/flush", post(async || Json(json!({}))), launcher())
            .route("/complete", complete, launcher())
            .route(
                "/stop",
                post(async move || {
                    stopped.note(format!("stop {name}"));
                    Json(json!({}))
                }),
                launcher(),
            )
    }

    fn governance(&self) -> Routes {
        let (asked, told) = (self.clone(), self.clone());
        let consent = post(async move |Segment(scope): Segment<String>| {
            asked.note(format!("consent {scope}"));
            if scope == "execution" && asked.with(|state| state.silent) {
                std::future::pending::<()>().await;
            }
            let disabled = asked.with(|state| state.disabled.contains(&scope));
            let answer = match disabled {
                true => {
                    json!({"status": "disabled", "reason": {"code": "ContractDisabled", "message": "by fabrikam"}})
                }
                false => json!({"status": "enabled"}),
            };
            ([("x-ms-ccf-transaction-id", "2.7")], Json(answer))
        });
        let event = put(
            async move |Query(query): Query<Vec<(String, String)>>, Json(event): Json<Value>| {
                let scope = query.into_iter().find(|(name, _)| name == "scope");
                let scope = scope.map(|(_, value)| value).unwrap_or_default();
                let message = event["message"].as_str().unwrap_or_default().to_owned();
                let refused = |state: &mut State| {
                    state
                        .refused_events
                        .iter()
                        .any(|part| message.contains(part))
                };
                if told.with(|state| state.stuck_events) {
                    std::future::pending::<()>().await;
                }
                if told.with(refused) {
                    let status = StatusCode::SERVICE_UNAVAILABLE;
                    return WireError::new(status, "CR-GOV-0009", "no commit").into_response();
                }
                told.with(|state| {
                    let mut withdrawing = state.withdrawing_events.iter();
                    if withdrawing.any(|part| message.contains(part)) {
                        state.disabled.insert("execution".to_owned());
                    }
                });
                told.note(format!("event {scope}: {message}"));
                told.with(|state| state.events.push((scope, message)));
                ([("x-ms-ccf-transaction-id", "2.9")], Json(json!({}))).into_response()
            },
        );
        Routes::new()
            .route("/consentcheck/{scope}", consent, launcher())
            .route("/events", event, launcher())
    }

    async fn serve(
        &self,
        sockets: &Path,
        service: &Service,
        routes: Routes,
        until: &CancellationToken,
    ) {
        let path = service.socket(sockets);
        let folder = path.parent().unwrap();
        std::fs::create_dir_all(folder).unwrap();
        std::os::unix::fs::chown(folder, Some(service.uid), Some(service.uid)).unwrap();
        let listener = bind_as(service.uid, &path).await;
        let serving = serve_unix(listener, routes, Limits::default(), until.clone());
        tokio::spawn(async move { serving.await.unwrap() });
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap())
    }

    fn note(&self, what: String) {
        self.with(|state| state.journal.push((Instant::now(), what)));
        self.news.send_replace(());
    }

    /// What happened, in order.
    pub(crate) fn journal(&self) -> Vec<String> {
        self.with(|state| state.journal.iter().map(|(_, what)| what.clone()).collect())
    }

    /// When something happened first.
    pub(crate) fn when(&self, what: &str) -> Option<Instant> {
        self.with(|state| {
            let mut journal = state.journal.iter();
            journal
                .find(|(_, seen)| seen.starts_with(what))
                .map(|(at, _)| *at)
        })
    }

    /// Messages committed in a scope.
    pub(crate) fn events(&self, scope: &str) -> Vec<String> {
        self.with(|state| {
            let events = state.events.iter().filter(|(of, _)| of == scope);
            events.map(|(_, message)| message.clone()).collect()
        })
    }

    /// Ends the governance sidecar as a kill does: its socket stays and nobody listens.
    pub(crate) fn end_governance(&self) {
        self.end_governance.cancel();
    }

    /// A shim whose start has failed for good, as its `/ready` tells it.
    pub(crate) fn fail_shim(&self, name: &str, code: &str) {
        let (name, code) = (name.to_owned(), code.to_owned());
        self.with(|state| state.failed_shims.insert(name, code));
    }

    /// A shim that is never ready and never failed.
    pub(crate) fn let_shim_wait(&self, name: &str) {
        self.with(|state| state.waiting_shims.insert(name.to_owned()));
    }

    /// Returns once something has happened.
    pub(crate) async fn until_asked(&self, what: &str) {
        let mut news = self.news.subscribe();
        while self.when(what).is_none() {
            news.changed().await.unwrap();
        }
    }

    pub(crate) fn disable(&self, scope: &str) {
        self.with(|state| state.disabled.insert(scope.to_owned()));
    }

    pub(crate) fn fall_silent(&self) {
        self.with(|state| state.silent = true);
    }

    pub(crate) fn refuse_events_with(&self, part: &str) {
        self.with(|state| state.refused_events.insert(part.to_owned()));
    }

    pub(crate) fn withdraw_with(&self, part: &str) {
        self.with(|state| state.withdrawing_events.insert(part.to_owned()));
    }

    pub(crate) fn let_events_hang(&self) {
        self.with(|state| state.stuck_events = true);
    }

    pub(crate) fn break_sink(&self, name: &str) {
        self.with(|state| state.broken_sinks.insert(name.to_owned()));
    }

    pub(crate) fn lose_telemetry(&self) {
        self.with(|state| state.incomplete_telemetry = true);
    }

    pub(crate) fn let_shims_lie(&self) {
        self.with(|state| state.lying_shims = true);
    }
}

fn launcher() -> Callers {
    Callers::Only(vec![services::CODE_LAUNCHER.uid])
}

/// Listens as another user: the kernel remembers who called `listen`, and credentials belong to a thread.
#[expect(unsafe_code, reason = "the library changes the user of every thread")]
async fn bind_as(uid: u32, path: &Path) -> UnixListener {
    let (path, handle) = (path.to_owned(), tokio::runtime::Handle::current());
    let bound = std::thread::spawn(move || {
        let _context = handle.enter();
        let keep = libc::uid_t::MAX;
        // SAFETY: changes the effective user of this thread only, which ends with this closure.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, keep, uid, keep) };
        assert_eq!(changed, 0, "the tests run as root");
        bind_unix(&path).unwrap()
    });
    bound.join().unwrap()
}
