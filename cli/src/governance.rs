//! `cleanroom governance`: a member's voice in the collaboration.
//!
//! There is no daemon. A *governance client* is a file that names the CCF endpoint, the pinned service certificate and
//! the member's certificate and key; every command reads it, speaks mutual TLS for `/app`, signs COSE messages for
//! `/gov`, and waits for the commit of what it wrote.

mod client;
mod connection;
mod contract;
mod cose;
mod deployment;
mod error;
mod event;
mod event_chain;
mod files;
mod keygen;
mod member;
mod names;
mod oidc;
mod output;
mod proposal;
mod runtime_option;
mod service;
mod signer;
#[cfg(test)]
mod tests;

use std::io::Write;

use serde_json::Value;

pub use client::{ClientCommand, ClientStore, Workspace};
pub use connection::Connection;
pub use contract::ContractCommand;
pub use deployment::{DeploymentCommand, GenerateArgs, Profile, Target};
pub use error::GovCliError;
pub use event::EventCommand;
pub use member::MemberCommand;
pub use oidc::OidcCommand;
pub use output::Output;
pub use proposal::ProposalCommand;
pub use runtime_option::RuntimeOptionCommand;
pub use service::{NetworkCommand, ServiceCommand};

/// Which member asks, and which part of the answer is wanted.
#[derive(clap::Args, Clone, Debug)]
pub struct Shared {
    /// Name of the governance client to use.
    #[arg(long, env = "CLEANROOM_GOVERNANCE_CLIENT", value_name = "NAME")]
    pub governance_client: String,
    /// Prints one member of the answer, such as `proposalIds[0]`; text is printed as it is.
    #[arg(long, value_name = "PATH")]
    pub query: Option<String>,
}

/// The groups of `cleanroom governance`.
#[derive(clap::Subcommand, Debug)]
pub enum GovernanceCommand {
    /// The file that says who you are and where CGS is.
    #[command(subcommand)]
    Client(ClientCommand),
    /// Members of the consortium.
    #[command(subcommand)]
    Member(MemberCommand),
    /// Contracts, consent, events and secrets.
    #[command(subcommand)]
    Contract(ContractCommand),
    /// Deployment template and clean room policy.
    #[command(subcommand)]
    Deployment(DeploymentCommand),
    /// Proposals and votes.
    #[command(subcommand)]
    Proposal(ProposalCommand),
    /// The issuer of ID tokens.
    #[command(subcommand)]
    OidcIssuer(OidcCommand),
    /// The CCF network.
    #[command(subcommand)]
    Network(NetworkCommand),
    /// The CCF service.
    #[command(subcommand)]
    Service(ServiceCommand),
}

/// Runs one command of `cleanroom governance` and prints its answer as JSON with sorted keys.
///
/// # Errors
/// The command's own; each has a stable code.
pub async fn run(command: GovernanceCommand, out: &mut dyn Write) -> Result<(), GovCliError> {
    run_with(&ClientStore::of_user()?, command, out).await
}

/// As [`run`], with the directory of governance clients given.
///
/// # Errors
/// The command's own.
pub async fn run_with(
    store: &ClientStore,
    command: GovernanceCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    match command {
        GovernanceCommand::Client(command) => client::run(store, command, out),
        GovernanceCommand::Member(command) => member::run(store, command, out).await,
        GovernanceCommand::Contract(command) => contract::run(store, command, out).await,
        GovernanceCommand::Deployment(command) => deployment::run(store, command, out).await,
        GovernanceCommand::Proposal(command) => proposal::run(store, command, out).await,
        GovernanceCommand::OidcIssuer(command) => oidc::run(store, command, out).await,
        GovernanceCommand::Network(command) => service::run_network(store, command, out).await,
        GovernanceCommand::Service(command) => service::run_service(store, command, out).await,
    }
}

/// The accepted clean room policy of a contract: claim name to list of values, such as
/// `{"x-ms-sevsnpvm-hostdata":["<hex>"]}`. Empty as long as none was accepted.
///
/// # Errors
/// There is no such governance client, or CGS refused.
pub async fn clean_room_policy(client: &str, contract_id: &str) -> Result<Value, GovCliError> {
    let connection = Connection::open(&ClientStore::of_user()?.load(client)?)?;
    let answer = deployment::policy(&connection, contract_id).await?;
    Ok(answer.get("policy").cloned().unwrap_or_default())
}

/// The accepted deployment template of a contract; an empty object as long as none was accepted.
///
/// # Errors
/// There is no such governance client, or CGS refused.
pub async fn deployment_spec(client: &str, contract_id: &str) -> Result<Value, GovCliError> {
    let connection = Connection::open(&ClientStore::of_user()?.load(client)?)?;
    let answer = deployment::template(&connection, contract_id).await?;
    Ok(answer.get("data").cloned().unwrap_or_default())
}

/// A contract with the deployment that was accepted for it and those that are proposed.
#[derive(Debug)]
pub(crate) struct DeploymentOffers {
    /// The whole contract.
    pub(crate) contract: Value,
    /// The accepted template; an empty object as long as none was accepted.
    pub(crate) template: Value,
    /// The accepted policy: claim name to list of values.
    pub(crate) claims: Value,
    /// Open proposals: id, and one of its actions.
    pub(crate) actions: Vec<(String, Value)>,
}

/// What a vote on a deployment is about.
pub(crate) async fn deployment_offers(
    connection: &Connection,
    contract_id: &str,
) -> Result<DeploymentOffers, GovCliError> {
    let contract = contract::read(connection, contract_id).await?;
    let template = deployment::template(connection, contract_id).await?;
    let policy = deployment::policy(connection, contract_id).await?;
    let mut ids = std::collections::BTreeSet::new();
    for answer in [&template, &policy] {
        let open = answer.get("proposalIds").and_then(Value::as_array);
        let open = open.into_iter().flatten().filter_map(Value::as_str);
        ids.extend(open.map(ToOwned::to_owned));
    }
    let mut actions = Vec::new();
    for id in ids {
        let proposal = proposal::actions(connection, &id).await?;
        let of_proposal = proposal.get("actions").and_then(Value::as_array);
        let of_proposal = of_proposal.into_iter().flatten().cloned();
        actions.extend(of_proposal.map(|action| (id.clone(), action)));
    }
    let part = |answer: &Value, name: &str| answer.get(name).cloned().unwrap_or_default();
    Ok(DeploymentOffers {
        template: part(&template, "data"),
        claims: part(&policy, "policy"),
        contract,
        actions,
    })
}

/// Where a governance client's CGS is and which certificate it is pinned to, for commands that build deployments.
///
/// # Errors
/// There is no such governance client, or its files are unreadable.
pub fn workspace(client: &str) -> Result<Workspace, GovCliError> {
    ClientStore::of_user()?.load(client)
}
