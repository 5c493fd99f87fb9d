//! The secrets sidecar's process.

use std::process::ExitCode;

use clap::Parser;
use sidecar_http::services::SECRETS;
use sidecar_kit::{CommonArgs, Privileges, run_process};

/// Unwraps one dataset's key for the one shim that may have it.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    args: secrets::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    run_process(SECRETS, cli.common, Privileges::none(), |process| {
        secrets::run(cli.args, process)
    })
}
