//! A world with one attestation provider, and groups launched under policies.

use std::path::Path;

use attestation::{EndorsementStore, Evidence, MaaClient, RuntimeData, SecurityContext};
use emulators::world::{MAA_HOST, World, WorldConfig};
use sidecar_http::install_crypto_provider;
use tempfile::TempDir;
use virtual_attester::VirtualAttester;

pub(crate) const POLICY: &[u8] = br#"{"name":"litware-and-fabrikam"}"#;

/// A started world.
pub(crate) async fn world() -> World {
    install_crypto_provider();
    World::start(WorldConfig::two_parties()).await.unwrap()
}

/// A client of the world's attestation provider.
pub(crate) fn maa(world: &World) -> MaaClient {
    MaaClient::new(test_support::https(world).unwrap())
}

/// The provider's endpoint.
pub(crate) fn endpoint(world: &World) -> url::Url {
    world.url(MAA_HOST)
}

/// The security context of a group launched under `policy`.
pub(crate) fn launched(policy: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    emulators::amd::write_context(dir.path(), policy).unwrap();
    dir
}

/// Evidence of the group in `dir`.
pub(crate) async fn evidence(dir: &Path, runtime: &RuntimeData) -> Evidence {
    let context = SecurityContext::read(dir).await;
    let attester = VirtualAttester::new(Some(dir.to_owned()));
    let evidence = Evidence::collect(
        &attester,
        &context,
        &EndorsementStore::context_only(),
        &virtual_attester::verifier().unwrap(),
        runtime,
    )
    .await
    .unwrap();
    Evidence::clone(&evidence)
}
