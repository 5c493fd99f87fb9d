use std::io::Write;

use serde_json::{Value, json};

use super::cose::Message;
use super::names::proposal_id;
use super::{ClientStore, Connection, GovCliError, Output, Shared, deployment};

/// `cleanroom governance proposal`
#[derive(clap::Subcommand, Debug)]
pub enum ProposalCommand {
    /// Lists the proposals that the service still holds.
    List {
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Prints a proposal's state.
    Show {
        /// Proposal id.
        #[arg(long)]
        proposal_id: String,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Prints what a proposal would do.
    ShowActions {
        /// Proposal id.
        #[arg(long)]
        proposal_id: String,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Votes on a proposal.
    Vote {
        /// Proposal id.
        #[arg(long)]
        proposal_id: String,
        /// The vote.
        #[arg(long)]
        action: Vote,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Withdraws an own proposal.
    Withdraw {
        /// Proposal id.
        #[arg(long)]
        proposal_id: String,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

/// A vote.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Vote {
    /// For.
    Accept,
    /// Against: a veto on contracts, policies and templates.
    Reject,
}

impl Vote {
    /// The script that CCF evaluates; constitutions compare the text.
    const fn ballot(self) -> &'static str {
        match self {
            Self::Accept => "export function vote (proposal, proposerId) { return true }",
            Self::Reject => "export function vote (proposal, proposerId) { return false }",
        }
    }
}

pub(crate) async fn run(
    store: &ClientStore,
    command: ProposalCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    let open = |shared: &Shared| Connection::open(&store.load(&shared.governance_client)?);
    let (answer, shared) = match command {
        ProposalCommand::List { shared } => {
            (open(&shared)?.gov("/gov/members/proposals").await?, shared)
        }
        ProposalCommand::Show {
            proposal_id: id,
            shared,
        } => {
            let path = format!("/gov/members/proposals/{}", proposal_id(&id)?);
            (open(&shared)?.gov(&path).await?, shared)
        }
        ProposalCommand::ShowActions {
            proposal_id,
            shared,
        } => (actions(&open(&shared)?, &proposal_id).await?, shared),
        ProposalCommand::Vote {
            proposal_id,
            action,
            shared,
        } => (vote(&open(&shared)?, &proposal_id, action).await?, shared),
        ProposalCommand::Withdraw {
            proposal_id: id,
            shared,
        } => {
            let path = format!("/gov/members/proposals/{}:withdraw", proposal_id(&id)?);
            let message = Message::Withdrawal(&id);
            (open(&shared)?.signed(&path, message, &[]).await?, shared)
        }
    };
    Output::new(out, shared.query).print_any(answer)
}

/// Submits the own ballot. A proposal that would admit any container is never accepted.
pub(crate) async fn vote(
    connection: &Connection,
    id: &str,
    vote: Vote,
) -> Result<Value, GovCliError> {
    let id = proposal_id(id)?;
    if vote == Vote::Accept {
        let actions = actions(connection, id).await?;
        deployment::refuse_allow_all(&actions)?;
    }
    let path = format!(
        "/gov/members/proposals/{id}/ballots/{}:submit",
        connection.member_id()
    );
    let payload = json!({"ballot": vote.ballot()}).to_string();
    connection
        .signed(&path, Message::Ballot(id), payload.as_bytes())
        .await
}

/// What a proposal would do.
pub(crate) async fn actions(connection: &Connection, id: &str) -> Result<Value, GovCliError> {
    let path = format!("/gov/members/proposals/{}/actions", proposal_id(id)?);
    connection.gov(&path).await
}
