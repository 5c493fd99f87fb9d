//! Secrets: set and read, every write a new version.
use axum::Json;
use axum::extract::{Path, State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::auth::Caller;
use super::fault::VaultFault;
use super::{SecretVersion, Vault};
use crate::world::VaultKind;

/// Largest secret, bytes.
const VALUE_CAP: usize = 25_000;

#[derive(Deserialize)]
struct Body {
    value: String,
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    tags: Option<Value>,
}

pub(super) async fn set(
    State(vault): State<Vault>,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, VaultFault> {
    keeps_secrets(&vault)?;
    caller.may_write("Microsoft.KeyVault/vaults/secrets/setSecret/action")?;
    super::keys::check_name(&name)?;
    let body: Body =
        serde_json::from_slice(&body).map_err(|e| VaultFault::bad(format!("The body: {e}")))?;
    if body.value.len() > VALUE_CAP {
        return Err(VaultFault::bad(format!(
            "Secret value exceeds {VALUE_CAP} bytes."
        )));
    }
    let secret = SecretVersion {
        version: super::version(),
        created: OffsetDateTime::now_utc().unix_timestamp(),
        value: body.value,
        content_type: body.content_type,
        tags: body.tags,
    };
    let shown = show(&vault, &name, &secret);
    vault.state(|state| state.secrets.entry(name).or_default().push(secret));
    Ok(Json(shown))
}

pub(super) async fn current(
    State(vault): State<Vault>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, VaultFault> {
    read(&vault, &caller, &name, None)
}

pub(super) async fn version(
    State(vault): State<Vault>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, VaultFault> {
    read(&vault, &caller, &name, Some(&version))
}

fn read(
    vault: &Vault,
    caller: &Caller,
    name: &str,
    version: Option<&str>,
) -> Result<Json<Value>, VaultFault> {
    keeps_secrets(vault)?;
    caller.may_read("Microsoft.KeyVault/vaults/secrets/getSecret/action")?;
    let found = vault.state(|state| {
        let versions = state.secrets.get(name)?;
        match version {
            None => versions.last().cloned(),
            Some(version) => versions
                .iter()
                .find(|secret| secret.version == version)
                .cloned(),
        }
    });
    let found = found.ok_or_else(|| VaultFault::missing("Secret", "secret", name))?;
    Ok(Json(show(vault, name, &found)))
}

pub(super) fn keeps_secrets(vault: &Vault) -> Result<(), VaultFault> {
    match vault.0.config.kind {
        VaultKind::KeyVault => Ok(()),
        VaultKind::ManagedHsm => Err(VaultFault::no_route("A managed HSM keeps no secrets.")),
    }
}

pub(super) fn id(vault: &Vault, name: &str, secret: &SecretVersion) -> String {
    format!(
        "{}/secrets/{name}/{}",
        vault.0.config.origin, secret.version
    )
}

fn show(vault: &Vault, name: &str, secret: &SecretVersion) -> Value {
    let mut shown = item(&id(vault, name, secret), secret);
    if let Some(members) = shown.as_object_mut() {
        members.insert("value".to_owned(), json!(secret.value));
    }
    shown
}

/// A secret as listings show it: without its value.
pub(super) fn item(id: &str, secret: &SecretVersion) -> Value {
    let mut shown = json!({
        "id": id,
        "attributes": {
            "enabled": true, "created": secret.created, "updated": secret.created,
            "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
        },
    });
    if let (Some(content_type), Some(members)) = (&secret.content_type, shown.as_object_mut()) {
        members.insert("contentType".to_owned(), json!(content_type));
    }
    if let (Some(tags), Some(members)) = (&secret.tags, shown.as_object_mut()) {
        members.insert("tags".to_owned(), tags.clone());
    }
    shown
}
