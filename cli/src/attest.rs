//! Evidence and release policies, judged offline.

mod evidence_file;
mod explain;
pub(crate) mod files;
mod release_policy;
pub(crate) mod trust;
mod verify;

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use crate::CliError;

/// What to do with evidence.
#[derive(Debug, Subcommand)]
pub enum AttestCommand {
    /// Judges evidence and shows every check: what, expected, actual, source, verdict.
    Verify(Box<verify::VerifyArgs>),
    /// Shows which claim of a MAA token fails which clause of a release policy. Asks nobody.
    ExplainRelease(explain::ExplainArgs),
    /// Writes the strict release policy of container groups.
    ReleasePolicy(release_policy::PolicyArgs),
}

/// How a table is shown.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns.
    #[default]
    Text,
    /// JSON.
    Json,
}

/// Runs a command. The exit code is 1 where the answer is no.
pub(crate) fn run(command: AttestCommand) -> Result<ExitCode, CliError> {
    match command {
        AttestCommand::Verify(args) => verify::run(&args),
        AttestCommand::ExplainRelease(args) => explain::run(&args),
        AttestCommand::ReleasePolicy(args) => release_policy::run(&args),
    }
}

/// Prints a table, and says by the exit code whether it is a yes.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(crate) fn show<T: std::fmt::Display + serde::Serialize>(
    table: &T,
    output: Output,
    yes: bool,
) -> Result<ExitCode, CliError> {
    match output {
        Output::Text => println!("{table}"),
        Output::Json => {
            let text = serde_json::to_string_pretty(table)
                .map_err(|error| CliError::io("standard output", error.into()))?;
            println!("{text}");
        }
    }
    Ok(if yes {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
