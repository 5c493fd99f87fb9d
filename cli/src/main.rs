//! The collaborators' command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cleanroom::run(cleanroom::Cli::parse())
}
