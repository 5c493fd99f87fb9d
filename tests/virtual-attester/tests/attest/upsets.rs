//! What goes wrong on the way of a release, at MAA and at the vault: each told apart, tried again only where that may help,
//! and over as soon as the service is well again.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::{Request, StatusCode};
use cleanroom_crypto::digest::sha256;
use emulators::upset::{Kind, Upset};
use emulators::vault::Vault;
use emulators::world::World;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sidecar_http::Peer;
use skr_agent::{Agent, Config, routes};
use tempfile::TempDir;
use test_support::KekOwner;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use virtual_attester::VirtualAttester;

use crate::common::{POLICY, launched, world};

/// One agent, asked over `--tcp` so that every answer has upstream's form.
struct Scene {
    world: World,
    owner: KekOwner,
    router: Router,
    _group: TempDir,
}

/// What one request came to.
#[derive(Debug)]
struct Outcome {
    status: StatusCode,
    answer: Value,
    retry_after: Option<String>,
    /// Requests that MAA and the vault saw for it.
    seen: (usize, usize),
}

impl Scene {
    async fn new() -> Self {
        let world = world().await;
        let owner = KekOwner::of(&world, &sha256(POLICY)).await;
        let group = launched(POLICY);
        // A second for each try, so that a slow service is met in seconds.
        let https = test_support::https(&world).unwrap();
        let https = https.with_patience(Duration::from_secs(1), Duration::from_secs(20));
        let agent = Agent::new(
            VirtualAttester::new(Some(group.path().to_owned())),
            virtual_attester::verifier().unwrap(),
            https,
            test_support::trust(&world).unwrap(),
            Config::for_directory(group.path()),
            CancellationToken::new(),
        );
        let peer = Peer::Tcp("127.0.0.1:1".parse().unwrap());
        Self {
            router: routes(Arc::new(agent)).router_as(peer),
            world,
            owner,
            _group: group,
        }
    }

    fn vault(&self) -> &Vault {
        &self.world.services().vaults[self.owner.vault.host_str().unwrap()]
    }

    fn upset(&self, service: &str, kind: Kind, times: u32) {
        let path = if service == "maa" {
            "/attest/"
        } else {
            "/release"
        };
        self.world
            .upset(Upset::next(service, kind).at(path).times(times));
    }

    fn seen(&self) -> (usize, usize) {
        (
            KekOwner::attestations(&self.world),
            KekOwner::releases(&self.world),
        )
    }

    /// Every request has a token of its own, so that none is answered from an earlier one's key.
    async fn ask(&self) -> Outcome {
        self.send(self.owner.request(&self.world)).await
    }

    async fn send(&self, request: Value) -> Outcome {
        let before = self.seen();
        let request = Request::post("/key/release")
            .body(Body::from(request.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).cloned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let after = self.seen();
        Outcome {
            status,
            answer: serde_json::from_slice(&body).unwrap(),
            retry_after: retry_after.map(|value| value.to_str().unwrap().to_owned()),
            seen: (after.0 - before.0, after.1 - before.1),
        }
    }

    /// The passing twin: the same question once everything is well.
    async fn is_well(&self) {
        self.world.upsets().calm();
        self.vault().misbehave(None);
        self.world.services().maa.misbehave(None);
        self.ask().await.is_released((1, 1));
    }
}

impl Outcome {
    fn is_released(&self, seen: (usize, usize)) {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.answer["code"]);
        let members: Vec<&String> = self.answer.as_object().unwrap().keys().collect();
        assert_eq!(members, ["key"], "upstream's answer has nothing else");
        assert_eq!(self.seen, seen);
    }

    fn is_refused(
        &self,
        status: StatusCode,
        code: &str,
        upstream: impl Into<Option<u16>>,
        seen: (usize, usize),
    ) {
        let retryable = matches!(status.as_u16(), 503 | 504);
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.answer["code"], code, "{self:?}");
        assert_eq!(self.answer["retryable"], retryable, "{self:?}");
        assert_eq!(
            self.answer["upstream_status"],
            json!(upstream.into()),
            "{self:?}"
        );
        assert!(self.answer["error"].is_string(), "{self:?}");
        assert_eq!(self.retry_after.is_some(), retryable, "{self:?}");
        assert_eq!(self.seen, seen, "{self:?}");
    }
}

const TRIES: usize = 4;

#[tokio::test]
async fn a_service_that_is_busy_is_asked_four_times_and_then_named() {
    let scene = Scene::new().await;
    for status in [429, 503] {
        scene.upset("maa", Kind::Status(status), 3);
        scene.ask().await.is_released((TRIES, 1));
        scene.upset("maa", Kind::Status(status), 4);
        let outcome = scene.ask().await;
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        outcome.is_refused(busy, "CR-SKR-0013", status, (TRIES, 0));

        scene.upset("vault", Kind::Status(status), 3);
        scene.ask().await.is_released((1, TRIES));
        scene.upset("vault", Kind::Status(status), 4);
        let outcome = scene.ask().await;
        outcome.is_refused(busy, "CR-KV-0013", status, (1, TRIES));
    }
    scene.is_well().await;
}

#[tokio::test]
async fn a_service_that_asks_for_patience_gets_it_within_the_budget_and_no_further() {
    let scene = Scene::new().await;
    for (service, seen) in [("maa", (2, 1)), ("vault", (1, 2))] {
        scene.upset(service, Kind::Throttle(1), 1);
        let began = tokio::time::Instant::now();
        scene.ask().await.is_released(seen);
        assert!(began.elapsed() >= Duration::from_secs(1), "{service}");
    }
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    scene.upset("maa", Kind::Throttle(120), 1);
    let outcome = scene.ask().await;
    outcome.is_refused(busy, "CR-SKR-0013", 429, (1, 0));
    assert_eq!(outcome.retry_after.as_deref(), Some("120"));
    scene.upset("vault", Kind::Throttle(120), 1);
    let outcome = scene.ask().await;
    outcome.is_refused(busy, "CR-KV-0013", 429, (1, 1));
    assert_eq!(outcome.retry_after.as_deref(), Some("120"));
    scene.is_well().await;
}

#[tokio::test]
async fn a_slow_service_is_waited_for_and_one_that_is_too_slow_is_a_gateway_timeout() {
    let scene = Scene::new().await;
    for (service, seen) in [("maa", (TRIES, 0)), ("vault", (1, TRIES))] {
        scene.upset(service, Kind::Delay(100), 1);
        scene.ask().await.is_released((1, 1));
        // Longer than the tries may take together: none of them is answered while the next one is under way.
        scene.upset(service, Kind::Delay(60_000), 4);
        let outcome = scene.ask().await;
        assert_eq!(outcome.status, StatusCode::GATEWAY_TIMEOUT, "{outcome:?}");
        assert_eq!(outcome.answer["code"], "CR-HTTP-0024");
        assert_eq!(outcome.answer["retryable"], true);
        assert_eq!(outcome.retry_after.as_deref(), Some("5"));
        // The emulator notes a request when it answers it, and these it never does.
        let unanswered = if service == "maa" { (0, 0) } else { (1, 0) };
        assert_eq!(outcome.seen, unanswered, "{seen:?}");
    }
    scene.is_well().await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_anew_four_times() {
    let scene = Scene::new().await;
    let broken = StatusCode::SERVICE_UNAVAILABLE;
    for kind in [Kind::Reset, Kind::LoseAnswer, Kind::TruncateBody] {
        scene.upset("maa", kind, 1);
        scene.ask().await.is_released((2, 1));
        scene.upset("maa", kind, 4);
        let outcome = scene.ask().await;
        outcome.is_refused(broken, "CR-HTTP-0025", None, (TRIES, 0));
        scene.upset("vault", kind, 1);
        scene.ask().await.is_released((1, 2));
        scene.upset("vault", kind, 4);
        let outcome = scene.ask().await;
        outcome.is_refused(broken, "CR-HTTP-0025", None, (1, TRIES));
    }
    scene.is_well().await;
}

#[tokio::test]
async fn a_stale_token_is_refused_once_and_not_tried_again() {
    let scene = Scene::new().await;
    let mut request = scene.owner.request(&scene.world);
    let stale = scene
        .owner
        .token(&scene.world, scene.owner.identity(), -600);
    request["access_token"] = json!(stale);
    let outcome = scene.send(request).await;
    outcome.is_refused(StatusCode::FORBIDDEN, "CR-KV-0010", 401, (1, 1));
    scene.is_well().await;
}

#[tokio::test]
async fn a_key_that_is_not_there_and_a_policy_that_is_not_met_are_refused_once() {
    let scene = Scene::new().await;
    let mut request = scene.owner.request(&scene.world);
    request["kid"] = json!("other");
    let outcome = scene.send(request).await;
    outcome.is_refused(StatusCode::BAD_REQUEST, "CR-KV-0012", 404, (1, 1));
    let policy = scene.vault().release_policy("kek").unwrap();
    let theirs = hex::encode(sha256(b"another policy"));
    let other = policy
        .to_string()
        .replace(&hex::encode(sha256(POLICY)), &theirs);
    scene
        .vault()
        .set_release_policy("kek", serde_json::from_str(&other).unwrap());
    let outcome = scene.ask().await;
    outcome.is_refused(StatusCode::FORBIDDEN, "CR-KV-0011", 403, (1, 1));
    let text = outcome.answer["error"].as_str().unwrap();
    assert!(text.contains(&theirs), "{text}");
    scene.vault().set_release_policy("kek", policy);
    scene.is_well().await;
}

#[tokio::test]
async fn a_release_of_another_question_is_not_believed() {
    let scene = Scene::new().await;
    for (pointer, value, member) in [
        (
            "/response/key/key/kid",
            json!("https://fabrikam.example/keys/kek/1"),
            "response.key.key.kid",
        ),
        (
            "/response/key/key/kid",
            json!(format!("{}keys/other/1", scene.owner.vault)),
            "response.key.key.kid",
        ),
        (
            "/request/kid",
            json!(format!("{}keys/other/1", scene.owner.vault)),
            "request.kid",
        ),
        ("/request/nonce", json!("AAAA"), "request.nonce"),
        ("/request/enc", json!("CKM_RSA_AES_KEY_WRAP"), "request.enc"),
    ] {
        scene.vault().misbehave(Some(Arc::new(move |payload| {
            *payload.pointer_mut(pointer).unwrap() = value.clone();
        })));
        let outcome = scene.ask().await;
        outcome.is_refused(StatusCode::BAD_GATEWAY, "CR-KV-0023", None, (1, 1));
        let text = outcome.answer["error"].as_str().unwrap();
        assert!(text.contains(member), "{text}");
    }
    scene.is_well().await;
}

#[tokio::test]
async fn a_release_that_was_changed_on_the_way_is_not_believed() {
    let scene = Scene::new().await;
    scene.upset("vault", Kind::TamperBody, 1);
    let outcome = scene.ask().await;
    outcome.is_refused(StatusCode::BAD_GATEWAY, "CR-KV-0022", None, (1, 1));
    scene.is_well().await;
}

#[tokio::test]
async fn a_token_that_was_changed_or_is_about_something_else_goes_to_no_vault() {
    let scene = Scene::new().await;
    scene.upset("maa", Kind::TamperBody, 1);
    let outcome = scene.ask().await;
    outcome.is_refused(StatusCode::BAD_GATEWAY, "CR-SKR-0016", None, (1, 0));
    let other = || json!(hex::encode([7; 64]));
    for (claim, value) in [
        ("nonce", json!("7")),
        ("x-ms-sevsnpvm-reportdata", other()),
        ("x-ms-sevsnpvm-hostdata", other()),
    ] {
        scene
            .world
            .services()
            .maa
            .misbehave(Some(Arc::new(move |_, claims| {
                claims[claim] = value.clone();
            })));
        let outcome = scene.ask().await;
        outcome.is_refused(StatusCode::BAD_GATEWAY, "CR-SKR-0017", None, (1, 0));
        let text = outcome.answer["error"].as_str().unwrap();
        assert!(text.contains(claim), "{text}");
    }
    for (member, value, code) in [
        ("alg", "none", "CR-SKR-0072"),
        ("alg", "HS256", "CR-SKR-0072"),
        ("kid", "another", "CR-SKR-0015"),
        ("jku", "https://evil.example/certs", "CR-SKR-0070"),
    ] {
        scene
            .world
            .services()
            .maa
            .misbehave(Some(Arc::new(move |header, _| {
                header[member] = json!(value);
            })));
        let outcome = scene.ask().await;
        outcome.is_refused(StatusCode::BAD_GATEWAY, code, None, (1, 0));
    }
    scene.is_well().await;
}
