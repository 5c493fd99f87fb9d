//! The collaborators' command.
//!
//! `cleanroom` is what each party types: it keeps data keys, encrypts and uploads data, writes and merges specifications,
//! speaks for a member at the governance service, binds keys to an accepted deployment, and starts it.

pub mod config;
mod credential;
mod datastore;
mod deks;
pub mod deploy;
pub mod deployment_generate;
mod error;
pub mod governance;
mod results;
mod secretstore;
mod stores;
mod transfer;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sidecar_http::{Coded, chain};

pub use error::CliError;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "cleanroom",
    version,
    about = "Collaborate on data that nobody may see"
)]
pub struct Cli {
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
    /// Starts the accepted container group.
    Deploy(deploy::DeployArgs),
    #[command(hide = true)]
    GroupSupervisor { plan: PathBuf },
}

/// Runs one command and gives its exit code. Errors go to standard error as `{"error":{"code","message"}}`.
pub fn run(cli: Cli) -> ExitCode {
    // Process 1 of a local group must stay single-threaded.
    if let Command::GroupSupervisor { plan } = &cli.command {
        return finish(deploy::run_supervisor(plan));
    }
    sidecar_http::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return finish::<CliError>(Err(CliError::io("the runtime", error))),
    };
    runtime.block_on(dispatch(cli.command))
}

async fn dispatch(command: Command) -> ExitCode {
    match command {
        Command::Config(command) => finish(done(config::run(command).await)),
        Command::Secretstore(command) => finish(done(secretstore::run(command))),
        Command::Datastore(command) => finish(done(datastore::run(command).await)),
        Command::Datasink(command) => finish(done(results::datasink(command).await)),
        Command::Logs(command) => finish(done(results::logs(command).await)),
        Command::Telemetry(command) => finish(done(results::telemetry(command).await)),
        Command::Governance(command) => {
            finish(done(governance::run(command, &mut std::io::stdout()).await))
        }
        Command::Deploy(args) => finish(deploy::run(args).await),
        Command::GroupSupervisor { plan } => finish(deploy::run_supervisor(&plan)),
    }
}

fn done<E>(outcome: Result<(), E>) -> Result<ExitCode, E> {
    outcome.map(|()| ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "the command's error output")]
fn finish<E: Coded>(outcome: Result<ExitCode, E>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let body =
                serde_json::json!({"error": {"code": error.code(), "message": chain(&error)}});
            eprintln!("{body}");
            ExitCode::FAILURE
        }
    }
}
