//! Keys: import under a release policy, and the public half.
use aws_lc_rs::signature::RsaKeyPair;
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
use super::{KeyVersion, Material, Vault, policy};
use crate::entra::jwt::pkcs8;
use crate::world::VaultKind;

#[derive(Deserialize)]
struct Import {
    key: Jwk,
    #[serde(default)]
    attributes: Attributes,
    release_policy: Option<PolicyBody>,
    tags: Option<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    key_ops: Vec<String>,
    #[serde(flatten)]
    numbers: serde_json::Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    exportable: bool,
}

#[derive(Deserialize)]
struct PolicyBody {
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    data: String,
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
    let policy = import
        .release_policy
        .map(|body| read_policy(&body))
        .transpose()?;
    match (import.attributes.exportable, &policy) {
        (true, None) => return Err(VaultFault::bad("Exportable keys must have release policy")),
        (false, Some(_)) => {
            return Err(VaultFault::bad(
                "Only exportable keys may have a release policy",
            ));
        }
        _ => {}
    }
    let key = KeyVersion {
        version: super::version(),
        created: OffsetDateTime::now_utc().unix_timestamp(),
        material: material(
            vault.0.config.kind,
            import.attributes.exportable,
            &import.key,
        )?,
        key_ops: import.key.key_ops,
        exportable: import.attributes.exportable,
        policy,
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

fn read_policy(body: &PolicyBody) -> Result<Value, VaultFault> {
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

fn material(kind: VaultKind, exportable: bool, jwk: &Jwk) -> Result<Material, VaultFault> {
    let number = |name: &str| -> Result<Vec<u8>, VaultFault> {
        let text = jwk.numbers.get(name).and_then(Value::as_str);
        let text = text.ok_or_else(|| VaultFault::bad(format!("key.{name} is missing")))?;
        URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|e| VaultFault::bad(format!("key.{name}: {e}")))
    };
    match (jwk.kty.as_str(), kind) {
        ("RSA", VaultKind::KeyVault) if exportable => Err(VaultFault::bad(
            "Only keys protected by an HSM can be exportable",
        )),
        ("RSA" | "RSA-HSM", _) => {
            let [n, e, d, p, q] = ["n", "e", "d", "p", "q"].map(number);
            let [dp, dq, qi] = ["dp", "dq", "qi"].map(number);
            let (n, e) = (n?, e?);
            let der = pkcs8([&n, &e, &d?, &p?, &q?, &dp?, &dq?, &qi?]).map_err(VaultFault::bad)?;
            RsaKeyPair::from_pkcs8(&der)
                .map_err(|why| VaultFault::bad(format!("The RSA key is not valid: {why}")))?;
            Ok(Material::Rsa { n, e, pkcs8: der })
        }
        ("oct" | "oct-HSM", VaultKind::ManagedHsm) => {
            let k = number("k")?;
            if k.len() > 64 {
                return Err(VaultFault::bad("oct k too large, max 64"));
            }
            Ok(Material::Oct(k))
        }
        (other, _) => Err(VaultFault::bad(format!(
            "Key type {other} is not supported by this vault."
        ))),
    }
}

impl Material {
    pub(super) const fn kty(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RSA-HSM",
            Self::Oct(_) => "oct-HSM",
        }
    }
}

pub(super) fn kid(vault: &Vault, name: &str, key: &KeyVersion) -> String {
    format!("{}/keys/{name}/{}", vault.0.config.origin, key.version)
}

pub(super) fn attributes(key: &KeyVersion) -> Value {
    json!({
        "enabled": true, "created": key.created, "updated": key.created, "exportable": key.exportable,
        "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
    })
}

pub(super) fn policy_body(policy: &Value) -> Value {
    json!({
        "contentType": "application/json; charset=utf-8",
        "data": URL_SAFE_NO_PAD.encode(policy.to_string()),
        "immutable": false,
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

fn show(vault: &Vault, name: &str, key: &KeyVersion) -> Value {
    let mut jwk =
        json!({"kid": kid(vault, name, key), "kty": key.material.kty(), "key_ops": key.key_ops});
    if let (Material::Rsa { n, e, .. }, Some(members)) = (&key.material, jwk.as_object_mut()) {
        members.insert("n".to_owned(), json!(URL_SAFE_NO_PAD.encode(n)));
        members.insert("e".to_owned(), json!(URL_SAFE_NO_PAD.encode(e)));
    }
    let mut shown = json!({"key": jwk, "attributes": attributes(key)});
    if let (Some(policy), Some(members)) = (&key.policy, shown.as_object_mut()) {
        members.insert("release_policy".to_owned(), policy_body(policy));
    }
    tag(&mut shown, key);
    shown
}
