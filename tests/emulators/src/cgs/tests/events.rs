use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::support::{Got, HOST_DATA, Room, Service, room, service, service_with};
use crate::cgs::{QueryDecoding, Strictness};

fn event(message: &str) -> Value {
    room().event(&json!({"source": "code-launcher", "message": message}))
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

async fn put(service: &Service, query: &str, body: Value) -> Got {
    service
        .room_call("PUT", &format!("c1/events{query}"), body)
        .await
}

#[tokio::test]
async fn an_event_is_listed_with_its_place_in_the_ledger() {
    let service = service().accepted();
    assert_eq!(
        service.get("/app/contracts/c1/events").await.ok(),
        json!({"value": []})
    );
    let got = put(
        &service,
        "",
        event("starting execution of demo-app container"),
    )
    .await;
    assert_eq!((got.status, got.body.len()), (204, 0));
    let seqno: u64 = got
        .transaction()
        .strip_prefix("2.")
        .unwrap()
        .parse()
        .unwrap();
    let listed = service.get("/app/contracts/c1/events").await;
    let text = String::from_utf8(listed.body).unwrap();
    let expected = format!(
        r#"{{"value":[{{"scope":"","id":"c1","seqno":{seqno},"timestamp":"1717591984758","timestamp_iso":"2024-06-05T12:53:04.758Z","data":{{"message":"starting execution of demo-app container","source":"code-launcher"}}}}]}}"#
    );
    assert_eq!(text, expected);
    assert_eq!(service.cgs.events("c1", "").len(), 1);
}

#[tokio::test]
async fn an_event_that_is_not_whole_signed_and_bound_is_refused() {
    let service = service().accepted();
    let foreign = Room::new(HOST_DATA);
    let by_foreign = foreign.event(&json!({"message": "x"}));
    let sign = |key: &Room, of: &Value| json!({"publicKey": key.public, "signature": of["sign"]["signature"]});
    let good = event("x");
    for (body, expected) in [
        (
            with(good.clone(), "attestation", Value::Null),
            "400 AttestationMissing",
        ),
        (
            with(good.clone(), "timestamp", Value::Null),
            "400 TimestampMissing",
        ),
        (
            with(good.clone(), "timestamp", json!("10000000000000")),
            "400 TimestampTooLarge",
        ),
        (
            with(good.clone(), "timestamp", json!("abc")),
            "400 TimestampInvalid",
        ),
        (
            with(good.clone(), "timestamp", json!(1)),
            "500 InternalError",
        ),
        (
            with(good.clone(), "sign", Value::Null),
            "400 SignatureMissing",
        ),
        (
            with(good.clone(), "data", json!(STANDARD.encode("{}"))),
            "400 SignatureMismatch",
        ),
        (
            with(good.clone(), "data", json!("*")),
            "400 SignatureMismatch",
        ),
        (
            with(good.clone(), "sign", json!({"publicKey": room().public})),
            "400 SignatureMismatch",
        ),
        (
            with(good.clone(), "sign", sign(room(), &by_foreign)),
            "400 SignatureMismatch",
        ),
        (
            with(good.clone(), "sign", sign(&foreign, &by_foreign)),
            "400 ReportDataMismatch",
        ),
        (
            with(
                good.clone(),
                "encrypt",
                json!({"publicKey": foreign.public}),
            ),
            "400 ReportDataMismatch",
        ),
        (
            with(good.clone(), "attestation", Room::new([8; 32]).attestation),
            "400 VerifySnpAttestationFailed",
        ),
    ] {
        assert_eq!(put(&service, "", body).await.error(), expected);
    }
    assert!(service.cgs.events("c1", "").is_empty());
    assert_eq!(put(&service, "", good).await.status, 204);
}

#[tokio::test]
async fn the_real_service_takes_any_timestamp_and_then_cannot_list_it() {
    let service = service_with(|config| config.strictness = Strictness::upstream()).accepted();
    assert_eq!(
        put(&service, "", with(event("x"), "timestamp", json!("abc")))
            .await
            .status,
        204
    );
    let got = service.get("/app/contracts/c1/events").await;
    assert_eq!(got.error(), "500 InternalError");
    assert!(got.message().contains("Invalid time value"));
    put(&service, "", with(event("x"), "timestamp", json!("42")))
        .await
        .ok();
    let listed = service.get("/app/contracts/c1/events").await.ok();
    assert_eq!(listed["value"][0]["timestamp"], "0000000000042");
}

#[tokio::test]
async fn scopes_and_ids_are_apart_and_a_scope_ends_at_an_equals_sign() {
    let service = service().accepted();
    for (query, message) in [
        ("", "a"),
        ("?scope=p=q", "b"),
        ("?scope=p&id=e1", "c"),
        ("?id=e1", "d"),
    ] {
        put(&service, query, event(message)).await.ok();
    }
    for (query, message) in [
        ("", "a"),
        ("?scope=p", "b"),
        ("?scope=p&id=e1", "c"),
        ("?id=e1", "d"),
    ] {
        let listed = service
            .get(&format!("/app/contracts/c1/events{query}"))
            .await
            .ok();
        assert_eq!(listed["value"][0]["data"]["message"], message);
    }
    let raw = service_with(|config| config.query_decoding = QueryDecoding::None).accepted();
    put(&raw, "?scope=p%3Dq", event("e")).await.ok();
    let listed = raw.get("/app/contracts/c1/events?scope=p%3Dq").await.ok();
    assert_eq!(listed["value"][0]["scope"], "p%3Dq");
    put(&service, "?scope=z%26id=e9", event("f")).await.ok();
    assert_eq!(
        service
            .get("/app/contracts/c1/events?scope=z&id=e9")
            .await
            .ok()["value"][0]["data"]["message"],
        "f"
    );
}

#[tokio::test]
async fn one_contract_forges_the_events_of_another_on_the_real_service_only() {
    for (strictness, forged) in [(Strictness::strict(), 0), (Strictness::upstream(), 1)] {
        let service = service_with(|config| config.strictness = strictness).accepted();
        put(&service, "?scope=x&id=c1-x", event("forged"))
            .await
            .ok();
        assert_eq!(
            service.get("/app/contracts/c1-x/events").await.ok()["value"]
                .as_array()
                .unwrap()
                .len(),
            forged
        );
    }
}

#[tokio::test]
async fn history_is_read_page_by_page_and_each_page_is_loaded_first() {
    let service = service().accepted();
    for message in ["a", "b", "c", "d"] {
        put(&service, "", event(message)).await.ok();
    }
    let mut next = "/app/contracts/c1/events?from_seqno=1&max_seqno_per_page=14".to_owned();
    let (mut messages, mut pages) = (Vec::new(), 0);
    loop {
        let loading = service.get(&next).await;
        assert_eq!((loading.status, loading.body.len()), (202, 0), "{next}");
        assert_eq!(loading.headers["retry-after"], "1");
        let page = service.get(&next).await.ok();
        pages += 1;
        let read = page["value"].as_array().unwrap().iter();
        messages.extend(read.map(|event| event["data"]["message"].as_str().unwrap().to_owned()));
        match page["nextLink"].as_str() {
            Some(link) => next = link.to_owned(),
            None => break,
        }
    }
    assert_eq!((messages.join(""), pages), ("abcd".to_owned(), 2));
    assert!(next.ends_with("&id=c1&scope="), "{next}");
}

#[tokio::test]
async fn a_range_is_of_integers_in_order_and_committed() {
    let service = service().accepted();
    put(&service, "", event("a")).await.ok();
    for (query, reason) in [
        ("from_seqno=x", "from_seqno is not an integer"),
        ("from_seqno=1&to_seqno=1.5", "to_seqno is not an integer"),
        ("from_seqno=9&to_seqno=8", "to_seqno must be >= from_seqno"),
        (
            "from_seqno=1&to_seqno=99999",
            "End of range must be committed",
        ),
    ] {
        let got = service
            .get(&format!("/app/contracts/c1/events?{query}"))
            .await;
        assert_eq!(got.error(), "500 InternalError");
        assert!(got.message().contains(reason), "{}", got.message());
    }
    service.cgs.hold_commits(true);
    put(&service, "", event("b")).await.ok();
    let got = service.get("/app/contracts/c1/events?from_seqno=1").await;
    assert!(
        got.message().contains("End of range must be committed"),
        "{}",
        got.message()
    );
    service.cgs.hold_commits(false);
    assert_eq!(
        service
            .get("/app/contracts/c1/events?from_seqno=1")
            .await
            .status,
        202
    );
}
