//! Consent, tokens, callers and the pin.

use crate::support::{Seen, Service, ok, put, recorded, state};
use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::keywrap::wrap_rsa_aes;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey, PublicKey};
use governance::{GovError, routes};
use governance_client::Scope;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sidecar_http::services::{APPLICATION_UID, CODE_LAUNCHER, IDENTITY};
use sidecar_http::{Coded, Peer};
use tower::ServiceExt;

/// What CGS does for a token: wraps it for the key of the request.
fn wrapped_for(seen: &Seen, token: &str) -> Value {
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    let pem = BASE64_STANDARD
        .decode(body["encrypt"]["publicKey"].as_str().unwrap())
        .unwrap();
    let key = PublicKey::from_spki_pem(std::str::from_utf8(&pem).unwrap()).unwrap();
    json!({"value": BASE64_STANDARD.encode(wrap_rsa_aes(&key, OaepHash::Sha256, token.as_bytes()).unwrap())})
}

#[tokio::test]
async fn consent_is_passed_on_as_it_is_with_its_transaction() {
    let service =
        Service::start(|_| ok("2.7", json!({"status": "disabled", "proposalIds": ["ab"]}))).await;
    let answer = service.sidecar().consent(Scope::Telemetry).await.unwrap();
    assert_eq!(
        answer.json::<Value>().unwrap(),
        json!({"status": "disabled", "proposalIds": ["ab"]})
    );
    assert_eq!(answer.transaction().unwrap().to_string(), "2.7");
    assert_eq!(
        service.seen()[0].uri.path(),
        "/app/contracts/c1/consentcheck/telemetry"
    );
}

#[tokio::test]
async fn consent_from_an_older_state_than_one_seen_committed_is_refused() {
    let mut asked = 0;
    let service = Service::start(move |seen| match seen.uri.path() {
        "/app/tx" => state("Committed"),
        "/app/contracts/c1/events" => recorded("3.50"),
        _ => {
            asked += 1;
            // The first node lags within the view, the second belongs to the view before.
            let transaction = ["3.49", "2.90"].get(asked - 1).copied().unwrap_or("3.51");
            ok(transaction, json!({"status": "enabled"}))
        }
    })
    .await;
    let sidecar = service.sidecar();
    put(&sidecar, "start").await.unwrap();
    let answer = sidecar.consent(Scope::Execution).await.unwrap();
    assert_eq!(answer.transaction().unwrap().to_string(), "3.51");
    let lagging = Service::start(|seen| match seen.uri.path() {
        "/app/tx" => state("Committed"),
        "/app/contracts/c1/events" => recorded("3.50"),
        _ => ok("3.49", json!({"status": "enabled"})),
    })
    .await;
    let sidecar = lagging.sidecar();
    put(&sidecar, "start").await.unwrap();
    let error = sidecar.consent(Scope::Execution).await.unwrap_err();
    assert_eq!(error.code(), "CR-GOV-0010");
}

#[tokio::test]
async fn an_unknown_status_is_no_answer() {
    for body in [json!({"status": "Enabled"}), json!({}), json!("enabled")] {
        let service = Service::start(move |_| ok("2.7", body.clone())).await;
        let error = service
            .sidecar()
            .consent(Scope::Execution)
            .await
            .unwrap_err();
        assert!(matches!(error, GovError::Answer { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_server_outside_the_pin_gets_nothing() {
    let service = Service::start(|_| ok("2.7", json!({"status": "enabled"}))).await;
    let other = Service::start(|_| ok("2.7", json!({"status": "enabled"}))).await;
    let sidecar = service.pinned_to(&other.service_cert);
    let error = sidecar.token("c1", "t1", "x").await.unwrap_err();
    assert_eq!(error.code(), "CR-HTTP-0023");
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn a_token_is_unwrapped_and_its_query_is_bounded() {
    let service = Service::start(|seen| ok("2.7", wrapped_for(seen, "a.b.c"))).await;
    let (token, headers) = service
        .sidecar()
        .token("c1", "t1", "api://AzureADTokenExchange")
        .await
        .unwrap();
    assert_eq!(*token, "a.b.c");
    assert_eq!(headers["x-ms-ccf-transaction-id"], "2.7");
    let seen = service.seen();
    assert_eq!(seen[0].uri.path(), "/app/contracts/c1/oauth/token");
    let query = seen[0].uri.query().unwrap();
    let value = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .unwrap()
    };
    assert_eq!(value("aud"), "api://AzureADTokenExchange");
    assert_eq!((value("sub"), value("tid")), ("c1", "t1"));
    let number = |name| value(name).parse::<u64>().unwrap();
    assert_eq!(number("exp") - number("iat"), 300);
    assert_eq!(number("nbf"), number("iat"));
}

#[tokio::test]
async fn a_token_wrapped_for_somebody_else_is_refused() {
    let other = PrivateKey::generate(2048).unwrap().public_key();
    let service = Service::start(move |_| {
        let blob = wrap_rsa_aes(&other, OaepHash::Sha256, b"a.b.c").unwrap();
        ok("2.7", json!({"value": BASE64_STANDARD.encode(blob)}))
    })
    .await;
    let error = service.sidecar().token("c1", "t1", "x").await.unwrap_err();
    assert_eq!(error.code(), "CR-GOV-0007");
}

#[tokio::test]
async fn a_token_for_another_contract_is_never_asked_for() {
    let service = Service::start(|seen| ok("2.7", wrapped_for(seen, "a.b.c"))).await;
    let sidecar = service.sidecar();
    let error = sidecar.token("c2", "t1", "x").await.unwrap_err();
    assert_eq!(
        (error.code(), error.status()),
        ("CR-GOV-0005", StatusCode::FORBIDDEN)
    );
    for (sub, tenant, aud) in [
        ("c1&sub=c2", "t1", "x"),
        ("c1", "t1&sub=c2", "x"),
        ("c1", "t1", "x%26sub=c2"),
    ] {
        assert_eq!(
            sidecar.token(sub, tenant, aud).await.unwrap_err().code(),
            "CR-GOV-0021"
        );
    }
    assert!(service.seen().is_empty());
}

async fn call(service: &Service, uid: u32, method: Method, uri: &str) -> (StatusCode, Value) {
    let router = routes(service.sidecar()).router_as(Peer::Unix { uid, gid: uid });
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", "application/json")
        .body(Body::from(r#"{"message":"x"}"#))
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn willing() -> Service {
    Service::start(|seen| match seen.uri.path() {
        "/app/tx" => state("Committed"),
        path if path.ends_with("/events") => recorded("2.7"),
        path if path.ends_with("/token") => ok("2.7", wrapped_for(seen, "a.b.c")),
        _ => ok("2.7", json!({"status": "enabled"})),
    })
    .await
}

#[tokio::test]
async fn every_route_answers_its_caller_and_nobody_else() {
    let service = willing().await;
    let (launcher, identity) = (CODE_LAUNCHER.uid, IDENTITY.uid);
    for (method, uri, caller) in [
        (Method::POST, "/consentcheck/execution", launcher),
        (Method::POST, "/consentcheck/logging", launcher),
        (Method::POST, "/consentcheck/telemetry", launcher),
        (Method::PUT, "/events?scope=dataset", launcher),
        (
            Method::POST,
            "/oauth/token?sub=c1&tenantId=t1&aud=x",
            identity,
        ),
    ] {
        assert_eq!(
            call(&service, caller, method.clone(), uri).await.0,
            StatusCode::OK,
            "{uri}"
        );
        for other in [0, APPLICATION_UID, 10020, launcher + identity - caller] {
            let (status, body) = call(&service, other, method.clone(), uri).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{uri} as {other}");
            assert_eq!(body["error"]["code"], "CR-HTTP-0002");
        }
    }
}

#[tokio::test]
async fn parameters_given_twice_or_unknown_are_refused() {
    let service = willing().await;
    for uri in [
        "/oauth/token?sub=c1&sub=c2&tenantId=t1&aud=x",
        "/oauth/token?sub=c1&tenantId=t1&aud=x&iss=y",
        "/oauth/token?sub=c1&tenantId=t1",
        "/oauth/token?sub=c1%26sub%3Dc2&tenantId=t1&aud=x",
    ] {
        let (status, body) = call(&service, IDENTITY.uid, Method::POST, uri).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(
            body["error"]["code"]
                .as_str()
                .unwrap()
                .starts_with("CR-GOV-00"),
            "{body}"
        );
    }
    let (status, _) = call(&service, CODE_LAUNCHER.uid, Method::PUT, "/events?foo=1").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(service.seen().is_empty());
}
