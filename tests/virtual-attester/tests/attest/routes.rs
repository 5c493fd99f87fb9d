//! skr-agent's routes, as upstream's clients see them over `--tcp`.

use std::sync::Arc;

use crate::common::{POLICY, endpoint, launched, world};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use emulators::world::World;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sidecar_http::{Coded, Peer};
use skr_agent::{Agent, Config, routes};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use virtual_attester::VirtualAttester;

pub(crate) fn agent(world: &World, group: &TempDir) -> Arc<Agent<VirtualAttester>> {
    agent_with(world, group, Config::for_directory(group.path()))
}

/// An agent told more than where its security context is.
pub(crate) fn agent_with(
    world: &World,
    group: &TempDir,
    config: Config,
) -> Arc<Agent<VirtualAttester>> {
    Arc::new(Agent::new(
        VirtualAttester::new(Some(group.path().to_owned())),
        virtual_attester::verifier().unwrap(),
        test_support::https(world).unwrap(),
        test_support::trust(world).unwrap(),
        config,
        CancellationToken::new(),
    ))
}

fn standing_alone(world: &World, group: &TempDir) -> Router {
    let peer = Peer::Tcp("127.0.0.1:1".parse().unwrap());
    routes(agent(world, group)).router_as(peer)
}

pub(crate) async fn ask(router: &Router, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::post(path)
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn members(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn evidence_routes_answer_with_upstreams_members_and_encodings() {
    let world = world().await;
    let group = launched(POLICY);
    let router = standing_alone(&world, &group);
    let runtime = json!({"runtime_data": STANDARD.encode(r#"{"keys":[]}"#)});

    let (status, raw) = ask(&router, "/attest/raw", &runtime).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(members(&raw), ["report"]);
    let report = hex::decode(raw["report"].as_str().unwrap()).unwrap();
    assert_eq!(report.len(), 1184);

    let (status, combined) = ask(&router, "/attest/combined", &runtime).await;
    assert_eq!(status, StatusCode::OK, "{combined}");
    assert_eq!(
        members(&combined),
        [
            "endorsed_tcb",
            "endorsements",
            "evidence",
            "uvm_endorsements"
        ]
    );
    let decoded = |name: &str| STANDARD.decode(combined[name].as_str().unwrap()).unwrap();
    assert_eq!(combined["endorsed_tcb"], "DB18000000000004");
    let chain = String::from_utf8(decoded("endorsements")).unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 3);
    let snp = emulators::amd::verify_report(&decoded("evidence"), &chain).unwrap();
    emulators::amd::verify_uvm(&decoded("uvm_endorsements"), &snp.measurement).unwrap();
    assert_eq!(
        hex::encode(&snp.report_data[..32]),
        "9638d11914735d0072002dd4d67c734a94ee7a0cd845e6dcbc984ee7581860a7"
    );

    let mut question = runtime.clone();
    question["maa_endpoint"] = json!(endpoint(&world).as_str());
    let (status, token) = ask(&router, "/attest/maa", &question).await;
    assert_eq!(status, StatusCode::OK, "{token}");
    assert_eq!(members(&token), ["token"]);
    assert_eq!(token["token"].as_str().unwrap().split('.').count(), 3);
}

#[tokio::test]
async fn the_self_check_names_the_part_and_the_file_that_is_missing() {
    let world = world().await;
    let group = launched(POLICY);
    let check = agent(&world, &group).self_check().await;
    check.device.unwrap();
    check.context.unwrap();
    check.endorsements.unwrap().unwrap();
    check.verification.unwrap().unwrap();
    let without = async |name: &str| {
        let group = launched(POLICY);
        std::fs::remove_file(group.path().join(name)).unwrap();
        agent(&world, &group).self_check().await
    };
    let check = without("host-amd-cert-base64").await;
    check.device.unwrap();
    check.context.unwrap();
    let error = check.endorsements.unwrap().unwrap_err().to_string();
    assert!(error.contains("host-amd-cert-base64"), "{error}");
    assert!(check.verification.is_none());

    let check = without("reference-info-base64").await;
    check.device.unwrap();
    check.endorsements.unwrap().unwrap();
    let error = check.context.unwrap_err().to_string();
    assert!(error.contains("reference-info-base64"), "{error}");

    // The virtual device has no host_data without it.
    let check = without("security-policy-base64").await;
    for error in [check.device.unwrap_err(), check.context.unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("security-policy-base64"), "{error}");
    }
    assert!(check.endorsements.is_none() && check.verification.is_none());

    // Somebody moved the group: every part is there, but they do not fit.
    let (group, other) = (launched(POLICY), launched(b"another policy"));
    let attester = VirtualAttester::new(Some(other.path().to_owned()));
    let agent = Agent::new(
        attester,
        virtual_attester::verifier().unwrap(),
        test_support::https(&world).unwrap(),
        test_support::trust(&world).unwrap(),
        Config::for_directory(group.path()),
        CancellationToken::new(),
    );
    let error = agent.self_check().await.verification.unwrap().unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0007");
}
