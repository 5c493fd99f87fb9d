//! Listings of keys and secrets, and of the versions of one: identifiers and attributes, never values.
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Caller;
use super::fault::VaultFault;
use super::{Vault, keys, secrets};

/// Largest page, and the page of who does not ask.
const LARGEST_PAGE: usize = 25;

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(rename = "api-version")]
    api_version: String,
    maxresults: Option<usize>,
    #[serde(rename = "$skiptoken", default)]
    skip: usize,
}

pub(super) async fn keys(
    State(vault): State<Vault>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Value>, VaultFault> {
    caller.may_read("Microsoft.KeyVault/vaults/keys/read")?;
    let items = vault.state(|state| {
        let current = state
            .keys
            .iter()
            .filter_map(|(name, versions)| Some((name, versions.last()?)));
        current
            .map(|(name, key)| keys::item(&format!("{}/keys/{name}", vault.0.config.origin), key))
            .collect()
    });
    page.of(&vault, "keys", items)
}

pub(super) async fn key_versions(
    State(vault): State<Vault>,
    caller: Caller,
    Path(name): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, VaultFault> {
    caller.may_read("Microsoft.KeyVault/vaults/keys/read")?;
    let items = vault.state(|state| {
        let versions = state.keys.get(&name).into_iter().flatten();
        versions
            .map(|key| keys::item(&keys::kid(&vault, &name, key), key))
            .collect()
    });
    page.of(&vault, &format!("keys/{name}/versions"), items)
}

pub(super) async fn secrets(
    State(vault): State<Vault>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Value>, VaultFault> {
    secrets::keeps_secrets(&vault)?;
    caller.may_read("Microsoft.KeyVault/vaults/secrets/readMetadata/action")?;
    let items = vault.state(|state| {
        let current = state
            .secrets
            .iter()
            .filter_map(|(name, versions)| Some((name, versions.last()?)));
        current
            .map(|(name, secret)| {
                secrets::item(&format!("{}/secrets/{name}", vault.0.config.origin), secret)
            })
            .collect()
    });
    page.of(&vault, "secrets", items)
}

pub(super) async fn secret_versions(
    State(vault): State<Vault>,
    caller: Caller,
    Path(name): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, VaultFault> {
    secrets::keeps_secrets(&vault)?;
    caller.may_read("Microsoft.KeyVault/vaults/secrets/readMetadata/action")?;
    let items = vault.state(|state| {
        let versions = state.secrets.get(&name).into_iter().flatten();
        versions
            .map(|secret| secrets::item(&secrets::id(&vault, &name, secret), secret))
            .collect()
    });
    page.of(&vault, &format!("secrets/{name}/versions"), items)
}

impl Page {
    /// This page of `items`, and where the next one is.
    fn of(&self, vault: &Vault, path: &str, items: Vec<Value>) -> Result<Json<Value>, VaultFault> {
        let most = self.maxresults.unwrap_or(LARGEST_PAGE);
        if !(1..=LARGEST_PAGE).contains(&most) {
            return Err(VaultFault::bad("maxresults must be from 1 to 25"));
        }
        let next = self.skip.saturating_add(most);
        let link = (next < items.len()).then(|| {
            format!(
                "{}/{path}?api-version={}&$skiptoken={next}&maxresults={most}",
                vault.0.config.origin, self.api_version
            )
        });
        let page: Vec<_> = items.into_iter().skip(self.skip).take(most).collect();
        Ok(Json(json!({"value": page, "nextLink": link})))
    }
}
