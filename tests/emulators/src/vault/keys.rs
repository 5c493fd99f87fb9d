//! Keys: import under a release policy, and the public half.
use axum::Json;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::auth::Caller;
use super::fault::VaultFault;
use super::material::Jwk;
use super::{KeyVersion, Life, Vault, policy, update};

#[derive(Deserialize)]
struct Import {
    key: Jwk,
    #[serde(default)]
    attributes: Attributes,
    release_policy: Option<PolicyBody>,
    tags: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Attributes {
    pub(super) exportable: Option<bool>,
    enabled: Option<bool>,
    #[serde(rename = "nbf")]
    not_before: Option<i64>,
    #[serde(rename = "exp")]
    expires: Option<i64>,
}

impl Attributes {
    /// What is said here, over what was.
    pub(super) fn over(&self, before: Life) -> Result<Life, VaultFault> {
        let life = Life {
            enabled: self.enabled.unwrap_or(before.enabled),
            not_before: self.not_before.or(before.not_before),
            expires: self.expires.or(before.expires),
        };
        match (life.not_before, life.expires) {
            (Some(not_before), Some(expires)) if not_before >= expires => {
                Err(VaultFault::bad("exp must be later than nbf"))
            }
            _ => Ok(life),
        }
    }
}

impl Life {
    /// Enabled, without dates.
    pub(super) const NEW: Self = Self {
        enabled: true,
        not_before: None,
        expires: None,
    };

    /// Refuses an operation of a key that does not work now.
    pub(super) fn permit(self, operation: &str) -> Result<(), VaultFault> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let refuse = |inner, what: &str| {
            let text = format!("Operation {operation} is not allowed on {what} key.");
            Err(VaultFault::forbidden(inner, text))
        };
        if !self.enabled {
            return refuse("KeyDisabled", "a disabled");
        }
        if self.not_before.is_some_and(|at| now < at) {
            return refuse("KeyNotYetValid", "a not yet valid");
        }
        if self.expires.is_some_and(|at| now >= at) {
            return refuse("KeyExpired", "an expired");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
pub(super) struct PolicyBody {
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    data: String,
    #[serde(default)]
    pub(super) immutable: bool,
}

pub(super) async fn import(
    State(vault): State<Vault>,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, VaultFault> {
    caller.may_write("Microsoft.KeyVault/vaults/keys/import/action")?;
    check_name(&name)?;
    let import: Import =
        serde_json::from_slice(&body).map_err(|e| VaultFault::bad(format!("The body: {e}")))?;
    let exportable = import.attributes.exportable.unwrap_or(false);
    let (policy, immutable) = match &import.release_policy {
        Some(body) => (Some(read_policy(body)?), body.immutable),
        None => (None, false),
    };
    match (exportable, &policy) {
        (true, None) => {
            return Err(VaultFault::release(
                1004,
                "Exportable keys must have release policy.",
            ));
        }
        (false, Some(_)) => {
            return Err(VaultFault::release(
                1005,
                "Non-exportable keys must not have release policy.",
            ));
        }
        _ => {}
    }
    // A policy belongs to the key by its name: a new version cannot shake off an immutable one.
    let former = vault.state(|state| state.keys.get(&name)?.last().cloned());
    if former.is_some_and(|former| former.immutable && former.policy != policy) {
        return Err(update::immutable());
    }
    let key = KeyVersion {
        version: super::version(),
        created: OffsetDateTime::now_utc().unix_timestamp(),
        material: import.key.material(vault.0.config.kind, exportable)?,
        key_ops: import.key.key_ops,
        life: import.attributes.over(Life::NEW)?,
        exportable,
        policy,
        immutable,
        tags: import.tags,
    };
    let shown = show(&vault, &name, &key);
    vault.state(|state| state.keys.entry(name).or_default().push(key));
    Ok(Json(shown))
}

pub(super) async fn current(
    State(vault): State<Vault>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, VaultFault> {
    caller.may_read("Microsoft.KeyVault/vaults/keys/read")?;
    Ok(Json(show(&vault, &name, &vault.find_key(&name, None)?)))
}

pub(super) async fn version(
    State(vault): State<Vault>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, VaultFault> {
    caller.may_read("Microsoft.KeyVault/vaults/keys/read")?;
    Ok(Json(show(
        &vault,
        &name,
        &vault.find_key(&name, Some(&version))?,
    )))
}

pub(super) fn check_name(name: &str) -> Result<(), VaultFault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=127).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(VaultFault::bad(format!(
        "The request URI contains an invalid name: {name}"
    )))
}

pub(super) fn read_policy(body: &PolicyBody) -> Result<Value, VaultFault> {
    if body
        .content_type
        .as_ref()
        .is_some_and(|kind| !kind.starts_with("application/json"))
    {
        return Err(VaultFault::bad(
            "The content type of a release policy is application/json",
        ));
    }
    let data = URL_SAFE_NO_PAD.decode(body.data.trim_end_matches('='));
    let data = data.map_err(|e| VaultFault::bad(format!("release_policy.data: {e}")))?;
    let parsed = serde_json::from_slice(&data)
        .map_err(|e| VaultFault::bad(format!("release_policy.data: {e}")))?;
    policy::check(&parsed).map_err(|why| VaultFault::bad(format!("release_policy: {why}")))?;
    Ok(parsed)
}

pub(super) fn kid(vault: &Vault, name: &str, key: &KeyVersion) -> String {
    format!("{}/keys/{name}/{}", vault.0.config.origin, key.version)
}

pub(super) fn attributes(key: &KeyVersion) -> Value {
    let mut shown = json!({
        "enabled": key.life.enabled, "created": key.created, "updated": key.created, "exportable": key.exportable,
        "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
    });
    for (name, at) in [("nbf", key.life.not_before), ("exp", key.life.expires)] {
        if let (Some(at), Some(members)) = (at, shown.as_object_mut()) {
            members.insert(name.to_owned(), json!(at));
        }
    }
    shown
}

pub(super) fn policy_body(policy: &Value, immutable: bool) -> Value {
    json!({
        "contentType": "application/json; charset=utf-8",
        "data": URL_SAFE_NO_PAD.encode(policy.to_string()),
        "immutable": immutable,
    })
}

/// A key as listings show it.
pub(super) fn item(kid: &str, key: &KeyVersion) -> Value {
    let mut shown = json!({"kid": kid, "attributes": attributes(key)});
    tag(&mut shown, key);
    shown
}

fn tag(shown: &mut Value, key: &KeyVersion) {
    if let (Some(tags), Some(members)) = (&key.tags, shown.as_object_mut()) {
        members.insert("tags".to_owned(), tags.clone());
    }
}

pub(super) fn show(vault: &Vault, name: &str, key: &KeyVersion) -> Value {
    let mut jwk =
        json!({"kid": kid(vault, name, key), "kty": key.material.kty(), "key_ops": key.key_ops});
    if let Some(members) = jwk.as_object_mut() {
        members.extend(key.material.public());
    }
    let mut shown = json!({"key": jwk, "attributes": attributes(key)});
    if let (Some(policy), Some(members)) = (&key.policy, shown.as_object_mut()) {
        members.insert(
            "release_policy".to_owned(),
            policy_body(policy, key.immutable),
        );
    }
    tag(&mut shown, key);
    shown
}
