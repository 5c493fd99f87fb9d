//! The governance sidecar's process.

use std::process::ExitCode;

use clap::Parser;
use sidecar_http::services::GOVERNANCE;
use sidecar_kit::{CommonArgs, Privileges, run_process};

/// Consent, audit events and ID tokens from CGS under attestation.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    args: governance::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    run_process(GOVERNANCE, cli.common, Privileges::none(), |process| {
        governance::run(cli.args, process)
    })
}
