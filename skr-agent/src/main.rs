//! skr-agent with the SNP device of this guest, and nothing that could stand in for it.

use std::process::ExitCode;

use attestation::SnpDevice;
use clap::Parser;
use sidecar_http::services;
use sidecar_kit::{CommonArgs, Privileges, run_process};

/// Attestation evidence, MAA tokens and secure key release.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    args: skr_agent::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let privileges = Privileges::none().snp_ioctls();
    run_process(services::SKR_AGENT, cli.common, privileges, |process| {
        skr_agent::run(cli.args, SnpDevice::open(), process)
    })
}
