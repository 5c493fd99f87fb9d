//! What a party gets out of a room: its sinks, decrypted.

use std::path::PathBuf;

use clap::Subcommand;

use crate::config::read_specification;
use crate::credential::Access;
use crate::{CliError, datastore};

#[derive(clap::Args, Debug)]
pub(crate) struct Where {
    /// Your specification fragment, or the contract.
    #[arg(long)]
    cleanroom_config: PathBuf,
    /// File that lists your datastores.
    #[arg(long, env = "CLEANROOM_DATASTORE_CONFIG_FILE")]
    datastore_config: PathBuf,
    /// Folder for the files.
    #[arg(long)]
    target_folder: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DatasinkCommand {
    /// Downloads, verifies and decrypts a sink.
    Download {
        /// Access name of the sink.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        from: Where,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogsCommand {
    /// Downloads the output of the application.
    Download(Where),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TelemetryCommand {
    /// Downloads the telemetry of the sidecars.
    Download(Where),
}

pub(crate) async fn datasink(command: DatasinkCommand, access: &Access) -> Result<(), CliError> {
    let DatasinkCommand::Download { name, from } = command;
    download(&name, &from, access).await
}

pub(crate) async fn logs(command: LogsCommand, access: &Access) -> Result<(), CliError> {
    let LogsCommand::Download(from) = command;
    download("application-telemetry", &from, access).await
}

pub(crate) async fn telemetry(command: TelemetryCommand, access: &Access) -> Result<(), CliError> {
    let TelemetryCommand::Download(from) = command;
    download("infrastructure-telemetry", &from, access).await
}

async fn download(access_name: &str, from: &Where, access: &Access) -> Result<(), CliError> {
    let spec = read_specification(&from.cleanroom_config)?;
    let sink = spec
        .datasinks
        .iter()
        .find(|point| point.name == access_name)
        .ok_or_else(|| CliError::NotFound {
            kind: "datasink",
            name: access_name.to_owned(),
        })?;
    let azure = access.azure()?;
    datastore::download(
        &from.datastore_config,
        &sink.store.id,
        &from.target_folder,
        &azure,
    )
    .await
}
