//! The collaborators' command.
//!
//! `cleanroom` is what each party types: it keeps data keys, encrypts and uploads data, writes and merges specifications,
//! speaks for a member at the governance service, binds keys to an accepted deployment, and starts it.

pub mod attest;
pub mod config;
mod credential;
mod datastore;
mod deks;
pub mod deploy;
pub mod deployment_generate;
pub mod doctor;
mod error;
pub mod governance;
pub mod policy;
mod results;
mod secretstore;
mod stores;
#[cfg(test)]
mod tests;
mod transfer;

use std::path::PathBuf;
use std::process::ExitCode;

use ::policy::PolicyError;
use clap::{Parser, Subcommand};
use cleanroom_spec::Problem;
use serde_json::{Value, json};
use sidecar_http::{Coded, chain};

use credential::Access;
pub use error::CliError;
pub use transfer::Failed;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "cleanroom",
    version,
    about = "Collaborate on data that nobody may see"
)]
pub struct Cli {
    /// PEM file of one more trusted root for Azure's services: private clouds and emulators.
    #[arg(long, global = true, env = "CLEANROOM_CA_FILE", value_name = "PEM")]
    ca_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes and checks specifications.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Places for keys.
    #[command(subcommand)]
    Secretstore(secretstore::SecretStoreCommand),
    /// Encrypted data.
    #[command(subcommand)]
    Datastore(datastore::DataStoreCommand),
    /// The output of a room.
    #[command(subcommand)]
    Datasink(results::DatasinkCommand),
    /// The output of the application.
    #[command(subcommand)]
    Logs(results::LogsCommand),
    /// Traces, metrics and logs of the sidecars.
    #[command(subcommand)]
    Telemetry(results::TelemetryCommand),
    /// A member's voice in the collaboration.
    #[command(subcommand)]
    Governance(governance::GovernanceCommand),
    /// Policies of container groups, and the hashes they list.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Evidence and release policies.
    #[command(subcommand)]
    Attest(attest::AttestCommand),
    /// Examines the way of a key, inside a room or beside an agent.
    Doctor(doctor::DoctorArgs),
    /// Starts the accepted container group.
    Deploy(deploy::DeployArgs),
    #[command(hide = true)]
    GroupSupervisor { plan: PathBuf },
}

/// Runs one command and gives its exit code. Errors go to standard error as `{"error":{"code","message"}}`, with every single
/// problem of a specification beside them in `problems`.
pub fn run(cli: Cli) -> ExitCode {
    // Process 1 of a local group must stay single-threaded.
    if let Command::GroupSupervisor { plan } = &cli.command {
        return finish(deploy::run_supervisor(plan).map_err(shown));
    }
    sidecar_http::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(shown(CliError::io("the runtime", error)))),
    };
    let access = Access::new(cli.ca_file);
    finish(runtime.block_on(dispatch(cli.command, &access)))
}

async fn dispatch(command: Command, access: &Access) -> Result<ExitCode, Box<dyn Shown>> {
    match command {
        Command::Config(command) => config::run(command, access).await.map_err(shown)?,
        Command::Secretstore(command) => secretstore::run(command).map_err(shown)?,
        Command::Datastore(command) => datastore::run(command, access).await.map_err(shown)?,
        Command::Datasink(command) => results::datasink(command, access).await.map_err(shown)?,
        Command::Logs(command) => results::logs(command, access).await.map_err(shown)?,
        Command::Telemetry(command) => {
            results::telemetry(command, access).await.map_err(shown)?;
        }
        Command::Governance(command) => governance::run(command, &mut std::io::stdout())
            .await
            .map_err(shown)?,
        Command::Policy(command) => return policy::run(command, access).await.map_err(shown),
        Command::Attest(command) => return attest::run(command).map_err(shown),
        Command::Doctor(args) => return doctor::run(args, access).await.map_err(shown),
        Command::Deploy(args) => return deploy::run(args).await.map_err(shown),
        Command::GroupSupervisor { plan } => return deploy::run_supervisor(&plan).map_err(shown),
    }
    Ok(ExitCode::SUCCESS)
}

fn shown<E: Shown>(error: E) -> Box<dyn Shown> {
    Box::new(error)
}

/// An error as standard error shows it.
trait Shown: Coded {
    /// The single problems behind it, for tools.
    fn problems(&self) -> &[Problem] {
        &[]
    }

    /// The single files behind it, for tools.
    fn files(&self) -> &[Failed] {
        &[]
    }
}

impl Shown for governance::GovCliError {}
impl Shown for deploy::DeployError {}
impl Shown for CliError {
    fn problems(&self) -> &[Problem] {
        match self {
            Self::Spec(error) | Self::Policy(PolicyError::Spec(error)) => error.problems(),
            _ => &[],
        }
    }

    fn files(&self) -> &[Failed] {
        Self::files(self)
    }
}

#[expect(clippy::print_stderr, reason = "the command's error output")]
fn finish(outcome: Result<ExitCode, Box<dyn Shown>>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let problems = error
                .problems()
                .iter()
                .map(|one| json!({"code": one.code, "path": one.path, "message": one.message}));
            let problems: Vec<Value> = problems.collect();
            let files = error
                .files()
                .iter()
                .map(|one| json!({"path": one.path, "code": one.code, "message": one.message}));
            let files: Vec<Value> = files.collect();
            let (code, message) = (error.code(), chain(&*error));
            let mut body = json!({"code": code, "message": message});
            for (member, list) in [("problems", problems), ("files", files)] {
                if !list.is_empty()
                    && let Some(body) = body.as_object_mut()
                {
                    body.insert(member.to_owned(), list.into());
                }
            }
            eprintln!("{}", json!({"error": body}));
            ExitCode::FAILURE
        }
    }
}

/// Prints what a command found or did, as JSON with sorted members.
#[expect(clippy::print_stdout, reason = "the command's result")]
fn print(value: &Value) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::io("standard output", error.into()))?;
    println!("{text}");
    Ok(())
}
