//! skr-agent with the SNP device of this guest, and nothing that could stand in for it.

use std::process::ExitCode;

use attestation::{SnpDevice, Verifier};
use clap::Parser;
use nix::unistd::geteuid;
use sidecar_http::services;
use sidecar_kit::{CommonArgs, EXIT_FAILED, Privileges, become_user, refuse, run_process};

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
    // The device may be root's. What is opened now serves every request, and root is given up before anything is read.
    let device = SnpDevice::open();
    if geteuid().is_root()
        && let Err(error) = become_user(services::SKR_AGENT.uid)
    {
        return refuse(EXIT_FAILED, &error);
    }
    let cli = match skr_agent::command_line(|cli: &mut Cli| (&mut cli.common, &mut cli.args)) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let privileges = Privileges::none().snp_ioctls();
    run_process(
        services::SKR_AGENT,
        cli.common,
        privileges,
        |process| async move {
            skr_agent::run(cli.args, device, Verifier::production()?, process).await
        },
    )
}
