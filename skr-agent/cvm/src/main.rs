//! The attestation agent of confidential virtual machines.

use std::process::ExitCode;

use clap::Parser;
use sidecar_http::services;
use sidecar_kit::{CommonArgs, Privileges, run_process};

/// Attestation evidence of a confidential virtual machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    args: cvm_attestation_agent::Args,
    /// Answer one job on standard input: how the agent starts itself to use the TPM.
    #[arg(long, hide = true)]
    tpm_worker: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.tpm_worker {
        return cvm_attestation_agent::tpm_worker();
    }
    run_process(
        services::CVM_ATTESTATION_AGENT,
        cli.common,
        Privileges::none(),
        |process| cvm_attestation_agent::run(cli.args, process),
    )
}
