use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey, PublicKey};
use cleanroom_spec::{EncryptionSecret, Specification};
use keyvault::{KeyClient, ReleasePolicy, SecretClient, VaultKind};
use serde_json::{Value, json};
use url::Url;

use super::read_specification;
use crate::credential::Azure;
use crate::stores::{self, DataStores};
use crate::{CliError, deks};

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

pub(super) async fn run(args: &WrapArgs, azure: &Azure) -> Result<(), CliError> {
    let spec = read_specification(&args.cleanroom_config)?;
    let stores: DataStores = stores::read(&args.datastore_config)?;
    let host_data = host_data(args).await?;
    let wrapped = wrap(&spec, &stores, &host_data, azure).await?;
    crate::print(&json!({"hostData": hex::encode(host_data), "wrapped": wrapped}))
}

/// Binds the data keys of every dataset of the fragment to the host data; tells which names they have in which vault.
pub(crate) async fn wrap(
    spec: &Specification,
    stores: &DataStores,
    host_data: &[u8; 32],
    azure: &Azure,
) -> Result<Vec<Value>, CliError> {
    // One key for all datasets that name the same one, imported once.
    let mut keks: BTreeMap<(&str, &str), PublicKey> = BTreeMap::new();
    let mut done = Vec::new();
    for point in spec.access_points() {
        let Some(secrets) = &point.protection.encryption_secrets else {
            continue;
        };
        let dek = deks::load(stores.find(&point.store.id)?)?;
        let (kek, wrapped) = (
            &secrets.kek.secret.backing_resource,
            &secrets.dek.secret.backing_resource,
        );
        let public = match keks.entry((&kek.provider.url, &kek.name)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(import(azure, &secrets.kek, host_data).await?),
        };
        let value = BASE64_STANDARD.encode(public.encrypt_oaep(OaepHash::Sha256, dek.expose())?);
        let token = azure.token(VaultKind::KeyVault.audience()).await?;
        let vault = parse(&wrapped.provider.url)?;
        SecretClient::new(azure.client())
            .set(&vault, &wrapped.name, &value, &token)
            .await?;
        done.push(json!({"dataset": point.name, "kek": kek.name, "secret": wrapped.name}));
    }
    Ok(done)
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
    azure: &Azure,
    secret: &EncryptionSecret,
    host_data: &[u8; 32],
) -> Result<PublicKey, CliError> {
    let kek = &secret.secret.backing_resource;
    let release = secret.key_release()?;
    let kind = match release.vault_kind {
        cleanroom_spec::VaultKind::KeyVault => VaultKind::KeyVault,
        cleanroom_spec::VaultKind::ManagedHsm => VaultKind::ManagedHsm,
    };
    let vault = parse(&kek.provider.url)?;
    let token = azure.token(kind.audience()).await?;
    let keys = KeyClient::new(azure.client());
    let policy = ReleasePolicy::for_host_data(&parse(&release.authority)?, host_data)?;
    if let Some(existing) = keys.get(&vault, &kek.name, &token).await?
        && existing.exportable
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
