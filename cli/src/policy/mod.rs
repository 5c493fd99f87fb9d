//! Policies of container groups.

mod hash;
mod remote;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use image_builder::PublishedImages;

use crate::CliError;
use crate::credential::Access;

pub(crate) use remote::RemoteArgs;

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

/// Reads a manifest of images; with a key, the signed one.
pub(crate) fn read_manifest(path: &Path, key: Option<&Path>) -> Result<PublishedImages, CliError> {
    let Some(key) = key else {
        return Ok(PublishedImages::read(path)?);
    };
    let pem = std::fs::read(key).map_err(|error| CliError::io(key.display().to_string(), error))?;
    Ok(image_builder::read_signed(path, &pem)?)
}
