use std::path::PathBuf;
use std::process::ExitCode;

use policy_simulate::lint::{Severity, lint};
use serde_json::json;

use super::{Lines, show, source};
use crate::CliError;

/// A policy to look at.
#[derive(clap::Args, Debug)]
pub struct LintArgs {
    /// The policy: its text, its base64, or a template that carries it.
    policy: PathBuf,
    /// Counts warnings as a no, too.
    #[arg(long)]
    strict: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LintArgs) -> Result<ExitCode, CliError> {
    let document = source::policy(&args.policy)?;
    let found = lint(&document);
    let worst = if args.strict {
        Severity::Warning
    } else {
        Severity::Error
    };
    let yes = found.iter().all(|one| one.severity < worst);
    let value = json!({"hostData": document.sha256, "findings": found});
    show(&Lines(&found, "nothing to look at"), &value, args.json, yes)
}
