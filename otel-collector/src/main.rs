//! Gathers OTLP telemetry into files per service.

use std::process::ExitCode;

use clap::Parser;
use sidecar_http::services;
use sidecar_kit::{CommonArgs, Privileges, run_process};

#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    args: otel_collector::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    run_process(
        services::OTEL_COLLECTOR,
        cli.common,
        Privileges::none(),
        |process| otel_collector::run(cli.args, process),
    )
}
