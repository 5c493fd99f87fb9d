use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use sidecar_http::{HttpsClient, Request};
use time::OffsetDateTime;
use url::{Position, Url};
use zeroize::Zeroizing;

use crate::{AccessToken, IdentityError};

const HOP: &str = "Entra ID";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const BUDGET: Duration = Duration::from_secs(30);
const ANSWER_CAP: usize = 256 << 10;

/// The token endpoint of one authority. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EntraClient {
    https: HttpsClient,
    authority: Url,
}

#[derive(Deserialize)]
struct Granted {
    #[serde(deserialize_with = "secret")]
    access_token: Zeroizing<String>,
    expires_in: u64,
    token_type: String,
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl EntraClient {
    /// A client of `authority`, an https origin.
    ///
    /// # Errors
    /// [`IdentityError::Authority`].
    pub fn new(https: HttpsClient, authority: Url) -> Result<Self, IdentityError> {
        let refuse = |reason| Err(IdentityError::Authority { reason });
        if authority.scheme() != "https" || authority.host_str().is_none() {
            return refuse("not an https URL");
        }
        if !authority.username().is_empty() || authority.password().is_some() {
            return refuse("holds credentials");
        }
        if &authority[Position::BeforePath..] != "/" {
            return refuse("holds a path, query or fragment");
        }
        Ok(Self { https, authority })
    }

    /// Exchanges an assertion for an access token.
    ///
    /// # Errors
    /// Entra ID's refusal in its own words, or no usable answer.
    #[tracing::instrument(name = "entra.exchange", skip_all, fields(tenant = tenant, client_id = client_id, scope = scope))]
    pub async fn exchange(
        &self,
        tenant: &str,
        client_id: &str,
        scope: &str,
        assertion: &str,
    ) -> Result<AccessToken, IdentityError> {
        let mut url = self.authority.clone();
        url.path_segments_mut()
            .map_err(|()| IdentityError::Authority {
                reason: "no base of a path",
            })?
            .clear()
            .extend([tenant, "oauth2", "v2.0", "token"]);
        let request = Request::post(HOP, url)
            .form(&[
                ("client_id", client_id),
                ("scope", scope),
                ("grant_type", "client_credentials"),
                ("client_assertion_type", JWT_BEARER),
                ("client_assertion", assertion),
            ])
            .budget(BUDGET)
            .body_cap(ANSWER_CAP);
        let response = self.https.send_retrying(&request).await?;
        if response.status != StatusCode::OK {
            return Err(refusal(response.status, &response.body));
        }
        // The clock is read after the answer: the token must not seem to live longer than it does by the round trip.
        let granted: Granted = response.json(HOP)?;
        if !granted.token_type.eq_ignore_ascii_case("Bearer") || granted.access_token.is_empty() {
            return Err(IdentityError::Answer {
                what: "no bearer token",
            });
        }
        let lifetime = i64::try_from(granted.expires_in)
            .ok()
            .and_then(|seconds| {
                OffsetDateTime::now_utc().checked_add(time::Duration::seconds(seconds))
            })
            .ok_or(IdentityError::Answer {
                what: "no usable expires_in",
            })?;
        Ok(AccessToken::new(granted.access_token, lifetime))
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> IdentityError {
    let parsed = serde_json::from_slice::<Refusal>(body).ok();
    let words = |text: &str| -> String {
        let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        line.take(600).collect()
    };
    let description = match &parsed {
        Some(refusal) if !refusal.error_description.is_empty() => words(&refusal.error_description),
        _ => status.to_string(),
    };
    match (status.as_u16(), parsed) {
        (408 | 429 | 500..=599, _) => IdentityError::Unavailable { description },
        (_, Some(refusal)) => IdentityError::Refused {
            error: words(&refusal.error),
            description,
        },
        (_, None) => IdentityError::Refused {
            error: status.as_u16().to_string(),
            description,
        },
    }
}
