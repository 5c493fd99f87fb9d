//! The code launcher, job profile.
//!
//! Consent is asked before the image is pulled and again before it starts; the start event is committed or nothing starts;
//! consent is renewed while the application runs. The application is an OCI container with no network but its own loopback
//! device, no capability, and exactly its datasets. At the end its sinks are sealed, the exit event is committed, logs and
//! telemetry are exported and sealed, every sidecar is stopped, and the exit code tells the truth: never 0 over lost output.
//!
//! Two processes: the launcher proper (uid 10031) talks to everybody; a small root [`runner`] accepts four kinds of
//! messages from it and runs the OCI runtime.

mod args;
mod datasets;
mod error;
mod export;
mod job;
mod lease;
mod logs;
mod pull;
pub mod runner;
mod timeline;
mod unpack;

use std::process::ExitCode;

use sidecar_http::{Coded, Routes, chain};
use sidecar_kit::{EXIT_CONFIG, EXIT_FAILED, Process};

pub use args::{Args, Config, Limits};
pub use error::LaunchError;
pub use logs::CriLog;
pub use unpack::{Caps, unpack};

/// Exit code of a run whose output is not durable.
pub const EXIT_SINK: u8 = 74;
/// Exit code of a run whose exit event was not committed.
pub const EXIT_EVENT: u8 = 75;

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
    let serving = process.clone();
    process.spawn(async move {
        if let Err(error) = serving.serve(Routes::new()).await {
            tracing::error!(error = format!("{error:#}"), "the socket is not served");
            serving.stop();
        }
    });
    let Some(link) = link else {
        return Err(LaunchError::NoRunner.into());
    };
    let outcome = job::run(&config, link, &process).await;
    process.stop();
    match outcome {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(error) => {
            tracing::error!(
                code = error.code(),
                error = chain(&error),
                "the job did not run"
            );
            Ok(ExitCode::from(EXIT_FAILED))
        }
    }
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
