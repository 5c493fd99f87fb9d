//! The code launcher.
//!
//! Consent is asked before the image is pulled and again before it starts; the start event is committed or nothing starts;
//! consent is renewed while the application runs. The application is an OCI container with no network but its own loopback
//! device, no capability, and exactly its datasets. At the end its sinks are sealed, the exit event is committed, logs and
//! telemetry are exported and sealed, every sidecar is stopped, and the exit code tells the truth: never 0 over lost output.
//!
//! A service differs in two things: the launcher is ready when the application runs, and 0 means that it ended because it was
//! asked to.
//!
//! Two processes: the launcher proper (uid 10031) talks to everybody; a small root [`runner`] accepts five kinds of
//! messages from it and runs the OCI runtime.

mod args;
mod datasets;
mod error;
mod export;
mod job;
mod lease;
mod logs;
mod outcome;
mod pull;
pub mod roles;
pub mod runner;
mod timeline;
mod unpack;

use std::process::ExitCode;

use sidecar_http::{Coded, Routes, chain};
use sidecar_kit::{EXIT_CONFIG, EXIT_FAILED, Process};

pub use args::{Args, Config, Limits, Profile};
pub use error::LaunchError;
pub use logs::CriLog;
pub use unpack::{Caps, unpack};

pub use outcome::{EXIT_ENDED, EXIT_EVENT, EXIT_SINK, EXIT_STOPPED, Outcome};

/// Name of the unpacked image in the scratch folder.
const ROOT: &str = "rootfs";
/// Folder of the application's output below the telemetry path.
const APPLICATION_FOLDER: &str = "application";
/// Folder of undelivered events below the application's, which exports of its output pass over.
const AUDIT_FOLDER: &str = "audit";
/// Folder of the sidecars' telemetry below the telemetry path.
const INFRASTRUCTURE_FOLDER: &str = "infrastructure";
/// This program, wherever its image has it.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Runs the job and ends the room.
///
/// # Errors
/// The job could not be started; nothing ran then. After a start, the outcome is an exit code.
pub async fn run(
    args: Args,
    link: Option<runner::Link>,
    process: Process,
) -> anyhow::Result<ExitCode> {
    let config = Config::try_from(args)?;
    let Some(link) = link else {
        return Err(LaunchError::NoRunner.into());
    };
    // Before anybody can ask.
    let running =
        (config.args.profile == Profile::Service).then(|| process.latch("the application runs"));
    let serving = process.serve(Routes::new());
    let job = job::run(&config, link, &process, running);
    tokio::pin!(serving, job);
    // The socket ends first where it cannot be bound, and at a stop, which the job sees as well and finishes.
    let outcome = tokio::select! {
        outcome = &mut job => {
            process.stop();
            serving.await?;
            outcome
        }
        served = &mut serving => {
            served?;
            job.await
        }
    };
    let code = outcome.exit_code();
    Ok(ExitCode::from(code))
}

/// Ends a process that cannot be split.
#[expect(clippy::print_stderr, reason = "there is no subscriber yet")]
pub fn refuse(error: &LaunchError) -> ExitCode {
    eprintln!("{}: {}", error.code(), chain(error));
    ExitCode::from(match error {
        LaunchError::Config { .. } => EXIT_CONFIG,
        _ => EXIT_FAILED,
    })
}
