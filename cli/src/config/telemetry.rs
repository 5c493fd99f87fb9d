use std::path::PathBuf;

use cleanroom_spec::{
    AccessPoint, ApplicationTelemetry, GovernanceSettings, InfrastructureTelemetry, Telemetry,
};

use super::dataset::{KeyArgs, Kind, access_point};
use super::{change, identity_of, read_specification};
use crate::CliError;
use crate::credential::Azure;
use crate::datastore::{self, AddArgs, Mode, S3Args};
use crate::stores::{self, DataStores, StoreType};

const LOGS: &str = "application-telemetry";
const TELEMETRY: &str = "infrastructure-telemetry";

/// Where output of the room goes.
#[derive(clap::Args, Debug)]
pub struct TelemetryArgs {
    /// The fragment.
    #[arg(long)]
    cleanroom_config: PathBuf,
    /// File that lists your datastores.
    #[arg(long, env = "CLEANROOM_DATASTORE_CONFIG_FILE")]
    datastore_config: PathBuf,
    /// ARM id or blob URL of the account.
    #[arg(long)]
    storage_account: String,
    /// Who encrypts.
    #[arg(long)]
    encryption_mode: Mode,
    /// Local secret store for the data key.
    #[arg(long)]
    datastore_secret_store: String,
    /// End of the container's name.
    #[arg(long)]
    container_suffix: Option<String>,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(super) async fn logging(args: &TelemetryArgs, azure: &Azure) -> Result<(), CliError> {
    let sink = sink(args, azure, LOGS).await?;
    change(&args.cleanroom_config, |spec| {
        spec.put_access_point(sink.clone());
        settings(spec).application = Some(ApplicationTelemetry {
            consent: None,
            logs: sink,
        });
        Ok(())
    })
}

pub(super) async fn telemetry(args: &TelemetryArgs, azure: &Azure) -> Result<(), CliError> {
    let sink = sink(args, azure, TELEMETRY).await?;
    change(&args.cleanroom_config, |spec| {
        spec.put_access_point(sink.clone());
        settings(spec).infrastructure = Some(InfrastructureTelemetry {
            consent: None,
            metrics: sink.clone(),
            traces: sink.clone(),
            logs: sink,
        });
        Ok(())
    })
}

fn settings(spec: &mut cleanroom_spec::Specification) -> &mut Telemetry {
    let governance = spec
        .governance
        .get_or_insert_with(GovernanceSettings::default);
    governance.telemetry.get_or_insert_with(Telemetry::default)
}

/// The sink's datastore, made once per fragment.
async fn sink(
    args: &TelemetryArgs,
    azure: &Azure,
    access_name: &str,
) -> Result<AccessPoint, CliError> {
    let identity = identity_of(
        &read_specification(&args.cleanroom_config)?,
        &args.keys.identity,
    )?;
    let stem: String = args
        .cleanroom_config
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        .collect();
    let name = shorten(&format!("{access_name}-{stem}"));
    let container = args
        .container_suffix
        .as_ref()
        .map(|suffix| shorten(&format!("{access_name}-{suffix}")));
    let known: DataStores = stores::read(&args.datastore_config)?;
    let store = match known.find(&name) {
        Ok(store) => store.clone(),
        Err(_) => {
            let add = AddArgs {
                name,
                config: args.datastore_config.clone(),
                secretstore: args.datastore_secret_store.clone(),
                secretstore_config: args.keys.secretstore_config.clone(),
                encryption_mode: args.encryption_mode,
                backingstore_type: StoreType::AzureBlobStorage,
                backingstore_id: args.storage_account.clone(),
                container_name: container,
                format: None,
                key_id: None,
                s3: S3Args::default(),
            };
            datastore::add(add, azure).await?
        }
    };
    access_point(access_name, Kind::Sink, &store, None, identity, &args.keys)
}

/// Container names have at most 63 characters and end with a letter or digit.
fn shorten(name: &str) -> String {
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches('-').to_owned()
}
