//! Fixtures shared by tests: the bridge between a world of emulators and the product's own clients.

mod kek;
mod search;

use std::net::SocketAddr;

use emulators::world::{CGS_HOST, World};
use sidecar_http::{HttpsClient, HttpsError, Trust};

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

fn resolve(trust: Trust, world: &World) -> Trust {
    // Port 0 leaves the port of the URL.
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut hosts = world.hosts();
    hosts.push(CGS_HOST.to_owned());
    hosts
        .iter()
        .fold(trust, |trust, host| trust.with_resolve(host, loopback))
}
