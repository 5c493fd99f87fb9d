//! The client against a socket that answers as the sidecar does.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, post, put};
use axum::{Json, Router};
use governance_client::{Consent, GovernanceClient, GovernanceError, Scope};
use serde_json::{Value, json};
use sidecar_http::{Coded, Fault, UnixClient, WireError};

/// One route on a socket of our own, without the table of callers: who may call is the sidecar's test.
fn sidecar(path: &str, method: MethodRouter) -> (GovernanceClient, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("governance.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let router = Router::new().route(path, method);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let uid = nix::unistd::geteuid().as_raw();
    (GovernanceClient::new(UnixClient::new(socket, uid)), dir)
}

async fn consent(answer: Value) -> Result<Consent, GovernanceError> {
    let answer = move || async move { ([("x-ms-ccf-transaction-id", "2.7")], Json(answer)) };
    let (client, _dir) = sidecar("/consentcheck/execution", post(answer));
    client.consent(Scope::Execution).await
}

#[tokio::test]
async fn only_the_word_enabled_is_consent() {
    let granted = consent(json!({"status": "enabled"})).await.unwrap();
    assert_eq!(granted.scope(), Scope::Execution);
    assert_eq!(granted.as_of().unwrap().to_string(), "2.7");
    for status in ["Enabled", "enabled ", "", "true"] {
        let refused = consent(json!({"status": status})).await;
        assert!(
            matches!(refused, Err(GovernanceError::Answer { .. })),
            "{status}"
        );
    }
    assert!(matches!(
        consent(json!({})).await,
        Err(GovernanceError::Unreadable(_))
    ));
}

#[tokio::test]
async fn a_disabled_contract_is_an_error_that_names_the_reason() {
    let answer = json!({"status": "disabled", "reason": {
        "code": "ContractDisabled",
        "message": "Contract has been disabled by the following member(s): m[ab]."}});
    let error = consent(answer).await.unwrap_err();
    assert_eq!(
        (error.code(), error.fault()),
        ("CR-GOV-0020", Fault::Denied)
    );
    assert!(
        error
            .to_string()
            .contains("ContractDisabled: Contract has been disabled")
    );
}

#[tokio::test]
async fn a_refusal_of_the_service_keeps_its_code_and_its_verdict() {
    let refuse = || async {
        WireError::new(
            StatusCode::BAD_REQUEST,
            "VerifySnpAttestationFailed",
            "no policy",
        )
        .into_response()
    };
    let (client, _dir) = sidecar("/events", put(refuse));
    let error = client.put_event("", &json!({})).await.unwrap_err();
    assert_eq!(error.code(), "VerifySnpAttestationFailed");
    assert_eq!(error.fault(), Fault::Caller);
}

#[tokio::test]
async fn an_event_without_a_transaction_id_counts_as_not_recorded() {
    let (client, _dir) = sidecar("/events", put(async || StatusCode::OK));
    let error = client.put_event("", &json!({})).await.unwrap_err();
    assert!(matches!(error, GovernanceError::Answer { .. }));
}

#[tokio::test]
async fn unsafe_values_never_leave_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let client = GovernanceClient::new(UnixClient::new(dir.path().join("none.sock"), 1));
    for (sub, tenant, aud) in [("a&sub=b", "t", "x"), ("a", "t%26", "x"), ("a", "t", "")] {
        let error = client.id_token(sub, tenant, aud).await.unwrap_err();
        assert_eq!(error.code(), "CR-GOV-0021");
    }
    let error = client.put_event("a b", &json!({})).await.unwrap_err();
    assert_eq!(error.code(), "CR-GOV-0021");
}

#[tokio::test]
async fn the_audience_arrives_unescaped() {
    let echo = |Query(query): Query<Vec<(String, String)>>| async move {
        Json(
            json!({"value": query.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")}),
        )
    };
    let (client, _dir) = sidecar("/oauth/token", post(echo));
    let token = client
        .id_token("c1", "t1", "api://AzureADTokenExchange")
        .await
        .unwrap();
    assert_eq!(*token, "sub=c1 tenantId=t1 aud=api://AzureADTokenExchange");
}
