//! Events against a CGS that loses answers, forgets transactions and refuses.

use crate::support::{Service, put, recorded, refused, state};
use axum::response::IntoResponse;
use governance::GovError;
use http::StatusCode;
use sidecar_http::Coded;

/// A service that answers the n-th PUT and the n-th question for a transaction from two scripts; the last line repeats.
async fn scripted(puts: &'static [&'static str], states: &'static [&'static str]) -> Service {
    let (mut put, mut asked) = (0, 0);
    Service::start(move |seen| {
        let line = |script: &[&'static str], at: &mut usize| {
            let line = script.get(*at).or_else(|| script.last()).copied().unwrap();
            *at += 1;
            line
        };
        if seen.uri.path() == "/app/tx" {
            return state(line(states, &mut asked));
        }
        match line(puts, &mut put) {
            "502" => StatusCode::BAD_GATEWAY.into_response(),
            "400" => refused(400, "VerifySnpAttestationFailed"),
            transaction => recorded(transaction),
        }
    })
    .await
}

#[tokio::test]
async fn an_event_returns_only_after_its_commit() {
    let service = scripted(&["2.7"], &["Unknown", "Pending", "Pending", "Committed"]).await;
    let answer = put(&service.sidecar(), "start").await.unwrap();
    assert_eq!(answer.transaction().unwrap().to_string(), "2.7");
    let asked: Vec<String> = service
        .seen()
        .iter()
        .map(|seen| seen.uri.to_string())
        .collect();
    assert_eq!(asked[0], "/app/contracts/c1/events");
    assert_eq!(asked[1..], vec!["/app/tx?transaction_id=2.7"; 4]);
}

#[tokio::test]
async fn an_event_that_is_never_committed_is_an_error_and_is_not_sent_twice() {
    let service = scripted(&["2.7"], &["Pending"]).await;
    let sidecar = service.sidecar();
    let error = put(&sidecar, "start").await.unwrap_err();
    assert_eq!(error.code(), "CR-GOV-0009");
    assert!(error.to_string().contains("2.7"), "{error}");
    put(&sidecar, "start").await.unwrap_err();
    assert_eq!(service.events().len(), 1);
}

#[tokio::test]
async fn a_commit_that_comes_late_is_found_by_the_retry() {
    let (mut puts, mut asked) = (0, 0);
    let service = Service::start(move |seen| {
        if seen.uri.path() == "/app/tx" {
            asked += 1;
            // The deadline is a second, with pauses of at most 625 ms.
            return state(if asked > 8 { "Committed" } else { "Pending" });
        }
        puts += 1;
        recorded(&format!("2.{puts}"))
    })
    .await;
    let sidecar = service.sidecar();
    assert_eq!(
        put(&sidecar, "start").await.unwrap_err().code(),
        "CR-GOV-0009"
    );
    let mut outcome = put(&sidecar, "start").await;
    while let Err(GovError::NotCommitted { .. }) = outcome {
        outcome = put(&sidecar, "start").await;
    }
    assert_eq!(outcome.unwrap().transaction().unwrap().to_string(), "2.1");
    assert_eq!(service.events().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_followed_by_the_same_bytes() {
    let service = scripted(&["502", "2.8"], &["Committed"]).await;
    let sidecar = service.sidecar();
    put(&sidecar, "start").await.unwrap();
    put(&sidecar, "stop").await.unwrap();
    let events = service.events();
    assert_eq!(events.len(), 3);
    assert_eq!(events[0].body, events[1].body);
    assert_eq!(events[1].event()["chain"]["seq"], 1);
    assert_eq!(events[2].event()["chain"]["seq"], 2);
}

#[tokio::test]
async fn a_rolled_back_event_is_recorded_again() {
    let service = scripted(&["2.7", "3.9"], &["Invalid", "Committed"]).await;
    let answer = put(&service.sidecar(), "start").await.unwrap();
    assert_eq!(answer.transaction().unwrap().to_string(), "3.9");
    let events = service.events();
    assert_eq!(events[0].body, events[1].body);
}

#[tokio::test]
async fn a_refused_event_keeps_the_code_and_is_not_counted() {
    let service = scripted(&["400", "2.8"], &["Committed"]).await;
    let sidecar = service.sidecar();
    let error = put(&sidecar, "start").await.unwrap_err();
    assert_eq!(error.code(), "VerifySnpAttestationFailed");
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    put(&sidecar, "start").await.unwrap();
    assert_eq!(service.events()[1].event()["chain"]["seq"], 1);
}

#[tokio::test]
async fn an_event_refused_after_a_lost_answer_leaves_a_gap_and_no_fork() {
    let service = scripted(&["502", "400", "2.8"], &["Committed"]).await;
    let sidecar = service.sidecar();
    put(&sidecar, "start").await.unwrap_err();
    put(&sidecar, "other").await.unwrap();
    assert_eq!(service.events()[2].event()["chain"]["seq"], 2);
}

#[tokio::test]
async fn an_undelivered_event_goes_out_before_the_next_one() {
    let service = scripted(
        &["502", "502", "502", "502", "502", "502", "2.8"],
        &["Committed"],
    )
    .await;
    let sidecar = service.sidecar();
    let mut outcome = put(&sidecar, "start").await;
    let mut failures = 0;
    while outcome.is_err() {
        failures += 1;
        outcome = put(&sidecar, "stop").await;
    }
    assert!(failures > 0);
    let events = service.events();
    let (last, before) = events.split_last().unwrap();
    assert_eq!(last.event()["message"], "stop");
    assert!(before.iter().all(|seen| seen.body == before[0].body));
}

#[tokio::test]
async fn simultaneous_events_form_one_chain() {
    let service = scripted(&["2.8"], &["Pending", "Committed"]).await;
    let sidecar = service.sidecar();
    let puts = (0..5).map(|n| {
        let sidecar = sidecar.clone();
        tokio::spawn(async move { put(&sidecar, &format!("event {n}")).await.map(|_| ()) })
    });
    for outcome in puts.collect::<Vec<_>>() {
        outcome.await.unwrap().unwrap();
    }
    let seqs: Vec<u64> = service
        .events()
        .iter()
        .map(|seen| seen.event()["chain"]["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn nothing_unsafe_reaches_a_query() {
    let service = scripted(&["2.8"], &["Committed"]).await;
    let sidecar = service.sidecar();
    for (id, scope) in [
        (None, "a&id=b"),
        (None, "a-b"),
        (Some("c2"), "a b"),
        (Some("c1-x"), ""),
        (Some(""), ""),
    ] {
        let data = serde_json::json!({"message": "x"});
        assert!(
            sidecar.put_event(id, scope, data).await.is_err(),
            "{id:?} {scope}"
        );
    }
    assert!(service.events().is_empty());
    let data = serde_json::json!({"message": "x"});
    sidecar
        .put_event(Some("run1"), "dataset", data)
        .await
        .unwrap();
    assert_eq!(
        service.events()[0].uri.query(),
        Some("id=run1&scope=dataset")
    );
}
