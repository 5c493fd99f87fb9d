//! The gRPC key provider beside HTTP on one port, as image encryption tools use it: wrap with a public key, unwrap by a
//! release.

use std::net::SocketAddr;
use std::path::Path;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cleanroom_crypto::digest::sha256;
use emulators::upset::{Kind, Upset};
use emulators::world::World;
use serde_json::{Value, json};
use sidecar_http::{Limits, UnixClient, serve_tcp};
use skr_agent::{Allowed, AllowedVault, Config, Identity, KeyDirectory, routes};
use tempfile::TempDir;
use test_support::KekOwner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::common::{POLICY, launched, world};
use crate::routes::agent_with;

/// Both messages of the two wrapping methods are one byte string; so are the text messages of `GetReport`.
#[derive(Clone, PartialEq, prost::Message)]
struct Bytes {
    #[prost(bytes = "vec", tag = "1")]
    value: Vec<u8>,
}

/// `KeyProviderGetAttestationDataOutput`.
#[derive(Clone, PartialEq, prost::Message)]
struct AttestationData {
    #[prost(string, tag = "1")]
    endorsed_tcb: String,
    #[prost(string, tag = "2")]
    certs: String,
    #[prost(string, tag = "3")]
    attestation_report: String,
    #[prost(string, tag = "4")]
    uvm_reference_info: String,
}

/// An identity sidecar that has a token of the clean room's identity for Key Vault alone.
fn identity(world: &World, owner: &KekOwner, socket: &Path) -> Identity {
    let token = owner.token(world, owner.identity(), 3600);
    let client = owner.identity().to_owned();
    let tenant = owner.party.tenant_id.clone();
    let expected = [
        ("scope", "https://vault.azure.net/.default".to_owned()),
        ("clientId", client.clone()),
        ("tenantId", tenant.clone()),
    ];
    let answer = async move |Query(query): Query<Vec<(String, String)>>| {
        for (name, value) in &expected {
            assert!(query.iter().any(|(n, v)| n == name && v == value));
        }
        Json(json!({"token": token}))
    };
    let router = Router::new().route("/metadata/identity/oauth2/token", get(answer));
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let us = nix::unistd::geteuid().as_raw();
    Identity::new(UnixClient::new(socket, us), client, tenant)
}

struct Scene {
    world: World,
    owner: KekOwner,
    address: SocketAddr,
    channel: Channel,
    _dirs: [TempDir; 2],
}

impl Scene {
    async fn new() -> Self {
        let world = world().await;
        let owner = KekOwner::of(&world, &sha256(POLICY)).await;
        let (group, dir) = (launched(POLICY), tempfile::tempdir().unwrap());
        let keys = dir.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        let pem = owner.kek.public_key().to_spki_pem();
        std::fs::write(keys.join("kek.pem"), pem).unwrap();
        let info = json!({
            "public_key_path": "kek.pem", "kms_endpoint": owner.vault.as_str(),
            "attester_endpoint": crate::common::endpoint(&world).as_str(),
        });
        std::fs::write(keys.join("kek-info.json"), info.to_string()).unwrap();
        let vault: AllowedVault = owner.vault.as_str().parse().unwrap();
        let config = Config {
            allowed: Allowed::new(vec![vault], Vec::new()),
            identity: Some(identity(&world, &owner, &dir.path().join("identity.sock"))),
            key_directory: Some(KeyDirectory::new(keys)),
            ..Config::for_directory(group.path())
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_tcp(
            listener,
            routes(agent_with(&world, &group, config)),
            Limits::default(),
            CancellationToken::new(),
        ));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self {
            channel: endpoint.connect_lazy(),
            world,
            owner,
            address,
            _dirs: [group, dir],
        }
    }

    async fn call<R: prost::Message + Default + 'static>(
        &self,
        path: &'static str,
        value: &[u8],
    ) -> Result<R, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let question = Bytes {
            value: value.to_vec(),
        };
        let codec = ProstCodec::<Bytes, R>::default();
        let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
        let answer = client.unary(tonic::Request::new(question), path, codec);
        Ok(answer.await?.into_inner())
    }

    async fn wrapped(&self) -> Value {
        let input = json!({"op": "keywrap", "keywrapparams": {
            "ec": {"Parameters": {"attestation-agent": [STANDARD.encode("skr:kek")]}, "Dc": {"Parameters": null}},
            "optsdata": STANDARD.encode(LAYER_KEY),
        }});
        let path = "/keyprovider.KeyProviderService/WrapKey";
        let output: Bytes = self.call(path, input.to_string().as_bytes()).await.unwrap();
        let output: Value = serde_json::from_slice(&output.value).unwrap();
        output["keywrapresults"]["annotation"].clone()
    }

    async fn unwrap(&self, annotation: &Value) -> Result<Value, Status> {
        let input = json!({"op": "keyunwrap", "keyunwrapparams": {
            "dc": {"Parameters": {"attestation-agent": [STANDARD.encode("skr")]}}, "annotation": annotation,
        }});
        let path = "/key_provider.KeyProviderService/UnWrapKey";
        let output: Bytes = self.call(path, input.to_string().as_bytes()).await?;
        Ok(serde_json::from_slice(&output.value).unwrap())
    }
}

const LAYER_KEY: &[u8] = br#"{"symkeyopts":"the key of one layer"}"#;

#[tokio::test]
async fn what_was_wrapped_for_the_key_comes_back_by_one_release() {
    let scene = Scene::new().await;
    let annotation = scene.wrapped().await;
    for _ in 0..2 {
        let output = scene.unwrap(&annotation).await.unwrap();
        assert_eq!(
            output,
            json!({
                "keywrapresults": {"annotation": null},
                "keyunwrapresults": {"optsdata": STANDARD.encode(LAYER_KEY)},
            })
        );
    }
    // The second layer has its key from the first one's release.
    assert_eq!(KekOwner::releases(&scene.world), 1);
}

#[tokio::test]
async fn a_release_that_fails_is_unknown_as_upstream_says_and_one_that_may_succeed_later_unavailable()
 {
    let scene = Scene::new().await;
    let annotation = scene.wrapped().await;
    scene
        .world
        .upset(Upset::next("vault", Kind::Status(403)).at("/release"));
    let error = scene.unwrap(&annotation).await.unwrap_err();
    assert_eq!(error.code(), Code::Unknown, "{error}");
    assert_eq!(error.metadata().get("code").unwrap(), "CR-KV-0011");
    assert_eq!(error.metadata().get("upstream-status").unwrap(), "403");

    scene.world.upset(
        Upset::next("vault", Kind::Status(503))
            .at("/release")
            .times(4),
    );
    let error = scene.unwrap(&annotation).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert_eq!(error.metadata().get("retryable").unwrap(), "true");

    // Wrapped for another key of the same name.
    let mut other: Value =
        serde_json::from_slice(&STANDARD.decode(annotation.as_str().unwrap()).unwrap()).unwrap();
    other["wrapped_data"] = json!(STANDARD.encode([7; 256]));
    let other = json!(STANDARD.encode(other.to_string()));
    let error = scene.unwrap(&other).await.unwrap_err();
    assert_eq!(
        error.metadata().get("code").unwrap(),
        "CR-SKR-0085",
        "{error}"
    );
    assert!(scene.unwrap(&annotation).await.is_ok());
}

#[tokio::test]
async fn evidence_comes_over_both_protocols_of_the_port() {
    let scene = Scene::new().await;
    // Upstream binds the text itself, whatever it spells.
    let path = "/key_provider.KeyProviderService/GetReport";
    let report: Bytes = scene.call(path, b"00ff").await.unwrap();
    let report = hex::decode(report.value).unwrap();
    assert_eq!(report[0x50..0x70], sha256(b"00ff"));
    let path = "/keyprovider.KeyProviderService/GetAttestationData";
    let data: AttestationData = scene.call(path, b"e30=").await.unwrap();
    let report = STANDARD.decode(data.attestation_report).unwrap();
    assert_eq!(report[0x50..0x70], sha256(b"{}"));
    let chain = String::from_utf8(STANDARD.decode(data.certs).unwrap()).unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 3);
    assert_eq!(data.endorsed_tcb.len(), 16);
    assert!(!STANDARD.decode(data.uvm_reference_info).unwrap().is_empty());

    let mut plain = TcpStream::connect(scene.address).await.unwrap();
    let body = r#"{"runtime_data":"e30="}"#;
    let request = format!(
        "POST /attest/raw HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(&hex::encode(sha256(b"{}"))), "{answer}");
}

#[tokio::test]
async fn the_agents_own_token_goes_to_no_vault_that_is_not_listed() {
    let scene = Scene::new().await;
    let annotation = STANDARD
        .decode(scene.wrapped().await.as_str().unwrap())
        .unwrap();
    let mut annotation: Value = serde_json::from_slice(&annotation).unwrap();
    let port = scene.owner.vault.port().unwrap();
    annotation["kms_endpoint"] = json!(format!("fabrikamhsm.managedhsm.azure.net:{port}"));
    let annotation = json!(STANDARD.encode(annotation.to_string()));
    let error = scene.unwrap(&annotation).await.unwrap_err();
    assert_eq!(
        error.metadata().get("code").unwrap(),
        "CR-SKR-0081",
        "{error}"
    );
    assert_eq!(KekOwner::attestations(&scene.world), 0);
    assert_eq!(KekOwner::releases(&scene.world), 0);
}
