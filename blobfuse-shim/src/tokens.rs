//! Storage tokens from `identity`.

use std::time::Duration;

use blob_store::{CachedTokens, Token, TokenSource};
use serde::Deserialize;
use sidecar_http::{Coded, UnixClient};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::form_urlencoded;

use crate::ShimError;

const SCOPE: &str = "https://storage.azure.com/.default";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    token: String,
    expires_on: String,
}

/// Tokens of one identity, kept for most of their life.
pub(crate) fn source(identity: UnixClient, tenant: &str, client: &str) -> impl TokenSource {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("scope", SCOPE)
        .append_pair("tenantId", tenant)
        .append_pair("clientId", client)
        .finish();
    let path = format!("/metadata/identity/oauth2/token?{query}");
    CachedTokens::new(move || {
        let (identity, path) = (identity.clone(), path.clone());
        Box::pin(async move {
            let fetched = fetch(&identity, &path).await;
            fetched.map_err(|error| Box::new(error) as Box<dyn Coded>)
        })
    })
}

async fn fetch(identity: &UnixClient, path: &str) -> Result<(Token, Duration), ShimError> {
    let answer: Answer = identity.get_json(path).await?;
    let token = Token::new(answer.token);
    let until = OffsetDateTime::parse(&answer.expires_on, &Rfc3339);
    let life = until.map_err(|_| ShimError::NotAToken)? - OffsetDateTime::now_utc();
    // A clock that is wrong costs requests, not availability.
    Ok((token, life.try_into().unwrap_or(Duration::ZERO)))
}
