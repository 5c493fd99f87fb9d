use std::io::Write;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cleanroom_crypto::rsa::PrivateKey;
use emulators::upset::{Kind, Upset};
use emulators::world::{MAA_HOST, World, WorldConfig};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sidecar_http::Peer;
use test_support::{KekOwner, Secrets};
use tower::ServiceExt;
use virtual_attester::VirtualAttester;

use super::*;
use crate::routes;

const POLICY: &[u8] = br#"{"name":"litware"}"#;

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn private_parts(secrets: &mut Secrets, what: &str, key: &PrivateKey) {
    let jwk: Value = serde_json::from_str(&key.to_jwk()).unwrap();
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        let number = URL_SAFE_NO_PAD
            .decode(jwk[member].as_str().unwrap())
            .unwrap();
        secrets.add(&format!("{what}: {member}"), &number);
    }
}

#[tokio::test]
async fn no_key_and_no_token_is_in_a_trace_of_releases_that_succeed_and_fail() {
    sidecar_http::install_crypto_provider();
    let world = World::start(WorldConfig::two_parties()).await.unwrap();
    let owner = KekOwner::of(&world, &sha256(POLICY)).await;
    let dir = tempfile::tempdir().unwrap();
    emulators::amd::write_context(dir.path(), POLICY).unwrap();
    let agent = Arc::new(Agent::new(
        VirtualAttester::new(Some(dir.path().to_owned())),
        virtual_attester::verifier().unwrap(),
        test_support::https(&world).unwrap(),
        test_support::trust(&world).unwrap(),
        Config::for_directory(dir.path()),
        CancellationToken::new(),
    ));
    let router = routes(Arc::clone(&agent)).router_as(Peer::Tcp("127.0.0.1:1".parse().unwrap()));

    let mut secrets = Secrets::default();
    private_parts(&mut secrets, "key encryption key", &owner.kek);
    // Every token is a JWT, and every JWT begins so.
    secrets.add("a token", b"eyJhbGciOi");
    let log = Log::default();
    let captured = {
        let writer = log.clone();
        // Of the process: beside a subscriber of this thread alone, what other tests' threads log first decides which
        // call sites are heard here.
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        let mut answers = Vec::new();
        for (upset, lifetime, expected) in [
            (None, 3600, StatusCode::OK),
            (None, -600, StatusCode::FORBIDDEN),
            (Some(Kind::TamperBody), 3600, StatusCode::BAD_GATEWAY),
            (Some(Kind::Reset), 3600, StatusCode::OK),
        ] {
            let key = PrivateKey::generate(2048).unwrap();
            private_parts(&mut secrets, "transfer key", &key);
            agent.transfer_keys.make_ready(key);
            if let Some(kind) = upset {
                world.upset(Upset::next("vault", kind).at("/release"));
            }
            let mut request = owner.request(&world);
            let token = owner.token(&world, owner.identity(), lifetime);
            secrets.add("access token", token.as_bytes());
            request["access_token"] = json!(token);
            answers.push((ask(&router, "/key/release", &request).await, expected));
        }
        let question =
            json!({"maa_endpoint": world.url(MAA_HOST), "runtime_data": STANDARD.encode("{}")});
        let token = ask(&router, "/attest/maa", &question).await;
        answers.push((token, StatusCode::OK));
        for ((status, answer), expected) in &answers {
            assert_eq!(status, expected, "{}", answer["code"]);
        }
        // The search sees: the answers have what the log must not have.
        let key = answers[0].0.1.to_string();
        assert!(
            secrets
                .find(key.as_bytes())
                .unwrap()
                .starts_with("key encryption key")
        );
        let token = answers[4].0.1.to_string();
        assert_eq!(secrets.find(token.as_bytes()), Some("a token"));
        std::mem::take(&mut *log.0.lock().unwrap())
    };
    let text = String::from_utf8(captured).unwrap();
    for part in ["key released", "CR-KV-0022", "CR-KV-0010", "TRACE", "hyper"] {
        assert!(text.contains(part), "the trace has no {part}");
    }
    assert_eq!(secrets.find(text.as_bytes()), None);
}

async fn ask(router: &axum::Router, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::post(path)
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}
