use std::path::PathBuf;
use std::process::ExitCode;

use policy_simulate::Explained;

use super::{show, source};
use crate::CliError;

/// A policy to read.
#[derive(clap::Args, Debug)]
pub struct ExplainArgs {
    /// The policy: its text, its base64, or a template that carries it.
    policy: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ExplainArgs) -> Result<ExitCode, CliError> {
    let document = source::policy(&args.policy)?;
    show(&Explained(&document), &document.view(), args.json, true)
}
