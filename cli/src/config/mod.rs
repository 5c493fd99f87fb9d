//! `cleanroom config`: a party's fragment of the specification.

mod application;
mod dataset;
mod identity;
mod pin;
mod schema;
mod tag;
mod telemetry;
mod view;
pub(crate) mod wrap;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use cleanroom_spec::{Identity, Specification};

use crate::credential::Access;
use crate::{CliError, stores};

/// The identity that CGS vouches for; every other stands on it.
const ATTESTED: &str = "cleanroom_cgs_oidc";

/// Commands on a specification.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Begins a fragment.
    Init {
        /// The fragment.
        #[arg(long)]
        cleanroom_config: PathBuf,
    },
    /// Adds an identity that the room may act as.
    #[command(subcommand)]
    AddIdentity(identity::IdentityCommand),
    /// Adds data that the room reads.
    AddDatasource(dataset::DatasetArgs),
    /// Adds data that the room writes.
    AddDatasink(dataset::DatasetArgs),
    /// Sends the application's output to an encrypted sink.
    SetLogging(telemetry::TelemetryArgs),
    /// Sends the sidecars' telemetry to an encrypted sink.
    SetTelemetry(telemetry::TelemetryArgs),
    /// Adds the code.
    AddApplication(Box<application::ApplicationArgs>),
    /// Merges fragments and shows the result.
    View(view::ViewArgs),
    /// Reports every problem of a specification.
    Validate {
        /// The specification.
        #[arg(long)]
        cleanroom_config: PathBuf,
    },
    /// Prints the JSON Schema of a specification.
    Schema,
    /// Binds the keys of your datasets to the accepted deployment.
    WrapDeks(wrap::WrapArgs),
}

/// Runs one command.
///
/// # Errors
/// The command's own.
pub(crate) async fn run(command: ConfigCommand, access: &Access) -> Result<(), CliError> {
    match command {
        ConfigCommand::Init { cleanroom_config } => init(&cleanroom_config),
        ConfigCommand::AddIdentity(command) => identity::run(command),
        ConfigCommand::AddDatasource(args) => dataset::run(&args, dataset::Kind::Source),
        ConfigCommand::AddDatasink(args) => dataset::run(&args, dataset::Kind::Sink),
        ConfigCommand::SetLogging(args) => telemetry::logging(&args, &access.azure()?).await,
        ConfigCommand::SetTelemetry(args) => telemetry::telemetry(&args, &access.azure()?).await,
        ConfigCommand::AddApplication(args) => application::run(*args, access).await,
        ConfigCommand::View(args) => view::run(&args),
        ConfigCommand::Validate { cleanroom_config } => {
            Ok(read_specification(&cleanroom_config)?.validate()?)
        }
        ConfigCommand::Schema => schema::run(),
        ConfigCommand::WrapDeks(args) => wrap::run(&args, &access.azure()?).await,
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a warning to the person at the terminal"
)]
fn init(path: &Path) -> Result<(), CliError> {
    if path.exists() {
        eprintln!("{} exists already; nothing was changed", path.display());
        return Ok(());
    }
    let mut spec = Specification::default();
    spec.put_identity(Identity::attested(ATTESTED, "https://cgs/oidc"));
    write_specification(path, &spec)
}

/// Reads a specification file.
pub(crate) fn read_specification(path: &Path) -> Result<Specification, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::io(path.display().to_string(), error))?;
    Ok(Specification::from_yaml(&text)?)
}

fn write_specification(path: &Path, spec: &Specification) -> Result<(), CliError> {
    stores::write_text(path, &spec.to_yaml()?)
}

/// Changes a specification file.
fn change(
    path: &Path,
    change: impl FnOnce(&mut Specification) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut spec = read_specification(path)?;
    change(&mut spec)?;
    write_specification(path, &spec)
}

fn identity_of(spec: &Specification, name: &str) -> Result<Identity, CliError> {
    let found = spec
        .identities
        .iter()
        .find(|identity| identity.name == name);
    found.cloned().ok_or_else(|| CliError::NotFound {
        kind: "identity",
        name: name.to_owned(),
    })
}
