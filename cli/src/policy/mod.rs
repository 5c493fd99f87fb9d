//! Policies of container groups.

mod hash;

use std::process::ExitCode;

use clap::Subcommand;

use crate::CliError;
use crate::credential::Access;

/// What to do with a policy, or on the way to one.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Prints the root hash of every layer of an image, as policies list them.
    Hash(hash::HashArgs),
}

/// Runs a command.
pub(crate) async fn run(command: PolicyCommand, access: &Access) -> Result<ExitCode, CliError> {
    match command {
        PolicyCommand::Hash(args) => hash::run(args, access).await,
    }
}
