//! One run of the application, from consent to the last seal.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use governance_client::{GovernanceClient, Scope};
use serde_json::json;
use sidecar_http::services::{self, Service};
use sidecar_http::{UnixClient, chain};
use sidecar_kit::Process;
use tokio::net::unix::pipe;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::export::{Exported, export};
use crate::lease::{self, Ended};
use crate::pull::{ImageSettings, pull};
use crate::runner::{Link, RunRequest, Runner};
use crate::timeline::Timeline;
use crate::{Config, CriLog, EXIT_EVENT, EXIT_SINK, LaunchError, datasets, logs};

/// Bytes of each of the two files of the application's log.
const LOG_LIMIT: u64 = 16 << 20;
/// Sealing flushes what is still in memory to a remote store.
const SEAL: Duration = Duration::from_secs(300);
/// Telemetry is nice to have at the end; sidecars that do not answer are left behind.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs the application and ends the room. The outcome is the room's exit code.
pub(crate) async fn run(config: &Config, link: Link, process: &Process) -> Result<u8, LaunchError> {
    let room = Room {
        config,
        process,
        governance: GovernanceClient::new(process.client(&services::GOVERNANCE)),
        timeline: Timeline::default(),
    };
    room.timeline.mark("launcher_started");
    let stopping = process.stopping();
    let outcome = tokio::select! {
        outcome = room.start(Runner::new(link)) => outcome,
        () = stopping.cancelled() => Err(LaunchError::Stopped),
    };
    let code = match outcome {
        Ok(running) => Ok(room.finish(running).await),
        Err(error) => {
            // The parties shall be able to read why.
            tracing::error!(error = chain(&error), "nothing was started");
            Err(error)
        }
    };
    room.timeline
        .publish(&config.args.scratch.join("timeline.json"));
    let exported = room.export().await;
    room.stop_all().await;
    match code {
        Ok(0) if !exported => Ok(EXIT_SINK),
        code => code,
    }
}

struct Room<'a> {
    config: &'a Config,
    process: &'a Process,
    governance: GovernanceClient,
    timeline: Timeline,
}

/// A started application.
struct Running {
    runner: Runner,
    streams: Vec<JoinHandle<()>>,
}

impl Room<'_> {
    async fn start(&self, mut runner: Runner) -> Result<Running, LaunchError> {
        self.record()?;
        let within = self.config.args.start_deadline();
        let governance = self.process.client(&services::GOVERNANCE);
        let asked = governance.wait_ready(within).await;
        asked.map_err(|error| LaunchError::Consent(error.into()))?;
        self.timeline.mark("governance_ready");
        // Nothing is pulled before the parties consent, and nothing starts on a consent that the pull has outlived.
        self.consent().await?;
        self.timeline.mark("consent");
        let prepared = tokio::time::timeout(within, async {
            tokio::try_join!(self.datasets(), self.image())
        });
        let ((), image) = prepared.await.map_err(|_| LaunchError::Deadline {
            seconds: within.as_secs(),
            missing: "datasets or image".to_owned(),
        })??;
        self.consent().await?;
        let application = &self.config.application;
        let message = format!("starting execution of {} container", application.name);
        self.event(&message)
            .await
            .map_err(LaunchError::StartEvent)?;
        self.timeline.mark("start_event_committed");
        let (stdout, stderr, streams) = self.streams()?;
        runner.run(self.request(image), [stdout, stderr]).await?;
        self.timeline.mark("application_started");
        self.timeline
            .publish(&self.config.args.scratch.join("timeline.json"));
        Ok(Running { runner, streams })
    }

    /// A room runs its application once; the record outlives this process.
    fn record(&self) -> Result<(), LaunchError> {
        let path = self.config.args.scratch.join("started");
        let opened = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(&path);
        match opened {
            Ok(mut file) => writeln!(file, "{}", self.config.application.name)
                .map_err(|error| LaunchError::io("the record of the start", error)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(LaunchError::SecondStart { path })
            }
            Err(error) => Err(LaunchError::io("the record of the start", error)),
        }
    }

    async fn consent(&self) -> Result<(), LaunchError> {
        let consent = self.governance.consent(Scope::Execution).await;
        consent.map(|_| ()).map_err(LaunchError::Consent)
    }

    async fn event(&self, message: &str) -> Result<(), governance_client::GovernanceError> {
        let data = json!({"source": "code-launcher", "message": message});
        self.governance.put_event("", &data).await.map(|_| ())
    }

    /// Every dataset of the application, in parallel.
    async fn datasets(&self) -> Result<(), LaunchError> {
        let application = &self.config.application;
        let names = application
            .datasources
            .keys()
            .chain(application.datasinks.keys());
        let shims = names.filter_map(|name| self.config.shims.get(name));
        try_join_all(shims.map(|shim| datasets::prove(self.config, shim, self.process))).await?;
        self.timeline.mark("datasets_ready");
        Ok(())
    }

    async fn image(&self) -> Result<ImageSettings, LaunchError> {
        let scratch = &self.config.args.scratch;
        let reference = self.config.application.image_reference();
        let settings = pull(
            reference,
            scratch.join("rootfs"),
            scratch,
            self.process.common(),
        )
        .await?;
        self.timeline.mark("image_unpacked");
        Ok(settings)
    }

    /// Where the application's output goes.
    fn streams(
        &self,
    ) -> Result<
        (
            std::os::fd::OwnedFd,
            std::os::fd::OwnedFd,
            Vec<JoinHandle<()>>,
        ),
        LaunchError,
    > {
        let failed = |error: std::io::Error| LaunchError::io("the application's log", error);
        let folder = self.config.args.telemetry_path.join("application");
        let path = folder.join(format!("{}.log", self.config.application.name));
        let log = Arc::new(Mutex::new(CriLog::open(path, LOG_LIMIT).map_err(failed)?));
        let mut ends = Vec::new();
        let mut streams = Vec::new();
        for name in ["stdout", "stderr"] {
            let (write, read) = pipe::pipe().map_err(failed)?;
            let log = Arc::clone(&log);
            streams.push(tokio::spawn(async move {
                if let Err(error) = logs::copy(read, name, &log).await {
                    tracing::warn!(%error, stream = name, "output of the application is lost");
                }
            }));
            ends.push(write.into_blocking_fd().map_err(failed)?);
        }
        match (ends.pop(), ends.pop()) {
            (Some(stderr), Some(stdout)) => Ok((stdout, stderr, streams)),
            _ => Err(LaunchError::RunnerGone),
        }
    }

    fn request(&self, image: ImageSettings) -> RunRequest {
        let application = &self.config.application;
        let command = if application.command.is_empty() {
            [image.entrypoint, image.command].concat()
        } else {
            application.command.clone()
        };
        let own = application
            .environment_variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        RunRequest {
            command,
            environment: image.env.into_iter().chain(own).collect(),
            working_dir: image.working_dir.unwrap_or_else(|| "/".to_owned()),
        }
    }

    /// Waits for the end of the application, then makes its output durable and says so.
    async fn finish(&self, mut running: Running) -> u8 {
        let args = &self.config.args;
        let interval = Duration::from_secs(args.consent_interval);
        let stopping = self.process.stopping();
        let code = tokio::select! {
            code = running.runner.exited() => code,
            ended = lease::watch(&self.governance, interval, args.max_staleness) => {
                let reason = match ended {
                    Ended::Withdrawn(error) => chain(&error),
                    Ended::Stale { seconds } => format!("consent was not confirmed for {seconds} s"),
                };
                tracing::warn!(reason, "consent ended; the application is stopped");
                self.note("refusal", &format!("execution stopped: {reason}")).await;
                running.runner.stop(Duration::ZERO).await
            }
            () = stopping.cancelled() => {
                tracing::info!("asked to stop; the application is stopped");
                running.runner.stop(args.stop_grace()).await
            }
        };
        for stream in running.streams {
            // The pipes end with the application.
            let _ = tokio::time::timeout(FAREWELL, stream).await;
        }
        self.timeline.mark("application_ended");
        let sinks: Vec<&Service> = self
            .config
            .application
            .datasinks
            .keys()
            .filter_map(|name| self.config.shims.get(name))
            .collect();
        let sealed = self.seal(&sinks).await;
        let message = format!(
            "{} container terminated with exit code {code}",
            self.config.application.name
        );
        let deadline = Duration::from_secs(args.exit_commit_deadline);
        let committed =
            match tokio::time::timeout(deadline, self.event_until_committed(&message)).await {
                Ok(()) => true,
                Err(_) => {
                    tracing::error!("the exit event was not committed");
                    false
                }
            };
        self.timeline.mark("exit_event_committed");
        match (sealed, committed) {
            (false, _) => EXIT_SINK,
            (true, false) => EXIT_EVENT,
            (true, true) => code,
        }
    }

    /// Repeats an event that the service may take later; the governance sidecar delivers it once.
    async fn event_until_committed(&self, message: &str) {
        let mut pauses = tokio::time::interval(Duration::from_secs(2));
        pauses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pauses.tick().await;
            match self.event(message).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the exit event is not committed")
                }
            }
        }
    }

    /// An event of another scope, best effort.
    async fn note(&self, scope: &str, message: &str) {
        let data = json!({"source": "code-launcher", "message": message});
        if let Err(error) = self.governance.put_event(scope, &data).await {
            tracing::warn!(error = chain(&error), scope, "an event is not committed");
        }
    }

    /// Seals sinks; true if every one is durable.
    async fn seal(&self, sinks: &[&Service]) -> bool {
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
    async fn export(&self) -> bool {
        let args = &self.config.args;
        let farewell = self.sidecars().map(|service| async move {
            let _ = self
                .client(&service)
                .call(http::Method::POST, "/flush", None)
                .await;
        });
        join_all(farewell).await;
        self.process.flush().await;
        let exports = [
            (&args.logs_sink, Scope::Logging, "application"),
            (&args.telemetry_sink, Scope::Telemetry, "infrastructure"),
        ];
        let mut complete = true;
        for (sink, scope, folder) in exports {
            let Some(shim) = sink.as_ref().and_then(|name| self.config.shims.get(name)) else {
                continue;
            };
            complete &= self
                .export_one(shim, scope, &args.telemetry_path.join(folder))
                .await;
        }
        complete
    }

    async fn export_one(&self, shim: &Service, scope: Scope, from: &PathBuf) -> bool {
        let sink = match datasets::prove(self.config, shim, self.process).await {
            Ok(sink) => sink,
            Err(error) => {
                tracing::error!(error = chain(&error), "an export has no sink");
                return false;
            }
        };
        match export(&self.governance, scope, from, &sink).await {
            Ok(Exported::Files(files)) => {
                tracing::info!(files, %scope, "exported");
                self.seal(&[shim]).await
            }
            Ok(Exported::Refused(error)) => {
                self.note("refusal", &format!("export refused: {}", chain(&error)))
                    .await;
                true
            }
            Err(error) => {
                tracing::error!(error = chain(&error), %scope, "the export failed");
                false
            }
        }
    }

    async fn stop_all(&self) {
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
