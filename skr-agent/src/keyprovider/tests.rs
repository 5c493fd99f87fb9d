use attestation::{DeviceKind, SnpDevice, Verifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sidecar_http::{HttpsClient, Trust, install_crypto_provider, services};
use tokio_util::sync::CancellationToken;
use tonic::codegen::http::uri::PathAndQuery;
use tower::ServiceExt;

use super::*;
use crate::{Config, routes};

const ALONE: Peer = Peer::Tcp(std::net::SocketAddr::V4(std::net::SocketAddrV4::new(
    std::net::Ipv4Addr::LOCALHOST,
    1,
)));

fn router(config: Config, peer: Peer) -> axum::Router {
    install_crypto_provider();
    let device = SnpDevice::at(vec![("/nowhere/sev-guest".into(), DeviceKind::SevGuest)]);
    let agent = Agent::new(
        device,
        Verifier::production().unwrap(),
        HttpsClient::new(&Trust::web()).unwrap(),
        Trust::web(),
        config,
        CancellationToken::new(),
    );
    routes(Arc::new(agent)).router_as(peer)
}

async fn call<Q, R>(router: axum::Router, path: &str, question: Q) -> Result<R, Status>
where
    Q: Message + 'static,
    R: Message + Default + 'static,
{
    let mut client = tonic::client::Grpc::new(router);
    client.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    let codec = ProstCodec::<Q, R>::default();
    let answer = client.unary(tonic::Request::new(question), path, codec);
    Ok(answer.await?.into_inner())
}

/// There is no security context.
fn nothing() -> Config {
    Config::for_directory("/nowhere")
}

fn context() -> (tempfile::TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::for_directory(dir.path());
    (dir, config)
}

#[tokio::test]
async fn both_packages_answer_with_every_method() {
    let (_dir, config) = context();
    for package in PACKAGES {
        let path = |method| format!("/{package}.KeyProviderService/{method}");
        let router = router(config.clone(), ALONE);
        let hello = HelloRequest {
            name: "litware".to_owned(),
        };
        let reply: HelloReply = call(router.clone(), &path("SayHello"), hello)
            .await
            .unwrap();
        assert_eq!(reply.message, "Hello litware");
        let report = ReportInput::default();
        let error = call::<_, ReportOutput>(router.clone(), &path("GetReport"), report).await;
        assert_eq!(error.err().unwrap().code(), Code::FailedPrecondition);
        let question = AttestationDataInput {
            b64_runtime_data_string: "e30=".to_owned(),
        };
        let path_of_data = path("GetAttestationData");
        let error = call::<_, AttestationDataOutput>(router.clone(), &path_of_data, question);
        assert_eq!(error.await.err().unwrap().code(), Code::FailedPrecondition);
        for method in ["WrapKey", "UnWrapKey"] {
            let bad = ProtocolInput {
                input: b"{}".to_vec(),
            };
            let error = call::<_, ProtocolOutput>(router.clone(), &path(method), bad).await;
            let error = error.err().unwrap();
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
            assert_eq!(error.metadata().get("code").unwrap(), "CR-SKR-0083");
            assert_eq!(error.metadata().get("retryable").unwrap(), "false");
        }
    }
}

#[tokio::test]
async fn a_key_of_the_directory_wraps_and_any_other_is_an_internal_error_as_upstream_says() {
    let dir = tempfile::tempdir().unwrap();
    let key = PrivateKey::generate(2048).unwrap();
    let pem = key.public_key().to_spki_pem();
    std::fs::write(dir.path().join("app.pem"), pem).unwrap();
    let info = json!({"public_key_path": "app.pem", "kms_endpoint": "v.example", "attester_endpoint": "m.example"});
    std::fs::write(dir.path().join("app-info.json"), info.to_string()).unwrap();
    let config = Config {
        key_directory: Some(KeyDirectory::new(dir.path().to_owned())),
        ..nothing()
    };
    let ask = |config: Config, agent: &str| {
        let input = json!({"op": "keywrap", "keywrapparams": {
            "ec": {"Parameters": {"attestation-agent": [STANDARD.encode(agent)]}, "DecryptConfig": {"Parameters": null}},
            "optsdata": STANDARD.encode("layer key"),
        }});
        let input = ProtocolInput {
            input: input.to_string().into_bytes(),
        };
        let path = "/keyprovider.KeyProviderService/WrapKey";
        call::<_, ProtocolOutput>(router(config, ALONE), path, input)
    };
    let output = ask(config.clone(), "skr:app").await.unwrap().output;
    let output: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(output["keyunwrapresults"], json!({"optsdata": null}));
    let annotation = output["keywrapresults"]["annotation"].as_str().unwrap();
    let annotation: Value = serde_json::from_slice(&STANDARD.decode(annotation).unwrap()).unwrap();
    let wrapped = annotation["wrapped_data"].as_str().unwrap();
    let wrapped = STANDARD.decode(wrapped).unwrap();
    let clear = key.decrypt_oaep(OaepHash::Sha256, &wrapped).unwrap();
    assert_eq!(*clear, b"layer key");

    for (config, agent) in [(config, "skr:../app"), (nothing(), "skr:app")] {
        let error = ask(config, agent).await.err().unwrap();
        assert_eq!(error.code(), Code::Internal, "{error}");
        assert!(error.message().contains("CR-SKR-0084"), "{error}");
    }
}

#[tokio::test]
async fn a_process_of_the_group_gets_nothing_and_other_content_is_not_read() {
    let post = async |peer, content: &str| {
        let request = Request::post("/key_provider.KeyProviderService/SayHello")
            .header(CONTENT_TYPE, content)
            .body(axum::body::Body::from(vec![0; 5]))
            .unwrap();
        let answer = router(nothing(), peer).oneshot(request).await;
        answer.unwrap().status()
    };
    for uid in [0, services::APPLICATION_UID, services::SECRETS.uid] {
        let peer = Peer::Unix { uid, gid: uid };
        let status = post(peer, "application/grpc").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{uid}");
    }
    assert_eq!(
        post(ALONE, "application/json").await,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(post(ALONE, "application/grpc").await, StatusCode::OK);
}

#[tokio::test]
async fn an_annotation_asks_for_a_release_and_only_of_allowed_vaults() {
    let allowed = crate::Allowed::new(vec!["litware.vault.azure.net".parse().unwrap()], Vec::new());
    let config = Config {
        allowed,
        ..nothing()
    };
    let ask = |vault: &str| {
        let annotation = json!({"kid": "app", "wrapped_data": "", "kms_endpoint": vault, "attester_endpoint": "m.example"});
        let input = json!({"op": "keyunwrap", "keyunwrapparams": {
            "dc": {"Parameters": {"attestation-agent": [STANDARD.encode("skr")]}},
            "annotation": STANDARD.encode(annotation.to_string()),
        }});
        let input = ProtocolInput {
            input: input.to_string().into_bytes(),
        };
        let path = "/key_provider.KeyProviderService/UnWrapKey";
        call::<_, ProtocolOutput>(router(config.clone(), ALONE), path, input)
    };
    let error = ask("evil.example").await.err().unwrap();
    assert_eq!(error.code(), Code::Unknown, "{error}");
    assert_eq!(error.metadata().get("code").unwrap(), "CR-SKR-0081");
    // The listed one gets as far as the token that nobody brings.
    let error = ask("litware.vault.azure.net").await.err().unwrap();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.message().contains("--identity-client-id"), "{error}");
}
