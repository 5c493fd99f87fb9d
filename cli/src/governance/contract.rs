use std::io::Write;

use reqwest::Method;
use serde_json::{Value, json};

use super::names::segment;
use super::{
    ClientStore, Connection, EventCommand, GovCliError, Output, RuntimeOptionCommand, Shared,
    event, files, proposal, runtime_option,
};

/// `cleanroom governance contract`
#[derive(clap::Subcommand, Debug)]
pub enum ContractCommand {
    /// Stores a draft.
    Create {
        /// Contract id.
        #[arg(long)]
        id: String,
        /// The contract: a file, `@file`, or the text itself.
        #[arg(long)]
        data: String,
        /// Version of the draft that is replaced.
        #[arg(long)]
        version: Option<String>,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Prints a contract.
    Show {
        /// Contract id; without it, every contract's id is listed.
        #[arg(long)]
        id: Option<String>,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Proposes the draft for acceptance.
    Propose {
        /// Contract id.
        #[arg(long)]
        id: String,
        /// Version that was looked at; another one is refused.
        #[arg(long)]
        version: String,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Votes on the contract's open proposal.
    Vote {
        /// Contract id.
        #[arg(long)]
        id: String,
        /// Proposal that was looked at; another one is refused.
        #[arg(long)]
        proposal_id: String,
        /// The vote.
        #[arg(long)]
        action: proposal::Vote,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Consent to run and to export.
    #[command(subcommand)]
    RuntimeOption(RuntimeOptionCommand),
    /// Audit events.
    #[command(subcommand)]
    Event(EventCommand),
    /// Secrets that only the attested clean room can read.
    #[command(subcommand)]
    Secret(SecretCommand),
}

/// `cleanroom governance contract secret`
#[derive(clap::Subcommand, Debug)]
pub enum SecretCommand {
    /// Stores a secret.
    Set {
        /// Contract id.
        #[arg(long)]
        contract_id: String,
        /// Name of the secret.
        #[arg(long)]
        secret_name: String,
        /// `@file` with the value: an argument is visible to every user of the machine.
        #[arg(long, value_name = "@FILE")]
        value: String,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

pub(crate) async fn run(
    store: &ClientStore,
    command: ContractCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    let open = |shared: &Shared| Connection::open(&store.load(&shared.governance_client)?);
    match command {
        ContractCommand::Create {
            id,
            data,
            version,
            shared,
        } => {
            let path = path(&id, "")?;
            let data = files::text_or_file("--data", &data)?;
            let body = match version {
                Some(version) => json!({"data": *data, "version": version}),
                None => json!({"data": *data}),
            };
            let answer = open(&shared)?
                .change(Method::PUT, &path, Some(&body))
                .await?;
            Output::new(out, shared.query).print_any(answer)
        }
        ContractCommand::Show { id, shared } => {
            let path = match id {
                Some(id) => path(&id, "")?,
                None => "/app/contracts".to_owned(),
            };
            let answer = open(&shared)?.get(&path).await?;
            Output::new(out, shared.query).print(answer)
        }
        ContractCommand::Propose {
            id,
            version,
            shared,
        } => {
            let connection = open(&shared)?;
            let proposed = propose(&connection, &id, &version).await?;
            Output::new(out, shared.query).print(proposed)
        }
        ContractCommand::Vote {
            id,
            proposal_id,
            action,
            shared,
        } => {
            let connection = open(&shared)?;
            check_open(&read(&connection, &id).await?, &id, &proposal_id)?;
            let answer = proposal::vote(&connection, &proposal_id, action).await?;
            Output::new(out, shared.query).print(answer)
        }
        ContractCommand::RuntimeOption(command) => runtime_option::run(store, command, out).await,
        ContractCommand::Event(command) => event::run(store, command, out).await,
        ContractCommand::Secret(SecretCommand::Set {
            contract_id,
            secret_name,
            value,
            shared,
        }) => {
            let name = segment("--secret-name", &secret_name)?;
            let path = path(&contract_id, &format!("/secrets/{name}"))?;
            let Some(file) = value.strip_prefix('@') else {
                return Err(GovCliError::Argument {
                    argument: "--value",
                    reason: "must be @file: an argument is visible to every user of the machine"
                        .to_owned(),
                });
            };
            let value = files::read_text(file.as_ref())?;
            let body = json!({"value": *value});
            let answer = open(&shared)?
                .change(Method::PUT, &path, Some(&body))
                .await?;
            Output::new(out, shared.query).print(answer)
        }
    }
}

/// Reads a contract.
pub(crate) async fn read(connection: &Connection, id: &str) -> Result<Value, GovCliError> {
    connection.get(&path(id, "")?).await
}

async fn propose(connection: &Connection, id: &str, version: &str) -> Result<Value, GovCliError> {
    let contract = read(connection, id).await?;
    let actual = text(&contract, "version");
    if actual != version {
        return Err(GovCliError::VersionChanged {
            contract: id.to_owned(),
            expected: version.to_owned(),
            actual: actual.to_owned(),
        });
    }
    if text(&contract, "state") != "Draft" {
        return Err(GovCliError::State {
            contract: id.to_owned(),
            actual: text(&contract, "state").to_owned(),
            expected: "Draft",
        });
    }
    let args = json!({"contractId": id, "contract": contract});
    connection.propose("set_contract", args).await
}

/// A vote is for what was looked at, never for whatever happens to be open now.
fn check_open(contract: &Value, id: &str, proposal_id: &str) -> Result<(), GovCliError> {
    let state = text(contract, "state");
    if state != "Proposed" {
        return Err(GovCliError::State {
            contract: id.to_owned(),
            actual: state.to_owned(),
            expected: "Proposed",
        });
    }
    let open = text(contract, "proposalId");
    if open != proposal_id {
        return Err(GovCliError::ProposalMismatch {
            contract: id.to_owned(),
            open: open.to_owned(),
            asked: proposal_id.to_owned(),
        });
    }
    Ok(())
}

pub(crate) fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(crate) fn path(contract_id: &str, rest: &str) -> Result<String, GovCliError> {
    Ok(format!(
        "/app/contracts/{}{rest}",
        segment("contract id", contract_id)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_on_anything_but_the_open_proposal_is_refused() {
        let contract = json!({"id": "c1", "state": "Proposed", "proposalId": "aa"});
        check_open(&contract, "c1", "aa").unwrap();
        assert!(matches!(
            check_open(&contract, "c1", "bb"),
            Err(GovCliError::ProposalMismatch { .. })
        ));
        let accepted = json!({"id": "c1", "state": "Accepted", "proposalId": "aa"});
        assert!(matches!(
            check_open(&accepted, "c1", "aa"),
            Err(GovCliError::State { .. })
        ));
        assert!(check_open(&json!({}), "c1", "").is_err());
    }
}
