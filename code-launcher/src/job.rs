//! One run of the application, from consent to the last seal.

mod ending;
mod undelivered;
mod watching;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use governance_client::{GovernanceClient, GovernanceError, Scope};
use serde_json::json;
use sidecar_http::services::{self, Service};
use sidecar_http::{Coded, chain};
use sidecar_kit::{Latch, Process};
use tokio::net::unix::pipe;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::ending::Exported;
use self::undelivered::Undelivered;
use self::watching::Watched;
use crate::lease::{self, Ended};
use crate::outcome::{Outcome, of_service};
use crate::pull::pull;
use crate::runner::{ImageSettings, Link, Runner};
use crate::timeline::Timeline;
use crate::{APPLICATION_FOLDER, Config, CriLog, LaunchError, Limits, Profile, datasets, logs};

/// Bytes of each of the two files of the application's log.
const LOG_LIMIT: u64 = 16 << 20;
/// By how much a dataset's own deadline, whose error names it, comes before the one of all that is prepared.
const NAMED: Duration = Duration::from_secs(1);
/// For the export of a room that ran nothing.
const POST_MORTEM: Duration = Duration::from_secs(15);
/// For what an ended application may have left in its pipes.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs the application and ends the room.
///
/// `running` is opened when the application runs.
pub(crate) async fn run(
    config: &Config,
    link: Link,
    process: &Process,
    running: Option<Latch>,
) -> Outcome {
    let room = Room {
        config,
        process,
        governance: GovernanceClient::new(process.client(&services::GOVERNANCE)),
        timeline: Timeline::begin(),
        undelivered: Undelivered::new(&config.args.contract_id),
        announced: AtomicBool::new(false),
    };
    let enforced = link.enforces_limits();
    let mut runner = Runner::new(link);
    let stopping = process.stopping();
    let prepared = tokio::select! {
        prepared = room.prepare(&mut runner, enforced) => prepared,
        () = stopping.cancelled() => Err(LaunchError::Stopped),
    };
    // Not to be cut: an application that runs is stopped in order.
    let started = match prepared {
        Ok(streams) => runner.start().await.map(|()| streams),
        Err(error) => Err(error),
    };
    let outcome = match started {
        Ok(streams) => {
            if let Some(running) = running {
                running.open();
            }
            room.timeline.mark("application_started");
            room.timeline.publish(&config.args.scratch);
            let ended = room.finish(&mut runner, streams).await;
            let Finished {
                code,
                asked,
                committed,
                sealed,
                logged,
            } = ended;
            let exported = match room.export(&mut runner, logged).await {
                Exported::Complete => true,
                // What the parties agree to is in the ledger that the events go to: 75 says that it was out of reach.
                Exported::Unknown => !committed,
                Exported::Lost => false,
            };
            Outcome::Ended {
                code: match config.args.profile {
                    Profile::Job => code,
                    Profile::Service => of_service(code, asked),
                },
                sealed,
                committed,
                exported,
            }
        }
        Err(error) => {
            tracing::error!(
                code = error.code(),
                error = chain(&error),
                "the application was not started"
            );
            // Whatever was made is not to be started any more.
            runner.kill();
            let stopped = matches!(error, LaunchError::Stopped);
            // The start is on record, or gets there with the next event, so its failure has to as well.
            let unused = match &error {
                LaunchError::Dataset { dataset, .. } | LaunchError::Mount { dataset, .. } => {
                    Some(dataset.as_str())
                }
                LaunchError::Deadline { .. } if !room.timeline.has("datasets_ready") => {
                    Some("a dataset")
                }
                _ => None,
            };
            if let Some(dataset) = unused {
                // A source that is not what the parties agreed to: they hear of it, whatever else fails.
                let message = format!("{dataset} is not used: {}", error.code());
                if timeout(POST_MORTEM, room.note("dataset", &message))
                    .await
                    .is_err()
                {
                    room.undelivered.keep("dataset", &message, None);
                }
            }
            if room.announced.load(Ordering::Relaxed) {
                let name = &config.application.name;
                room.note("launcher", &format!("{name} was not started: {error}"))
                    .await;
            }
            // The parties get to read why, if they agreed to read anything and their sinks are there: what kept the
            // application from starting may well have kept the sinks away.
            if timeout(POST_MORTEM, room.export(&mut runner, true))
                .await
                .is_err()
            {
                tracing::warn!("the export of a room without a run was given up");
            }
            Outcome::NotStarted { asked: stopped }
        }
    };
    room.timeline.mark("exported");
    room.timeline.publish(&config.args.scratch);
    room.timeline
        .conclude(&config.args.scratch, outcome.exit_code());
    tracing::info!(?outcome, exit_code = outcome.exit_code(), "the room ends");
    process.flush().await;
    room.stop_all().await;
    outcome
}

struct Room<'a> {
    config: &'a Config,
    process: &'a Process,
    governance: GovernanceClient,
    timeline: Timeline,
    undelivered: Undelivered,
    /// Whether the start event was handed on.
    announced: AtomicBool,
}

/// Each tells whether all of a stream is in the log.
type Streams = Vec<JoinHandle<bool>>;

/// How the application and its sinks ended.
struct Finished {
    code: u8,
    /// Somebody asked the room to stop.
    asked: bool,
    /// The exit event is.
    committed: bool,
    /// Every sink is.
    sealed: bool,
    /// All output is in the log.
    logged: bool,
}

/// The end of the application.
struct Held {
    code: u8,
    /// Somebody asked the room to stop.
    asked: bool,
    /// What ended it if it was the parties.
    why: Option<String>,
}

impl Room<'_> {
    /// Everything before the application's first instruction.
    async fn prepare(&self, runner: &mut Runner, enforced: bool) -> Result<Streams, LaunchError> {
        if !enforced && self.config.args.limits == Limits::Enforced {
            return Err(LaunchError::Limits);
        }
        self.record()?;
        let within = self.config.args.start_deadline();
        let governance = self.process.client(&services::GOVERNANCE);
        let asked = governance.wait_ready(within).await;
        asked.map_err(|error| LaunchError::Consent(error.into()))?;
        self.timeline.mark("governance_ready");
        // Nothing is pulled before the parties consent, and nothing starts on a consent that the pull has outlived.
        self.consent().await?;
        self.timeline.mark("consent");
        let prepared = timeout(within + NAMED, async {
            tokio::try_join!(self.datasets(), self.image())
        });
        let prepared = tokio::select! {
            prepared = prepared => prepared,
            // Whoever has lost consent, or everybody who could give it, need not wait for the rest.
            ended = self.lease() => return Err(LaunchError::Consent(ended.into())),
        };
        let ((), image) = prepared.map_err(|_| LaunchError::Deadline {
            seconds: within.as_secs(),
            missing: self.missing(),
        })??;
        let (stdout, stderr, streams) = self.streams()?;
        runner.create(image, [stdout, stderr]).await?;
        self.timeline.mark("container_created");
        self.consent().await?;
        let application = &self.config.application;
        let message = format!("starting execution of {} container", application.name);
        self.announced.store(true, Ordering::Relaxed);
        self.event(&message)
            .await
            .map_err(LaunchError::StartEvent)?;
        self.timeline.mark("start_event_committed");
        // The commit may have outlived the consent before it.
        self.consent().await?;
        Ok(streams)
    }

    /// What the deadline found unfinished.
    fn missing(&self) -> String {
        let phases = [("datasets_ready", "datasets"), ("image_unpacked", "image")];
        let open = phases.iter().filter(|(phase, _)| !self.timeline.has(phase));
        open.map(|(_, what)| *what).collect::<Vec<_>>().join(", ")
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

    /// Until consent ends.
    async fn lease(&self) -> Ended {
        let args = &self.config.args;
        let interval = Duration::from_secs(args.consent_interval);
        let limit = Duration::from_secs(args.max_staleness);
        lease::watch(&self.governance, interval, limit).await
    }

    async fn event(&self, message: &str) -> Result<(), GovernanceError> {
        let data = json!({"source": "code-launcher", "message": message});
        self.governance.put_event("", &data).await.map(|_| ())
    }

    /// Every dataset of the application, in parallel.
    async fn datasets(&self) -> Result<(), LaunchError> {
        let shims = self.datasets_of_application();
        try_join_all(shims.map(|shim| datasets::prove(self.config, shim, self.process))).await?;
        self.timeline.mark("datasets_ready");
        Ok(())
    }

    /// The shims whose mounts the application sees.
    fn datasets_of_application(&self) -> impl Iterator<Item = &Service> {
        let application = &self.config.application;
        let names = application
            .datasources
            .keys()
            .chain(application.datasinks.keys());
        names.filter_map(|name| self.config.shims.get(name))
    }

    async fn image(&self) -> Result<ImageSettings, LaunchError> {
        let scratch = &self.config.args.scratch;
        let reference = self.config.application.image_reference();
        let settings = pull(reference, scratch, self.process.common()).await?;
        self.timeline.mark("image_unpacked");
        Ok(settings)
    }

    /// Where the application's output goes.
    fn streams(
        &self,
    ) -> Result<(std::os::fd::OwnedFd, std::os::fd::OwnedFd, Streams), LaunchError> {
        let failed = |error: std::io::Error| LaunchError::io("the application's log", error);
        let folder = self.config.args.telemetry_path.join(APPLICATION_FOLDER);
        let path = folder.join(format!("{}.log", self.config.application.name));
        let log = Arc::new(Mutex::new(CriLog::open(path, LOG_LIMIT).map_err(failed)?));
        let mut ends = Vec::new();
        let mut streams = Vec::new();
        for name in ["stdout", "stderr"] {
            let (write, read) = pipe::pipe().map_err(failed)?;
            let log = Arc::clone(&log);
            streams.push(tokio::spawn(async move {
                let copied = logs::copy(read, name, &log).await;
                if let Err(error) = &copied {
                    tracing::error!(%error, stream = name, "output of the application is lost");
                }
                copied.is_ok()
            }));
            ends.push(write.into_blocking_fd().map_err(failed)?);
        }
        match (ends.pop(), ends.pop()) {
            (Some(stderr), Some(stdout)) => Ok((stdout, stderr, streams)),
            _ => Err(LaunchError::RunnerGone),
        }
    }

    /// Waits for the end of the application, makes its output durable and says so.
    async fn finish(&self, runner: &mut Runner, streams: Streams) -> Finished {
        let mut watched = Watched::new(self.datasets_of_application());
        let Held { code, asked, why } = self.watch_while(&mut watched, self.hold(runner)).await;
        let mut logged = true;
        for stream in streams {
            // The pipes end with the application.
            let copied = timeout(FAREWELL, stream).await;
            logged &= matches!(copied, Ok(Ok(true)));
        }
        self.timeline.mark("application_ended");
        let sinks = self.config.application.datasinks.keys();
        let sinks: Vec<&Service> = sinks
            .filter_map(|name| self.config.shims.get(name))
            .collect();
        let sealed = self.seal(&sinks).await;
        self.timeline.mark("sinks_sealed");
        // With what a seal found in its sink.
        self.tell_rest(&mut watched).await;
        let message = format!(
            "{} container terminated with exit code {code}",
            self.config.application.name
        );
        let committed = self.exit_event(&message).await;
        if let Some(why) = why {
            self.note("refusal", &why).await;
        }
        Finished {
            code,
            asked,
            committed,
            sealed,
            logged,
        }
    }

    /// Until the application ends, consent ends, or somebody asks to stop.
    async fn hold(&self, runner: &mut Runner) -> Held {
        let stopping = self.process.stopping();
        let ended = tokio::select! {
            code = runner.exited() => return Held { code, asked: false, why: None },
            ended = self.lease() => ended,
            () = stopping.cancelled() => {
                tracing::info!("asked to stop; the application is stopped");
                let code = runner.stop(self.config.args.stop_grace()).await;
                return Held { code, asked: true, why: None };
            }
        };
        let reason = match ended {
            Ended::Withdrawn(error) => chain(&error),
            Ended::Stale { limit } => {
                format!("consent was not confirmed for {} s", limit.as_secs())
            }
            Ended::Unconfirmable(error) => {
                format!("consent cannot be confirmed any more: {}", chain(&error))
            }
        };
        tracing::warn!(reason, "consent ended; the application is stopped");
        let code = runner.stop(Duration::ZERO).await;
        Held {
            code,
            asked: false,
            why: Some(format!("execution stopped: {reason}")),
        }
    }
}
