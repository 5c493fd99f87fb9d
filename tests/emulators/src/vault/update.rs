//! Changes to a key that is there: attributes, and a release policy that is not immutable.
use axum::Json;
use axum::extract::{Path, State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::auth::Caller;
use super::fault::VaultFault;
use super::keys::{self, Attributes, PolicyBody};
use super::{KeyVersion, Vault};

#[derive(Deserialize)]
struct Update {
    #[serde(default)]
    attributes: Attributes,
    key_ops: Option<Vec<String>>,
    release_policy: Option<PolicyBody>,
    tags: Option<Value>,
}

pub(super) async fn current(
    State(vault): State<Vault>,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, VaultFault> {
    update(&vault, &caller, &name, None, &body)
}

pub(super) async fn version(
    State(vault): State<Vault>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<Value>, VaultFault> {
    update(&vault, &caller, &name, Some(&version), &body)
}

pub(super) fn immutable() -> VaultFault {
    VaultFault::release(1020, "Immutable Key Release Policy cannot be modified.")
}

fn update(
    vault: &Vault,
    caller: &Caller,
    name: &str,
    version: Option<&str>,
    body: &[u8],
) -> Result<Json<Value>, VaultFault> {
    caller.may_write("Microsoft.KeyVault/vaults/keys/update/action")?;
    let update: Update =
        serde_json::from_slice(body).map_err(|e| VaultFault::bad(format!("The body: {e}")))?;
    let mut key = vault.find_key(name, version)?;
    update.apply(&mut key, version.is_some())?;
    let shown = keys::show(vault, name, &key);
    vault.state(|state| {
        let versions = state.keys.get_mut(name).into_iter().flatten();
        for place in versions.filter(|place| place.version == key.version) {
            place.clone_from(&key);
        }
    });
    Ok(Json(shown))
}

impl Update {
    fn apply(self, key: &mut KeyVersion, by_version: bool) -> Result<(), VaultFault> {
        if self
            .attributes
            .exportable
            .is_some_and(|exportable| exportable != key.exportable)
        {
            return Err(VaultFault::release(
                1014,
                "Cannot modify the exportable state of a key.",
            ));
        }
        if let Some(body) = &self.release_policy {
            if by_version {
                return Err(VaultFault::release(
                    1016,
                    "Key Release Policy can only be set on versionless key.",
                ));
            }
            if !key.exportable {
                return Err(VaultFault::release(
                    1005,
                    "Non-exportable keys must not have release policy.",
                ));
            }
            let policy = keys::read_policy(body)?;
            if key.immutable {
                return Err(immutable());
            }
            key.policy = Some(policy);
            key.immutable = body.immutable;
        }
        key.life = self.attributes.over(key.life)?;
        if let Some(key_ops) = self.key_ops {
            key.key_ops = key_ops;
        }
        if self.tags.is_some() {
            key.tags = self.tags;
        }
        Ok(())
    }
}
