use std::path::PathBuf;
use std::process::ExitCode;

use policy_simulate::Denial;

use super::{show, source};
use crate::CliError;

/// The message of a refusal.
#[derive(clap::Args, Debug)]
pub struct DenialArgs {
    /// File with the platform's error message, or with the base64 or JSON of the decision alone; `-` for standard input.
    message: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DenialArgs) -> Result<ExitCode, CliError> {
    let denial = Denial::decode(&source::read(&args.message)?)?;
    show(&denial, &denial, args.json, true)
}
