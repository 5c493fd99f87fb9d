//! `/key/release` from the caller's request to the KEK, against a vault that evaluates its release policy.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::rsa::PrivateKey;
use emulators::world::World;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sidecar_http::{Peer, services};
use skr_agent::routes;
use tempfile::TempDir;
use test_support::KekOwner;
use tower::ServiceExt;

use crate::common::{POLICY, launched, world};
use crate::routes::agent;

pub(crate) fn as_secrets(world: &World, group: &TempDir) -> Router {
    let uid = services::SECRETS.uid;
    routes(agent(world, group)).router_as(Peer::Unix { uid, gid: uid })
}

pub(crate) async fn ask(router: &Router, body: &Value) -> (StatusCode, Value) {
    let request = Request::post("/key/release")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn the_kek_comes_as_a_jwk_in_a_string_and_once_for_all_who_ask_together() {
    let world = world().await;
    let owner = KekOwner::of(&world, &sha256(POLICY)).await;
    let group = launched(POLICY);
    let router = as_secrets(&world, &group);
    let request = owner.request(&world);

    let (first, second) = tokio::join!(ask(&router, &request), ask(&router, &request));
    for (status, answer) in [first, second, ask(&router, &request).await] {
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer.as_object().unwrap().len(), 2);
        let kid = answer["kid"].as_str().unwrap();
        assert!(
            kid.starts_with(&format!("{}keys/kek/", owner.vault)),
            "{kid}"
        );
        let key = PrivateKey::from_jwk(answer["key"].as_str().unwrap()).unwrap();
        assert_eq!(key.public_key().n_be(), owner.kek.public_key().n_be());
    }
    assert_eq!(KekOwner::releases(&world), 1);

    // Another proof of access is another release, even for the same key.
    let mut other = request.clone();
    other["access_token"] = json!(owner.token(&world, owner.identity(), 3600));
    assert_ne!(other["access_token"], request["access_token"]);
    assert_eq!(ask(&router, &other).await.0, StatusCode::OK);
    assert_eq!(KekOwner::releases(&world), 2);
}

#[tokio::test]
async fn a_group_under_another_policy_is_denied_and_told_which_claim_differs() {
    let world = world().await;
    let owner = KekOwner::of(&world, &sha256(POLICY)).await;
    let group = launched(b"another policy");
    let (status, answer) = ask(&as_secrets(&world, &group), &owner.request(&world)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    for part in [
        "x-ms-sevsnpvm-hostdata",
        &hex::encode(sha256(POLICY)),
        &hex::encode(sha256(b"another policy")),
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_principal_without_the_role_is_denied() {
    let world = world().await;
    let owner = KekOwner::of(&world, &sha256(POLICY)).await;
    let group = launched(POLICY);
    let mut request = owner.request(&world);
    request["access_token"] =
        json!(owner.token(&world, "00000000-0000-4000-8000-000000000000", 3600));
    let (status, answer) = ask(&as_secrets(&world, &group), &request).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
}

#[tokio::test]
async fn two_hundred_askers_of_one_caller_cause_one_release() {
    let world = world().await;
    let owner = KekOwner::of(&world, &sha256(POLICY)).await;
    let group = launched(POLICY);
    let router = as_secrets(&world, &group);
    let request = owner.request(&world);
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (router, request) = (router.clone(), request.clone());
        askers.spawn(async move { ask(&router, &request).await });
    }
    let answers = askers.join_all().await;
    assert_eq!(answers.len(), 200);
    for (status, answer) in answers {
        assert_eq!(status, StatusCode::OK);
        let key = PrivateKey::from_jwk(answer["key"].as_str().unwrap()).unwrap();
        assert_eq!(key.public_key(), owner.kek.public_key());
    }
    assert_eq!(KekOwner::releases(&world), 1);
    assert_eq!(KekOwner::attestations(&world), 1);
}
