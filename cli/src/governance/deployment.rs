use std::io::Write;
use std::path::PathBuf;

use policy::Lifecycle;
use serde_json::{Value, json};

use crate::policy::generate::FormArgs;
use crate::policy::layers::LayerArgs;

use super::names::segment;
use super::{ClientStore, Connection, GovCliError, Output, Shared, contract, files};

/// SHA-256 of the policies in circulation that admit any container.
const ALLOW_ALL: [&str; 2] = [
    "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20",
    "7ec5120f0f497e22b18e59ed702ed82e2732562245c9a944f54cd41db4f491af",
];

/// `cleanroom governance deployment`
#[derive(clap::Subcommand, Debug)]
pub enum DeploymentCommand {
    /// Generates template and policy from the accepted contract.
    Generate(GenerateArgs),
    /// The deployment template.
    #[command(subcommand)]
    Template(TemplateCommand),
    /// The clean room policy.
    #[command(subcommand)]
    Policy(PolicyCommand),
}

/// `cleanroom governance deployment generate`
#[derive(clap::Args, Clone, Debug)]
pub struct GenerateArgs {
    /// Contract id.
    #[arg(long)]
    pub contract_id: String,
    /// Directory for the generated files.
    #[arg(long)]
    pub output_dir: PathBuf,
    /// The images and their root hashes.
    #[command(flatten)]
    pub layers: LayerArgs,
    /// How the policy is written.
    #[command(flatten)]
    pub form: FormArgs,
    /// Allows images and roots of a virtual environment, which keeps nothing confidential.
    #[arg(long)]
    pub insecure_virtual: bool,
    /// What to generate for.
    #[arg(long, value_enum, default_value = "local")]
    pub target: Target,
    /// What the end of the application means, and when the room is ready.
    #[arg(long, value_enum, default_value = "job")]
    pub profile: Profile,
    /// PEM file of further trusted roots; only with --insecure-virtual.
    #[arg(long)]
    pub extra_roots: Option<PathBuf>,
    /// The governance client that the contract is read with.
    #[command(flatten)]
    pub shared: Shared,
}

/// What a deployment is generated for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Target {
    /// Processes or containers of one machine.
    Local,
    /// A confidential container group of Azure.
    Arm,
    /// A pod on a virtual node of AKS.
    Pod,
}

/// The life of a room; whoever verifies it names the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Profile {
    /// The application has a task and ends when it is done.
    Job,
    /// The application runs until somebody asks the room to stop.
    Service,
}

impl From<Profile> for Lifecycle {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Job => Self::Job,
            Profile::Service => Self::Service,
        }
    }
}

/// `cleanroom governance deployment template`
#[derive(clap::Subcommand, Debug)]
pub enum TemplateCommand {
    /// Proposes a template.
    Propose {
        /// Contract id.
        #[arg(long)]
        contract_id: String,
        /// The template (JSON).
        #[arg(long)]
        template_file: PathBuf,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Prints the accepted template and open proposals.
    Show {
        /// Contract id.
        #[arg(long)]
        contract_id: String,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

/// `cleanroom governance deployment policy`
#[derive(clap::Subcommand, Debug)]
pub enum PolicyCommand {
    /// Proposes a change of the clean room policy.
    Propose {
        /// Contract id.
        #[arg(long)]
        contract_id: String,
        /// The change (JSON: `{"type":"add","claims":{...}}`).
        #[arg(long)]
        policy_file: PathBuf,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Prints the accepted policy and open proposals.
    Show {
        /// Contract id.
        #[arg(long)]
        contract_id: String,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

pub(crate) async fn run(
    store: &ClientStore,
    command: DeploymentCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    match command {
        DeploymentCommand::Generate(args) => generate(store, args, out).await,
        DeploymentCommand::Template(command) => template_command(store, command, out).await,
        DeploymentCommand::Policy(command) => policy_command(store, command, out).await,
    }
}

async fn template_command(
    store: &ClientStore,
    command: TemplateCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    match command {
        TemplateCommand::Propose {
            contract_id,
            template_file,
            shared,
        } => {
            let connection = Connection::open(&store.load(&shared.governance_client)?)?;
            let id = segment("--contract-id", &contract_id)?;
            let data = files::read_json(&template_file)?;
            let args = json!({"contractId": id, "spec": {"data": data}});
            let proposed = connection.propose("set_deployment_spec", args).await?;
            Output::new(out, shared.query).print(proposed)
        }
        TemplateCommand::Show {
            contract_id,
            shared,
        } => {
            let connection = Connection::open(&store.load(&shared.governance_client)?)?;
            let answer = template(&connection, &contract_id).await?;
            Output::new(out, shared.query).print(answer)
        }
    }
}

async fn policy_command(
    store: &ClientStore,
    command: PolicyCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    match command {
        PolicyCommand::Propose {
            contract_id,
            policy_file,
            shared,
        } => {
            let connection = Connection::open(&store.load(&shared.governance_client)?)?;
            let args = policy_args(&contract_id, files::read_json(&policy_file)?)?;
            let proposed = connection.propose("set_clean_room_policy", args).await?;
            Output::new(out, shared.query).print(proposed)
        }
        PolicyCommand::Show {
            contract_id,
            shared,
        } => {
            let connection = Connection::open(&store.load(&shared.governance_client)?)?;
            let answer = policy(&connection, &contract_id).await?;
            Output::new(out, shared.query).print(answer)
        }
    }
}

/// The accepted template with the open proposals: `{"data":{...},"proposalIds":[...]}`.
pub(crate) async fn template(connection: &Connection, id: &str) -> Result<Value, GovCliError> {
    connection
        .get(&contract::path(id, "/deploymentspec")?)
        .await
}

/// The accepted policy with the open proposals: `{"policy":{...},"proposalIds":[...]}`.
pub(crate) async fn policy(connection: &Connection, id: &str) -> Result<Value, GovCliError> {
    connection
        .get(&contract::path(id, "/cleanroompolicy")?)
        .await
}

fn policy_args(contract_id: &str, change: Value) -> Result<Value, GovCliError> {
    let id = segment("--contract-id", contract_id)?;
    let bad = |reason: &str| GovCliError::Argument {
        argument: "--policy-file",
        reason: reason.to_owned(),
    };
    let kind = contract::text(&change, "type");
    if !matches!(kind, "add" | "remove") {
        return Err(bad("`type` must be `add` or `remove`"));
    }
    let claims = change
        .get("claims")
        .filter(|claims| claims.as_object().is_some_and(|claims| !claims.is_empty()))
        .ok_or_else(|| bad("`claims` must be an object with at least one claim"))?;
    let args = json!({"contractId": id, "type": kind, "claims": claims});
    if kind == "add" {
        refuse_allow_all(&args)?;
    }
    Ok(args)
}

/// Refuses anything that mentions a policy which admits any container, unless it takes that policy away.
pub(crate) fn refuse_allow_all(value: &Value) -> Result<(), GovCliError> {
    match value {
        Value::String(text) => ALLOW_ALL
            .iter()
            .find(|hash| text.eq_ignore_ascii_case(hash))
            .map_or(Ok(()), |hash| {
                Err(GovCliError::AllowAll {
                    hash: (*hash).to_owned(),
                })
            }),
        Value::Array(items) => items.iter().try_for_each(refuse_allow_all),
        Value::Object(members)
            if contract::text(value, "type") == "remove" && members.contains_key("claims") =>
        {
            Ok(())
        }
        Value::Object(members) => members.values().try_for_each(refuse_allow_all),
        _ => Ok(()),
    }
}

async fn generate(
    store: &ClientStore,
    args: GenerateArgs,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    let connection = Connection::open(&store.load(&args.shared.governance_client)?)?;
    let contract = contract::read(&connection, &args.contract_id).await?;
    if contract::text(&contract, "state") != "Accepted" {
        return Err(GovCliError::State {
            contract: args.contract_id,
            actual: contract::text(&contract, "state").to_owned(),
            expected: "Accepted",
        });
    }
    let query = args.shared.query.clone();
    let answer = crate::deployment_generate::run(contract, args).await;
    Output::new(out, query).print_any(answer.map_err(GovCliError::Deployment)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_admits_any_container_is_refused_and_can_be_removed() {
        for hash in ALLOW_ALL {
            for hash in [hash.to_owned(), hash.to_uppercase()] {
                let change = |kind: &str| json!({"type": kind, "claims": {"x-ms-sevsnpvm-hostdata": [hash]}});
                assert!(matches!(
                    policy_args("c1", change("add")),
                    Err(GovCliError::AllowAll { .. })
                ));
                policy_args("c1", change("remove")).unwrap();
            }
        }
        let other = json!({"type": "add", "claims": {"x-ms-sevsnpvm-hostdata": "ab"}});
        assert_eq!(policy_args("c1", other).unwrap()["contractId"], "c1");
    }

    #[test]
    fn a_change_without_type_or_claims_is_refused() {
        for change in [
            json!({}),
            json!({"type": "set", "claims": {"a": 1}}),
            json!({"type": "add", "claims": {}}),
            json!([]),
        ] {
            assert!(
                matches!(
                    policy_args("c1", change.clone()),
                    Err(GovCliError::Argument { .. })
                ),
                "{change}"
            );
        }
    }

    #[test]
    fn a_vote_sees_through_the_actions_of_a_proposal() {
        let actions = json!({"actions": [{"name": "set_clean_room_policy", "args": {"contractId": "c1", "type": "add", "claims": {"x-ms-sevsnpvm-hostdata": ALLOW_ALL[1]}}}]});
        assert!(refuse_allow_all(&actions).is_err());
    }
}
