use std::io::Write;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::cose::Message;
use super::names::segment;
use super::signer::Signer;
use super::{ClientStore, Connection, GovCliError, Output, Shared, files, keygen};

/// `cleanroom governance member`
#[derive(clap::Subcommand, Debug)]
pub enum MemberCommand {
    /// Makes a member's signing certificate and encryption key pair.
    #[command(alias = "keygenerator-sh")]
    Keygenerator {
        /// Name of the member; also the certificate's CN.
        #[arg(long)]
        name: String,
        /// Directory for the four files.
        #[arg(long, default_value = ".")]
        output_dir: PathBuf,
    },
    /// Proposes a new member.
    Add {
        /// The member's signing certificate (PEM).
        #[arg(long)]
        certificate: PathBuf,
        /// Name of the member in `member_data`.
        #[arg(long, required_unless_present = "member_data")]
        identifier: Option<String>,
        /// Entra tenant of the member.
        #[arg(long, requires = "identifier")]
        tenant_id: Option<String>,
        /// JSON, or a file of it, that becomes `member_data`.
        #[arg(long, conflicts_with_all = ["identifier", "tenant_id"])]
        member_data: Option<String>,
        /// The member's encryption key (PEM): makes it a holder of recovery shares.
        #[arg(long)]
        encryption_public_key: Option<PathBuf>,
        /// Role in recovery.
        #[arg(long, requires = "encryption_public_key", value_parser = ["participant", "owner"])]
        recovery_role: Option<String>,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Takes up the own membership: signs the service's current state.
    Activate {
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Lists the members.
    Show {
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Proposes the Entra tenant of a member; its other data stay.
    SetTenantId {
        /// Name of the member in `member_data`.
        #[arg(long)]
        identifier: String,
        /// Entra tenant.
        #[arg(long)]
        tenant_id: String,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

pub(crate) async fn run(
    store: &ClientStore,
    command: MemberCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    match command {
        MemberCommand::Keygenerator { name, output_dir } => {
            let written = keygen::write(segment("--name", &name)?, &output_dir)?;
            let signer = Signer::of(&files::read(&written.cert)?, &files::read(&written.key)?)?;
            let answer = json!({
                "memberId": signer.id(),
                "certificate": written.cert,
                "privateKey": written.key,
                "encryptionPublicKey": written.encryption_public,
                "encryptionPrivateKey": written.encryption_private,
            });
            Output::new(out, None).print(answer)
        }
        MemberCommand::Add {
            certificate,
            identifier,
            tenant_id,
            member_data,
            encryption_public_key,
            recovery_role,
            shared,
        } => {
            let mut args = Map::new();
            let cert = files::read_text(&certificate)?;
            args.insert("cert".to_owned(), json!(*cert));
            args.insert(
                "member_data".to_owned(),
                data(identifier, tenant_id, member_data)?,
            );
            if let Some(path) = encryption_public_key {
                let key = files::read_text(&path)?;
                args.insert("encryption_pub_key".to_owned(), json!(*key));
            }
            if let Some(role) = recovery_role {
                let role = if role == "owner" {
                    "Owner"
                } else {
                    "Participant"
                };
                args.insert("recovery_role".to_owned(), json!(role));
            }
            let connection = Connection::open(&store.load(&shared.governance_client)?)?;
            let proposal = connection
                .propose("set_member", Value::Object(args))
                .await?;
            Output::new(out, shared.query).print(proposal)
        }
        MemberCommand::Activate { shared } => {
            let connection = Connection::open(&store.load(&shared.governance_client)?)?;
            activate(&connection).await
        }
        MemberCommand::Show { shared } => {
            let connection = Connection::open(&store.load(&shared.governance_client)?)?;
            let members = connection.gov("/gov/service/members").await?;
            Output::new(out, shared.query).print(members)
        }
        MemberCommand::SetTenantId {
            identifier,
            tenant_id,
            shared,
        } => {
            let connection = Connection::open(&store.load(&shared.governance_client)?)?;
            let members = connection.gov("/gov/service/members").await?;
            let (id, mut data) = find(&members, &identifier)?;
            data.insert("tenantId".to_owned(), json!(tenant_id));
            let args = json!({"member_id": id, "member_data": data});
            let proposal = connection.propose("set_member_data", args).await?;
            Output::new(out, shared.query).print(proposal)
        }
    }
}

/// Signs the state that the service shows: from then on the member is active and its vote counts.
async fn activate(connection: &Connection) -> Result<(), GovCliError> {
    let base = format!("/gov/members/state-digests/{}", connection.member_id());
    let digest = connection
        .signed(&format!("{base}:update"), Message::StateDigest, &[])
        .await?;
    let payload = serde_json::to_vec(&digest).map_err(|error| GovCliError::Answer {
        what: error.to_string(),
    })?;
    connection
        .signed(&format!("{base}:ack"), Message::Ack, &payload)
        .await?;
    Ok(())
}

fn data(
    identifier: Option<String>,
    tenant_id: Option<String>,
    member_data: Option<String>,
) -> Result<Value, GovCliError> {
    if let Some(text) = member_data {
        let text = files::text_or_file("--member-data", &text)?;
        return serde_json::from_str(&text).map_err(|error| GovCliError::Argument {
            argument: "--member-data",
            reason: error.to_string(),
        });
    }
    let mut data = Map::new();
    if let Some(identifier) = identifier {
        data.insert("identifier".to_owned(), json!(identifier));
    }
    if let Some(tenant) = tenant_id {
        data.insert("tenantId".to_owned(), json!(tenant));
    }
    Ok(Value::Object(data))
}

/// The one member of this name, with its whole data: the action replaces all of it.
fn find(members: &Value, identifier: &str) -> Result<(String, Map<String, Value>), GovCliError> {
    let empty = Vec::new();
    let list = members
        .get("value")
        .and_then(Value::as_array)
        .unwrap_or(&empty);
    let mut found = list.iter().filter_map(|member| {
        let data = member.get("memberData")?.as_object()?;
        let named = data.get("identifier")?.as_str()? == identifier;
        let id = member.get("memberId")?.as_str()?.to_owned();
        named.then(|| (id, data.clone()))
    });
    match (found.next(), found.next()) {
        (Some(member), None) => Ok(member),
        (first, _) => Err(GovCliError::Argument {
            argument: "--identifier",
            reason: match first {
                Some(_) => format!("several members are called {identifier}"),
                None => format!("no member is called {identifier}"),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_set_on_exactly_one_member_and_keeps_its_other_data() {
        let members = json!({"value": [
            {"memberId": "aa", "memberData": {"identifier": "litware", "cgsRoles": {"x": "y"}}},
            {"memberId": "bb", "memberData": {"identifier": "twin"}},
            {"memberId": "cc", "memberData": {"identifier": "twin"}},
            {"memberId": "dd"},
        ]});
        let (id, data) = find(&members, "litware").unwrap();
        assert_eq!(
            (id.as_str(), data["cgsRoles"]["x"].as_str()),
            ("aa", Some("y"))
        );
        assert!(find(&members, "twin").is_err());
        assert!(find(&members, "nobody").is_err());
    }
}
