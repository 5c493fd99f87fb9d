use std::io::Write;

use super::{ClientStore, Connection, GovCliError, Output, Shared};

/// `cleanroom governance network`
#[derive(clap::Subcommand, Debug)]
pub enum NetworkCommand {
    /// Prints the network's state and service certificate.
    Show {
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

/// `cleanroom governance service`
#[derive(clap::Subcommand, Debug)]
pub enum ServiceCommand {
    /// Prints the service's state and configuration.
    Show {
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

pub(crate) async fn run_network(
    store: &ClientStore,
    command: NetworkCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    let NetworkCommand::Show { shared } = command;
    let connection = Connection::open(&store.load(&shared.governance_client)?)?;
    Output::new(out, shared.query).print(connection.get("/node/network").await?)
}

pub(crate) async fn run_service(
    store: &ClientStore,
    command: ServiceCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    let ServiceCommand::Show { shared } = command;
    let connection = Connection::open(&store.load(&shared.governance_client)?)?;
    Output::new(out, shared.query).print(connection.gov("/gov/service/info").await?)
}
