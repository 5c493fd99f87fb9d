//! `/key/release` from the caller's request to the KEK, against a vault that evaluates its release policy.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::rsa::PrivateKey;
use emulators::upset::{Kind, Upset};
use emulators::world::{Party, World};
use http_body_util::BodyExt;
use keyvault::{KeyClient, ReleasePolicy, VaultKind};
use serde_json::{Value, json};
use sidecar_http::{Peer, services};
use skr_agent::routes;
use tempfile::TempDir;
use tower::ServiceExt;
use url::Url;

use crate::common::{POLICY, endpoint, launched, world};
use crate::routes::agent;

/// litware's vault with a KEK in it, released to the group launched under [`POLICY`].
struct Owner {
    party: Party,
    vault: Url,
    kek: PrivateKey,
}

const AUDIENCE: &str = VaultKind::KeyVault.audience();

impl Owner {
    async fn of(world: &World) -> Self {
        let party = world.config().parties[0].clone();
        let owner = Self {
            vault: world.url(&party.vaults[0].host()),
            kek: PrivateKey::generate(2048).unwrap(),
            party,
        };
        let principal = owner.party.service_principal.as_ref().unwrap();
        let token = owner.token(world, &principal.client_id);
        let policy = ReleasePolicy::for_host_data(&endpoint(world), &sha256(POLICY));
        KeyClient::new(test_support::https(world).unwrap())
            .import_rsa(&owner.vault, "kek", &owner.kek, &policy, &token)
            .await
            .unwrap();
        owner
    }

    fn token(&self, world: &World, client: &str) -> String {
        let entra = &world.services().entra;
        entra
            .issue(&self.party.tenant_id, client, AUDIENCE, 3600)
            .unwrap()
    }

    /// What `secrets` sends, with a token of the clean room's identity.
    fn request(&self, world: &World) -> Value {
        let identity = self.party.managed_identity.as_ref().unwrap();
        json!({
            "maa_endpoint": endpoint(world).as_str().trim_start_matches("https://").trim_end_matches('/'),
            "akv_endpoint": self.vault.as_str(),
            "kid": "kek",
            "access_token": self.token(world, &identity.client_id),
        })
    }

    fn releases(world: &World) -> usize {
        let requests = world.requests("vault");
        requests
            .iter()
            .filter(|request| request.path.contains("/release"))
            .count()
    }
}

fn as_secrets(world: &World, group: &TempDir) -> Router {
    let uid = services::SECRETS.uid;
    routes(agent(world, group)).router_as(Peer::Unix { uid, gid: uid })
}

async fn ask(router: &Router, body: &Value) -> (StatusCode, Value) {
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
    let owner = Owner::of(&world).await;
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
    assert_eq!(Owner::releases(&world), 1);

    // Another proof of access is another release, even for the same key.
    let identity = owner.party.managed_identity.as_ref().unwrap();
    let mut other = request.clone();
    other["access_token"] = json!(owner.token(&world, &identity.client_id));
    assert_ne!(other["access_token"], request["access_token"]);
    assert_eq!(ask(&router, &other).await.0, StatusCode::OK);
    assert_eq!(Owner::releases(&world), 2);
}

#[tokio::test]
async fn a_group_under_another_policy_is_denied_and_told_which_claim_differs() {
    let world = world().await;
    let owner = Owner::of(&world).await;
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
    let owner = Owner::of(&world).await;
    let group = launched(POLICY);
    let mut request = owner.request(&world);
    request["access_token"] = json!(owner.token(&world, "00000000-0000-4000-8000-000000000000"));
    let (status, answer) = ask(&as_secrets(&world, &group), &request).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
}

#[tokio::test]
async fn a_vault_that_is_down_is_the_upstreams_fault_and_the_next_request_tries_again() {
    let world = world().await;
    let owner = Owner::of(&world).await;
    let group = launched(POLICY);
    let router = as_secrets(&world, &group);
    world.upset(
        Upset::next("vault", Kind::Status(503))
            .at("/release")
            .times(4),
    );
    let (status, answer) = ask(&router, &owner.request(&world)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    let (status, answer) = ask(&router, &owner.request(&world)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test]
async fn a_release_that_the_vault_did_not_make_for_this_key_is_refused() {
    let world = world().await;
    let owner = Owner::of(&world).await;
    let group = launched(POLICY);
    let vault = &world.services().vaults[owner.vault.host_str().unwrap()];
    vault.misbehave(Some(Arc::new(|payload| {
        payload["response"]["key"]["key"]["kid"] = json!("https://fabrikam.example/keys/kek/1");
    })));
    let router = as_secrets(&world, &group);
    let (status, answer) = ask(&router, &owner.request(&world)).await;
    assert!(!status.is_success(), "{answer}");
    vault.misbehave(None);
    let (status, answer) = ask(&router, &owner.request(&world)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}
