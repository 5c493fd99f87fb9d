use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use cleanroom_spec::AccessPoint;
use keyvault::{KeyClient, ReleasePolicy, SecretClient, VaultKind};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::read_specification;
use crate::stores::{self, DataStores};
use crate::{CliError, credential, deks};

/// Which keys, and to which deployment.
#[derive(clap::Args, Debug)]
pub struct WrapArgs {
    /// Your fragment.
    #[arg(long)]
    cleanroom_config: PathBuf,
    /// File that lists your datastores.
    #[arg(long, env = "CLEANROOM_DATASTORE_CONFIG_FILE")]
    datastore_config: PathBuf,
    /// File that lists your secret stores.
    #[arg(long, env = "CLEANROOM_SECRETSTORE_CONFIG_FILE")]
    secretstore_config: PathBuf,
    /// Contract whose accepted policy the keys are bound to.
    #[arg(long)]
    contract_id: String,
    /// Name of the governance client.
    #[arg(long, env = "CLEANROOM_GOVERNANCE_CLIENT")]
    governance_client: String,
}

/// `configuration` of the key encryption key's vault.
#[derive(Deserialize)]
struct KekConfiguration {
    authority: String,
    #[serde(rename = "vaultKind")]
    vault_kind: VaultKind,
}

pub(super) async fn run(args: WrapArgs) -> Result<(), CliError> {
    let spec = read_specification(&args.cleanroom_config)?;
    let stores: DataStores = stores::read(&args.datastore_config)?;
    let host_data = host_data(&args).await?;
    let client = credential::https()?;
    // One key for all datasets that name the same one, imported once.
    let mut keks: BTreeMap<(String, String), cleanroom_crypto::rsa::PublicKey> = BTreeMap::new();
    for point in spec.access_points() {
        let Some(secrets) = &point.protection.encryption_secrets else {
            continue;
        };
        let store = stores.find(&point.store.id)?;
        let dek = deks::load(store)?;
        let (kek, wrapped) = (
            &secrets.kek.secret.backing_resource,
            &secrets.dek.secret.backing_resource,
        );
        let id = (kek.provider.url.clone(), kek.name.clone());
        if !keks.contains_key(&id) {
            keks.insert(id.clone(), import(&client, point, &host_data).await?);
        }
        let Some(public) = keks.get(&id) else {
            continue;
        };
        let value = BASE64_STANDARD.encode(public.encrypt_oaep(OaepHash::Sha256, dek.expose())?);
        let token = credential::token(&client, VaultKind::KeyVault.audience()).await?;
        let vault = parse(&wrapped.provider.url)?;
        SecretClient::new(client.clone())
            .set(&vault, &wrapped.name, &value, &token)
            .await?;
    }
    Ok(())
}

/// The host data of the accepted policy.
async fn host_data(args: &WrapArgs) -> Result<[u8; 32], CliError> {
    let policy = crate::governance::clean_room_policy(&args.governance_client, &args.contract_id)
        .await
        .map_err(Box::new)?;
    let accepted = policy
        .get("x-ms-sevsnpvm-hostdata")
        .and_then(|list| match list {
            Value::Array(list) => list.first().and_then(Value::as_str),
            _ => None,
        });
    let mut host_data = [0; 32];
    match accepted.map(|text| hex::decode_to_slice(text, &mut host_data)) {
        Some(Ok(())) => Ok(host_data),
        _ => Err(CliError::NoPolicy {
            contract_id: args.contract_id.clone(),
        }),
    }
}

/// Makes the key encryption key in the vault, releasable to this deployment only, and gives its public half. The private
/// half exists in this process until the vault has it, and nowhere else.
async fn import(
    client: &sidecar_http::HttpsClient,
    point: &AccessPoint,
    host_data: &[u8; 32],
) -> Result<cleanroom_crypto::rsa::PublicKey, CliError> {
    let Some(secrets) = &point.protection.encryption_secrets else {
        return Err(CliError::NotFound {
            kind: "key of dataset",
            name: point.name.clone(),
        });
    };
    let kek = &secrets.kek.secret.backing_resource;
    let configuration: KekConfiguration = serde_json::from_str(&kek.provider.configuration)
        .map_err(|error| CliError::Argument {
            argument: "kek.configuration",
            reason: error.to_string(),
        })?;
    let vault = parse(&kek.provider.url)?;
    let token = credential::token(client, configuration.vault_kind.audience()).await?;
    let keys = KeyClient::new(client.clone());
    let policy = ReleasePolicy::for_host_data(&parse(&configuration.authority)?, host_data);
    if let Some(existing) = keys.get(&vault, &kek.name, &token).await?
        && existing.release_policy.as_ref() == Some(&policy)
        && let Some(public) = existing.public_key
    {
        return Ok(public);
    }
    let private = PrivateKey::generate(2048)?;
    let public = private.public_key();
    keys.import_rsa(&vault, &kek.name, &private, &policy, &token)
        .await?;
    Ok(public)
}

fn parse(url: &str) -> Result<Url, CliError> {
    Url::parse(url).map_err(|error| CliError::Argument {
        argument: "vault URL",
        reason: error.to_string(),
    })
}
