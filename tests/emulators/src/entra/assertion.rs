//! A federated assertion: registered issuer, subject and audience, then the issuer's published key, then the lifetime.
use serde_json::Value;
use time::OffsetDateTime;
use url::Url;

use super::fault::EntraFault;
use super::jwt::{Jwt, PublicKey};
use super::{Client, Fetcher};

/// Clocks of issuers may be off by so many seconds.
const SKEW: i64 = 300;

pub(super) async fn judge(
    assertion: &str,
    client: &Client,
    fetch: &Fetcher,
) -> Result<(), EntraFault> {
    let jwt = Jwt::parse(assertion)
        .map_err(|e| EntraFault::proof(50027, format!("JWT token is invalid: {e}.")))?;
    let text = |name: &str| jwt.claim(name).and_then(Value::as_str).unwrap_or_default();
    let (issuer, subject) = (text("iss"), text("sub"));
    let audiences = audiences(&jwt);
    let known: Vec<_> = client.federated.values().collect();
    let mismatch = |number, what: &str, actual: &str| {
        EntraFault::proof(
            number,
            format!(
                "No matching federated identity record found for presented assertion {what} '{actual}'."
            ),
        )
    };
    if known.is_empty() {
        return Err(EntraFault::proof(
            70021,
            "No matching federated identity record found for presented assertion.",
        ));
    }
    let of_issuer: Vec<_> = known
        .into_iter()
        .filter(|record| record.issuer == issuer)
        .collect();
    if of_issuer.is_empty() {
        return Err(mismatch(700_211, "issuer", issuer));
    }
    let of_subject: Vec<_> = of_issuer
        .into_iter()
        .filter(|record| record.subject == subject)
        .collect();
    if of_subject.is_empty() {
        return Err(mismatch(700_213, "subject", subject));
    }
    let for_audience = |record: &&super::FederatedCredential| {
        record
            .audiences
            .iter()
            .any(|audience| audiences.contains(audience))
    };
    if !of_subject.iter().any(for_audience) {
        return Err(mismatch(700_212, "audience", &audiences.join(" ")));
    }
    if !matches!(jwt.header("alg"), Some("RS256" | "PS256")) {
        return Err(EntraFault::proof(
            5_002_738,
            "The algorithm of the assertion is not supported.",
        ));
    }
    let keys = published_keys(issuer, fetch).await?;
    let kid = jwt.header("kid").unwrap_or_default();
    let Some(key) = keys
        .iter()
        .find(|key| key.get("kid").and_then(Value::as_str) == Some(kid))
    else {
        return Err(EntraFault::proof(
            700_027,
            format!("The key was not found: '{kid}'."),
        ));
    };
    let key = PublicKey::from_jwk(key)
        .map_err(|e| EntraFault::proof(50166, format!("Unusable key: {e}.")))?;
    if !key.verifies(&jwt) {
        return Err(EntraFault::proof(
            700_027,
            "Client assertion failed signature validation.",
        ));
    }
    lifetime(&jwt)
}

fn lifetime(jwt: &Jwt) -> Result<(), EntraFault> {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let begun = ["nbf", "iat"]
        .iter()
        .all(|name| jwt.date(name).is_none_or(|date| date <= now + SKEW));
    if begun && jwt.date("exp").is_some_and(|exp| exp > now - SKEW) {
        return Ok(());
    }
    Err(EntraFault::proof(
        700_024,
        "Client assertion is not within its valid time range.",
    ))
}

fn audiences(jwt: &Jwt) -> Vec<String> {
    match jwt.claim("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => all
            .iter()
            .filter_map(Value::as_str)
            .map(ToOwned::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// The keys behind `<issuer>/.well-known/openid-configuration`, which must name the issuer itself.
async fn published_keys(issuer: &str, fetch: &Fetcher) -> Result<Vec<Value>, EntraFault> {
    let unreachable = |why: String| {
        EntraFault::proof(
            50166,
            format!("Request to External OIDC endpoint failed: {why}."),
        )
    };
    let read = async |url: &str| -> Result<Value, EntraFault> {
        let parsed = Url::parse(url).map_err(|e| unreachable(e.to_string()))?;
        if parsed.scheme() != "https" {
            return Err(unreachable("not https".to_owned()));
        }
        let body = fetch(parsed).await.map_err(unreachable)?;
        serde_json::from_slice(&body).map_err(|e| unreachable(e.to_string()))
    };
    let discovery = read(&format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    ))
    .await?;
    if discovery.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(unreachable(
            "the discovery document names another issuer".to_owned(),
        ));
    }
    let keys = discovery
        .get("jwks_uri")
        .and_then(Value::as_str)
        .ok_or_else(|| unreachable("no jwks_uri".to_owned()))?;
    let keys = read(keys).await?;
    let keys = keys.get("keys").and_then(Value::as_array).cloned();
    keys.ok_or_else(|| unreachable("no keys".to_owned()))
}
