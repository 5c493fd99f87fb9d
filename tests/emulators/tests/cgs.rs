//! CGS as clients reach it: over TLS, members known by the certificate of their connection.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]
use std::net::SocketAddr;
use std::time::Duration;

use emulators::world::{CGS_HOST, World, WorldConfig};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
use reqwest::{Certificate, Client, Identity, StatusCode};
use serde_json::{Value, json};

/// A self-signed member certificate and its key, PEM.
fn member() -> (String, String) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let cert = CertificateParams::new(Vec::new())
        .unwrap()
        .self_signed(&key)
        .unwrap();
    (cert.pem(), key.serialize_pem())
}

async fn world(operator: &str, commit_delay_ms: u64) -> World {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let operator_cert_pem = Some(operator.to_owned());
    World::start(WorldConfig {
        operator_cert_pem,
        commit_delay_ms,
        ..WorldConfig::two_parties()
    })
    .await
    .unwrap()
}

/// A client that trusts the service identity alone.
fn client(world: &World, identity: Option<&(String, String)>) -> Client {
    let root = Certificate::from_pem(world.service_cert_pem().as_bytes()).unwrap();
    let mut builder = Client::builder().no_proxy().tls_certs_only([root]);
    builder = builder.resolve(CGS_HOST, SocketAddr::from(([127, 0, 0, 1], 0)));
    if let Some((cert, key)) = identity {
        builder = builder.identity(Identity::from_pem(format!("{cert}{key}").as_bytes()).unwrap());
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn a_member_is_who_the_connection_proves_and_nobody_else_is() {
    let operator = member();
    let world = world(&operator.0, 0).await;
    let url = world.cgs_url().join("app/contracts").unwrap();
    let known = client(&world, Some(&operator))
        .get(url.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(
        (known.status(), known.text().await.unwrap().as_str()),
        (StatusCode::OK, "[]")
    );
    for identity in [None, Some(member())] {
        let got = client(&world, identity.as_ref())
            .get(url.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(got.status(), StatusCode::UNAUTHORIZED);
    }
    let network = client(&world, None)
        .get(world.cgs_url().join("node/network").unwrap())
        .send()
        .await
        .unwrap();
    let network: Value = serde_json::from_str(&network.text().await.unwrap()).unwrap();
    assert_eq!(
        network["service_certificate"],
        world.service_cert_pem().as_str()
    );
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_service_identity_gets_nowhere() {
    let operator = member();
    let (world, other) = (world(&operator.0, 0).await, world(&operator.0, 0).await);
    let client = client(&other, Some(&operator));
    assert!(
        client
            .get(world.cgs_url().join("app/contracts").unwrap())
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_write_is_seen_at_once_and_committed_when_the_world_lets_it() {
    let operator = member();
    let world = world(&operator.0, 0).await;
    let client = client(&world, Some(&operator));
    let at = |path: &str| world.cgs_url().join(path).unwrap();
    world.services().cgs.hold_commits(true);
    let put = client
        .put(at("app/contracts/c1"))
        .body(json!({"data": "yaml"}).to_string())
        .send()
        .await
        .unwrap();
    let transaction = put.headers()["x-ms-ccf-transaction-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let status = async || {
        let path = at(&format!("app/tx?transaction_id={transaction}"));
        let got = client
            .get(path)
            .timeout(Duration::from_secs(10))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        serde_json::from_str::<Value>(&got).unwrap()["status"].clone()
    };
    assert_eq!(status().await, "Pending");
    let list = client
        .get(at("app/contracts"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(list, r#"[{"id":"c1"}]"#);
    world.services().cgs.hold_commits(false);
    assert_eq!(status().await, "Committed");
}
