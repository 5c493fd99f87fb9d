//! The identity sidecar's process.

use std::process::ExitCode;

use clap::Parser;
use sidecar_http::services::IDENTITY;
use sidecar_kit::{CommonArgs, Privileges, run_process};

/// Entra ID tokens by federated credential, cached.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    args: identity::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    run_process(IDENTITY, cli.common, Privileges::none(), |process| {
        identity::run(cli.args, process)
    })
}
