//! Federated credentials of managed identities, as the resource manager takes them.
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Entra, FederatedCredential};

pub(super) const PATH: &str = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/\
                               userAssignedIdentities/{identity}/federatedIdentityCredentials/{name}";
const AUDIENCE: &str = "https://management.azure.com";

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Resource {
    subscription: String,
    group: String,
    identity: String,
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Version {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    issuer: String,
    subject: String,
    audiences: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Refusal(StatusCode, &'static str, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (
            self.0,
            Json(json!({"error": {"code": self.1, "message": self.2}})),
        )
            .into_response()
    }
}

/// The tenant and client id of the identity, if the bearer may manage it.
fn authorize(
    entra: &Entra,
    headers: &HeaderMap,
    version: &Version,
    resource: &Resource,
) -> Result<(String, String), Refusal> {
    if version.api_version.is_none() {
        let text = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            "MissingApiVersionParameter",
            text.to_owned(),
        ));
    }
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| {
        Refusal(
            StatusCode::UNAUTHORIZED,
            "AuthenticationFailed",
            "The 'Authorization' header is missing.".to_owned(),
        )
    })?;
    let principal = entra
        .verify(token, AUDIENCE)
        .map_err(|why| Refusal(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", why))?;
    // A tenant sees its own identities only; those of others do not exist for it.
    let found = entra.tenants(|tenants| {
        let tenant = tenants.get(&principal.tenant_id)?;
        let named = tenant.clients.iter().find(|(_, client)| {
            client
                .identity
                .as_deref()
                .is_some_and(|name| name.eq_ignore_ascii_case(&resource.identity))
        });
        named.map(|(client_id, _)| client_id.clone())
    });
    let client = found.ok_or_else(|| {
        let text = format!(
            "The Resource 'Microsoft.ManagedIdentity/userAssignedIdentities/{}' was not found.",
            resource.identity
        );
        Refusal(StatusCode::NOT_FOUND, "ResourceNotFound", text)
    })?;
    Ok((principal.tenant_id, client))
}

pub(super) async fn put(
    State(entra): State<Entra>,
    Path(resource): Path<Resource>,
    Query(version): Query<Version>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let (tenant, client) = authorize(&entra, &headers, &version, &resource)?;
    let invalid = |text: String| Refusal(StatusCode::BAD_REQUEST, "BadRequest", text);
    let Body { properties } =
        serde_json::from_slice(&body).map_err(|e| invalid(format!("The body: {e}")))?;
    if properties.audiences.len() != 1 {
        return Err(invalid("Exactly one audience is required.".to_owned()));
    }
    if properties.issuer.is_empty() || properties.subject.is_empty() {
        return Err(invalid("Issuer and subject are required.".to_owned()));
    }
    let credential = FederatedCredential {
        issuer: properties.issuer,
        subject: properties.subject,
        audiences: properties.audiences,
    };
    let taken = entra.client(&tenant, &client, |client| {
        // The service allows one record per issuer and subject.
        let mut others = client
            .federated
            .iter()
            .filter(|(name, _)| **name != resource.name);
        others.any(|(_, other)| {
            other.issuer == credential.issuer && other.subject == credential.subject
        })
    });
    if taken {
        let text = "Issuer and subject combination already exists for this Managed Identity.";
        return Err(Refusal(StatusCode::CONFLICT, "Conflict", text.to_owned()));
    }
    let shown = show(&resource, &credential);
    let replaced = entra.client(&tenant, &client, |client| {
        client.federated.insert(resource.name.clone(), credential)
    });
    Ok((
        if replaced.is_some() {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        },
        Json(shown),
    ))
}

pub(super) async fn get(
    State(entra): State<Entra>,
    Path(resource): Path<Resource>,
    Query(version): Query<Version>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let (tenant, client) = authorize(&entra, &headers, &version, &resource)?;
    let found = entra.client(&tenant, &client, |client| {
        client.federated.get(&resource.name).cloned()
    });
    let found = found.ok_or_else(|| {
        Refusal(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("{} was not found.", resource.name),
        )
    })?;
    Ok(Json(show(&resource, &found)))
}

pub(super) async fn delete(
    State(entra): State<Entra>,
    Path(resource): Path<Resource>,
    Query(version): Query<Version>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let (tenant, client) = authorize(&entra, &headers, &version, &resource)?;
    let gone = entra.client(&tenant, &client, |client| {
        client.federated.remove(&resource.name)
    });
    Ok(if gone.is_some() {
        StatusCode::OK
    } else {
        StatusCode::NO_CONTENT
    })
}

fn show(resource: &Resource, credential: &FederatedCredential) -> Value {
    let Resource {
        subscription,
        group,
        identity,
        name,
    } = resource;
    json!({
        "id": format!(
            "/subscriptions/{subscription}/resourcegroups/{group}/providers/Microsoft.ManagedIdentity/\
             userAssignedIdentities/{identity}/federatedIdentityCredentials/{name}"
        ),
        "name": name,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        "properties": {
            "issuer": credential.issuer, "subject": credential.subject, "audiences": credential.audiences,
        },
    })
}
