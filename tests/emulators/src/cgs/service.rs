//! What the node and the service say of themselves.
use http::StatusCode;
use serde_json::json;

use super::reply::{Answer, Refusal, Reply};
use super::routes::Exchange;

const API_VERSIONS: [&str; 2] = ["2023-06-01-preview", "2024-07-01"];

/// Every `/gov` call names a version.
pub(super) fn check_api_version(ex: &Exchange<'_>) -> Result<(), Refusal> {
    match ex.query.get("api-version") {
        None => Err(Refusal::bad(
            "MissingApiVersionParameter",
            "The api-version query parameter is required.",
        )),
        Some(version) if API_VERSIONS.contains(&version) => Ok(()),
        Some(version) => Err(Refusal::bad(
            "UnsupportedApiVersionValue",
            format!(
                "Unsupported api-version '{version}'. The supported versions are: {}.",
                API_VERSIONS.join(", ")
            ),
        )),
    }
}

pub(super) fn network(ex: &mut Exchange<'_>) -> Answer {
    Reply::json(&json!({
        "service_status": "Open",
        "service_certificate": ex.cgs.identity.service_pem(),
        "current_view": ex.state.ledger.answered().view,
        "primary_id": ex.cgs.identity.node_id(),
        "recovery_count": 0,
        "service_data": null,
        "current_service_create_txid": "2.1",
    }))
}

pub(super) fn transaction(ex: &mut Exchange<'_>) -> Answer {
    let id = ex
        .query
        .get("transaction_id")
        .unwrap_or_default()
        .to_owned();
    let status = status(ex, &id)?;
    Reply::json(&json!({"transaction_id": id, "status": status}))
}

pub(super) fn commit(ex: &mut Exchange<'_>) -> Answer {
    let id = ex.state.ledger.committed().to_string();
    Reply::json(&json!({"transaction_id": id}))
}

pub(super) fn gov_transaction(ex: &mut Exchange<'_>) -> Answer {
    check_api_version(ex)?;
    let id = match ex.param(0).as_str() {
        "commit" => ex.state.ledger.committed().to_string(),
        id => id.to_owned(),
    };
    let status = status(ex, &id)?;
    Reply::json(&json!({"transactionId": id, "status": status}))
}

fn status(ex: &mut Exchange<'_>, id: &str) -> Result<&'static str, Refusal> {
    ex.state.ledger.status(id).ok_or_else(|| {
        let message = format!("'{id}' is no transaction id, which is <view>.<seqno>.");
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "InvalidQueryParameterValue",
            message,
        )
    })
}

pub(super) fn info(ex: &mut Exchange<'_>) -> Answer {
    check_api_version(ex)?;
    Reply::json(&json!({
        "status": "Open",
        "certificate": ex.cgs.identity.service_pem(),
        "recoveryCount": 0,
        "creationTransactionId": "2.1",
        "serviceData": null,
        "configuration": {
            "recoveryThreshold": ex.state.tables.recovery_threshold,
            "maximumNodeCertificateValidityDays": 365,
            "maximumServiceCertificateValidityDays": 365,
            "recentCoseProposalsWindowSize": super::gov::RECENT,
        },
    }))
}

pub(super) fn members(ex: &mut Exchange<'_>) -> Answer {
    check_api_version(ex)?;
    let members: Vec<_> = ex
        .state
        .tables
        .members
        .iter()
        .map(|(id, member)| member.shown(id))
        .collect();
    Reply::json(&json!({"value": members}))
}
