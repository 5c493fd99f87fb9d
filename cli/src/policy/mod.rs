//! Policies of container groups.

mod denial;
mod diff;
mod explain;
pub(crate) mod generate;
mod hash;
mod isolated;
mod judge;
pub(crate) mod layers;
mod lint;
mod remote;
mod requests;
mod simulate;
mod source;
mod verify;

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use image_builder::PublishedImages;
use serde::Serialize;

use crate::CliError;
use crate::credential::Access;

pub(crate) use remote::{RegistryArgs, RemoteArgs};

/// What to do with a policy, or on the way to one.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Writes the policy of a container group, and prints its host data.
    Generate(generate::GenerateArgs),
    /// Prints the root hash of every layer of an image, as policies list them.
    Hash(hash::HashArgs),
    /// Shows what a voter should look at before saying yes.
    Lint(lint::LintArgs),
    /// Shows where two policies differ.
    Diff(diff::DiffArgs),
    /// Shows a policy in plain words.
    Explain(explain::ExplainArgs),
    /// Answers what a policy would answer.
    Simulate(simulate::SimulateArgs),
    /// Reads the message of a refusal.
    DecodeDenial(denial::DenialArgs),
    /// Works the deployment of a contract out again and compares it with what was proposed.
    Verify(Box<verify::VerifyArgs>),
}

/// The exit code of a "no": a finding, a difference, a refusal. A command that fails exits with 1, and one that is called
/// wrongly with 2.
const NO: u8 = 3;

/// Runs a command.
pub(crate) async fn run(command: PolicyCommand, access: &Access) -> Result<ExitCode, CliError> {
    match command {
        PolicyCommand::Generate(args) => generate::run(&args),
        PolicyCommand::Hash(args) => hash::run(args, access).await,
        PolicyCommand::Lint(args) => lint::run(&args),
        PolicyCommand::Diff(args) => diff::run(&args),
        PolicyCommand::Explain(args) => explain::run(&args),
        PolicyCommand::Simulate(args) => simulate::run(&args),
        PolicyCommand::DecodeDenial(args) => denial::run(&args),
        PolicyCommand::Verify(args) => verify::run(&args).await,
    }
}

/// Prints text, or JSON with sorted members, and says by the exit code whether it is a yes.
#[expect(clippy::print_stdout, reason = "the command's result")]
fn show(
    text: &impl Display,
    value: &impl Serialize,
    json: bool,
    yes: bool,
) -> Result<ExitCode, CliError> {
    if json {
        let value = serde_json::to_value(value)
            .map_err(|error| CliError::io("standard output", error.into()))?;
        crate::print(&value)?;
    } else {
        println!("{text}");
    }
    Ok(ExitCode::from(if yes { 0 } else { NO }))
}

/// Items, one a line.
struct Lines<'i, T>(&'i [T], &'static str);

impl<T: Display> Display for Lines<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str(self.1);
        }
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
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
