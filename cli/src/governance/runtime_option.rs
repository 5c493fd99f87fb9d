use std::io::Write;

use reqwest::Method;
use serde_json::json;

use super::names::segment;
use super::{ClientStore, Connection, GovCliError, Output, Shared, contract};

/// `cleanroom governance contract runtime-option`
#[derive(clap::Subcommand, Debug)]
pub enum RuntimeOptionCommand {
    /// Prints whether the parties consent.
    Get {
        /// Contract id.
        #[arg(long)]
        contract_id: String,
        /// What is consented to.
        #[arg(long)]
        option: AnyOption,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Gives or withdraws the own consent, at once.
    Set {
        /// Contract id.
        #[arg(long)]
        contract_id: String,
        /// What is consented to.
        #[arg(long)]
        option: OwnOption,
        /// Which way.
        #[arg(long)]
        action: Switch,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Proposes a consent that needs everybody's vote; switching off is accepted at once.
    Propose {
        /// Contract id.
        #[arg(long)]
        contract_id: String,
        /// What is consented to.
        #[arg(long)]
        option: SharedOption,
        /// Which way.
        #[arg(long)]
        action: Switch,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

/// Everything that is consented to.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum AnyOption {
    /// Running the application.
    Execution,
    /// Exporting its logs.
    Logging,
    /// Exporting telemetry.
    Telemetry,
}

/// What every party decides alone.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum OwnOption {
    /// Running the application.
    Execution,
}

/// What the parties decide together.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum SharedOption {
    /// Exporting the application's logs.
    Logging,
    /// Exporting telemetry.
    Telemetry,
}

/// On or off.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Switch {
    /// On.
    Enable,
    /// Off.
    Disable,
}

impl Switch {
    const fn name(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }
}

impl AnyOption {
    const fn name(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Logging => "logging",
            Self::Telemetry => "telemetry",
        }
    }
}

impl SharedOption {
    const fn name(self) -> &'static str {
        match self {
            Self::Logging => "logging",
            Self::Telemetry => "telemetry",
        }
    }
}

pub(crate) async fn run(
    store: &ClientStore,
    command: RuntimeOptionCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    let open = |shared: &Shared| Connection::open(&store.load(&shared.governance_client)?);
    match command {
        RuntimeOptionCommand::Get {
            contract_id,
            option,
            shared,
        } => {
            let path = contract::path(&contract_id, &format!("/checkstatus/{}", option.name()))?;
            let answer = open(&shared)?.ask(&path).await?;
            Output::new(out, shared.query).print(answer)
        }
        RuntimeOptionCommand::Set {
            contract_id,
            option: OwnOption::Execution,
            action,
            shared,
        } => {
            let path = contract::path(&contract_id, &format!("/{}", action.name()))?;
            let answer = open(&shared)?.change(Method::POST, &path, None).await?;
            Output::new(out, shared.query).print_any(answer)
        }
        RuntimeOptionCommand::Propose {
            contract_id,
            option,
            action,
            shared,
        } => {
            let id = segment("--contract-id", &contract_id)?;
            let name = format!(
                "set_contract_runtime_options_{}_{}",
                action.name(),
                option.name()
            );
            let proposed = open(&shared)?
                .propose(&name, json!({"contractId": id}))
                .await?;
            Output::new(out, shared.query).print(proposed)
        }
    }
}
