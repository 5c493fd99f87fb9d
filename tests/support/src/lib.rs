//! Fixtures shared by tests: the bridge between a world of emulators and the product's own clients.

mod kek;
mod search;

use std::error::Error;
use std::net::SocketAddr;

use emulators::world::{CGS_HOST, ENTRA_HOST, World};
use serde_json::Value;
use sidecar_http::{HttpsClient, HttpsError, Request, Trust};

pub use kek::KekOwner;
pub use search::Secrets;

/// Trust in a world's authority, with the world's host names resolved to where it listens.
///
/// # Errors
/// The world's root is no certificate.
pub fn trust(world: &World) -> Result<Trust, HttpsError> {
    let trust = Trust::web().with_extra_pem(world.ca_pem().as_bytes())?;
    Ok(resolve(trust, world))
}

/// Trust in nothing but a world's CCF service identity, as production pins it.
///
/// # Errors
/// The service certificate is no certificate.
pub fn cgs_trust(world: &World) -> Result<Trust, HttpsError> {
    let trust = Trust::only_pem_any_name(world.service_cert_pem().as_bytes())?;
    Ok(resolve(trust, world))
}

/// A client of everything Azure in a world.
///
/// # Errors
/// As [`trust`].
pub fn https(world: &World) -> Result<HttpsClient, HttpsError> {
    sidecar_http::install_crypto_provider();
    HttpsClient::new(&trust(world)?)
}

/// A party's token for storage, as its service principal gets it from Entra ID.
///
/// # Errors
/// The world has no such party, or it gets no token.
pub async fn storage_token(
    world: &World,
    party: &str,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut parties = world.config().parties.iter();
    let party = parties
        .find(|one| one.name == party)
        .ok_or("no such party")?;
    let client = party.service_principal.as_ref().ok_or("no principal")?;
    let mut url = world.url(ENTRA_HOST);
    url.set_path(&format!("/{}/oauth2/v2.0/token", party.tenant_id));
    let request = Request::post("Entra ID", url).form(&[
        ("grant_type", "client_credentials"),
        ("client_id", &client.client_id),
        ("client_secret", &client.secret),
        ("scope", "https://storage.azure.com/.default"),
    ]);
    let response = https(world)?.send(&request).await?;
    let body: Value = response.json("Entra ID")?;
    let token = body.get("access_token").and_then(Value::as_str);
    Ok(token.ok_or("no token")?.to_owned())
}

fn resolve(trust: Trust, world: &World) -> Trust {
    // Port 0 leaves the port of the URL.
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut hosts = world.hosts();
    hosts.push(CGS_HOST.to_owned());
    hosts
        .iter()
        .fold(trust, |trust, host| trust.with_resolve(host, loopback))
}
