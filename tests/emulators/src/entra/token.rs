//! The token endpoint.
use axum::Json;
use axum::extract::{Path, State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::EntraFault;
use super::{Client, Entra, LIFETIME, RESOURCES, assertion};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    grant_type: String,
    client_id: String,
    scope: String,
    client_secret: Option<String>,
    client_assertion: Option<String>,
    client_assertion_type: String,
}

pub(super) async fn answer(
    State(entra): State<Entra>,
    Path(tenant): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, EntraFault> {
    let form: Form = serde_urlencoded::from_bytes(&body).map_err(|e| {
        EntraFault::request(900_144, format!("The request body is not a form: {e}."))
    })?;
    let client = entra.find(&tenant, &form.client_id)?;
    let audience = audience(&form.scope)?;
    if form.grant_type != "client_credentials" {
        let text = format!("The grant type '{}' is not supported.", form.grant_type);
        return Err(EntraFault::new(
            http::StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            70003,
            text,
        ));
    }
    prove(&entra, &form, &client).await?;
    let token = entra
        .issue(&tenant, &form.client_id, &audience, LIFETIME)
        .map_err(|e| EntraFault::request(90033, format!("No token: {e}.")))?;
    Ok(Json(json!({
        "token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME, "access_token": token,
    })))
}

async fn prove(entra: &Entra, form: &Form, client: &Client) -> Result<(), EntraFault> {
    match (&form.client_secret, &form.client_assertion) {
        (Some(secret), None) if client.secret.as_ref() == Some(secret) => Ok(()),
        (Some(_), None) => Err(EntraFault::proof(
            7_000_215,
            format!(
                "Invalid client secret provided for application '{}'.",
                form.client_id
            ),
        )),
        (None, Some(assertion)) if form.client_assertion_type == JWT_BEARER => {
            assertion::judge(assertion, client, &entra.0.fetch).await
        }
        (None, Some(_)) => Err(EntraFault::request(
            900_144,
            "client_assertion_type is not jwt-bearer.",
        )),
        _ => Err(EntraFault::proof(
            7_000_218,
            "The request body must contain either 'client_assertion' or 'client_secret', and not both.",
        )),
    }
}

/// The audience behind one `…/.default` scope.
fn audience(scope: &str) -> Result<String, EntraFault> {
    let Some(audience) = scope
        .strip_suffix("/.default")
        .filter(|audience| !audience.contains(' '))
    else {
        let text = format!(
            "The provided value for scope {scope} is not valid. It must end with /.default."
        );
        return Err(EntraFault::new(
            http::StatusCode::BAD_REQUEST,
            "invalid_scope",
            1_002_012,
            text,
        ));
    };
    if !RESOURCES.contains(&audience.trim_end_matches('/')) {
        let text = format!("The resource principal named {audience} was not found in the tenant.");
        return Err(EntraFault::new(
            http::StatusCode::BAD_REQUEST,
            "invalid_resource",
            500_011,
            text,
        ));
    }
    Ok(audience.to_owned())
}
