//! The suite's own published images.

mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use crate::CliError;
use crate::credential::Access;

/// What to do with published images.
#[derive(Debug, Subcommand)]
pub enum ImagesCommand {
    /// Compares a layout or a registry with a manifest of images: every digest, and every root hash computed anew.
    Verify(verify::VerifyArgs),
}

/// Runs a command. The exit code is 1 where the answer is no.
pub(crate) async fn run(command: ImagesCommand, access: &Access) -> Result<ExitCode, CliError> {
    match command {
        ImagesCommand::Verify(args) => verify::run(args, access).await,
    }
}
