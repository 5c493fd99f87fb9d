//! The init container: directories, owners and the boot trace of a group.

use std::process::ExitCode;

use clap::Parser;
use sidecar_http::{Coded, chain};
use sidecar_kit::{CommonArgs, EXIT_CONFIG, EXIT_FAILED};

#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    args: init::Args,
}

#[expect(clippy::print_stderr, reason = "runs before there is telemetry")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.common.probe {
        // It has ended when anything could ask, and must not do its work again for a question.
        eprintln!("init has no probe");
        return ExitCode::from(EXIT_CONFIG);
    }
    match init::run(&cli.args, &cli.common.boot_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {}", error.code(), chain(&error));
            ExitCode::from(match error {
                init::InitError::Directories { .. } => EXIT_CONFIG,
                _ => EXIT_FAILED,
            })
        }
    }
}
