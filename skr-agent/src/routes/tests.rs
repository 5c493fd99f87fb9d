use attestation::{AttestError, DeviceKind, Report, SnpDevice, Verifier};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sidecar_http::{HttpsClient, Trust, install_crypto_provider};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::Config;

const REPORT: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/vectors/attestation/snp_report.bin"
));

/// Hardware that answers with a report of somebody else's making.
struct Replay;

impl Attester for Replay {
    async fn report(&self, _: [u8; 64]) -> Result<Report, AttestError> {
        Ok(Report::parse(REPORT)?)
    }
}

async fn ask<A: Attester>(attester: A, uid: u32, path: &str, body: Value) -> (StatusCode, Value) {
    install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let config = Config::for_directory(dir.path());
    let agent = Agent::new(
        attester,
        Verifier::production().unwrap(),
        HttpsClient::new(&Trust::web()).unwrap(),
        Trust::web(),
        config,
        CancellationToken::new(),
    );
    let router = routes(Arc::new(agent)).router_as(Peer::Unix { uid, gid: uid });
    let request = Request::post(path)
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn no_device() -> SnpDevice {
    SnpDevice::at(vec![("/nowhere/sev-guest".into(), DeviceKind::SevGuest)])
}

#[tokio::test]
async fn each_route_answers_its_callers_only() {
    let body = json!({"runtime_data": "e30="});
    let (secrets, governance) = (services::SECRETS.uid, services::GOVERNANCE.uid);
    for (uid, path) in [
        (governance, "/key/release"),
        (services::APPLICATION_UID, "/key/release"),
        (0, "/key/release"),
        (secrets, "/attest/combined"),
        (secrets, "/attest/maa"),
        (governance, "/attest/raw"),
        (0, "/attest/raw"),
    ] {
        let (status, answer) = ask(no_device(), uid, path, body.clone()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{uid} {path}");
        assert_eq!(answer["error"]["code"], "CR-HTTP-0002");
    }
    let (_, answer) = ask(no_device(), governance, "/attest/combined", body).await;
    assert_eq!(answer["error"]["code"], "CR-SKR-0002");
}

#[tokio::test]
async fn without_a_device_the_caller_is_told_which_paths_were_tried() {
    let body = json!({"runtime_data": "e30="});
    let (status, answer) = ask(
        no_device(),
        services::GOVERNANCE.uid,
        "/attest/combined",
        body,
    )
    .await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("/nowhere/sev-guest"), "{message}");
}

#[tokio::test]
async fn a_report_that_does_not_carry_the_question_is_refused() {
    let body = json!({"runtime_data": "e30="});
    let (status, answer) = ask(Replay, services::GOVERNANCE.uid, "/attest/combined", body).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer["error"]["code"], "CR-SKR-0011");
}

#[tokio::test]
async fn malformed_releases_are_the_callers_fault() {
    for (body, code) in [
        (json!("text"), "CR-SKR-0030"),
        (json!({"kid": 7}), "CR-SKR-0030"),
        (json!({}), "CR-SKR-0031"),
        (
            json!({"maa_endpoint": "http://maa.example", "akv_endpoint": "v", "kid": "k", "access_token": "t"}),
            "CR-SKR-0012",
        ),
        (
            json!({"maa_endpoint": "maa.example", "akv_endpoint": "v", "kid": "../k", "access_token": "t"}),
            "CR-SKR-0033",
        ),
    ] {
        let (status, answer) = ask(no_device(), services::SECRETS.uid, "/key/release", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["error"]["code"], code);
    }
}
