use std::time::Duration;

use governance_client::GovernanceClient;
use serde::Deserialize;
use sidecar_http::{HttpsClient, Request};
use url::Url;
use zeroize::Zeroizing;

use crate::{Config, IdentityError, IssueToken, Token};

const HOP: &str = "Entra ID";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Buys tokens with ID tokens of the governance service.
#[derive(Debug)]
pub struct Federated {
    config: Config,
    governance: GovernanceClient,
    https: HttpsClient,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Federated {
    /// An issuer of the configured identities.
    pub const fn new(config: Config, governance: GovernanceClient, https: HttpsClient) -> Self {
        Self {
            config,
            governance,
            https,
        }
    }
}

impl IssueToken for Federated {
    #[tracing::instrument(name = "token.exchange", skip_all, fields(client_id, scope))]
    async fn issue(
        &self,
        tenant: &str,
        client_id: &str,
        scope: &str,
    ) -> Result<Token, IdentityError> {
        let identity = self.config.identities.get(client_id).ok_or_else(|| {
            IdentityError::UnknownIdentity {
                client_id: client_id.to_owned(),
            }
        })?;
        let assertion = self
            .governance
            .id_token(&identity.subject, tenant, &identity.audience)
            .await
            .map_err(IdentityError::IdToken)?;
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.config.authority);
        let url = Url::parse(&url).map_err(|error| IdentityError::Config {
            reason: error.to_string(),
        })?;
        let request = Request::post(HOP, url).form(&[
            ("client_id", client_id),
            ("scope", scope),
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", &assertion),
        ]);
        let response = self.https.send_retrying(&request).await?;
        if !response.status.is_success() {
            let reason = match response.json::<Refused>(HOP) {
                Ok(refused) => format!("{}: {}", refused.error, refused.error_description),
                Err(_) => "no reason given".to_owned(),
            };
            return Err(IdentityError::Refused {
                status: response.status,
                reason,
            });
        }
        let granted: Granted = response.json(HOP)?;
        Ok(Token::new(
            Zeroizing::new(granted.access_token),
            Duration::from_secs(granted.expires_in.min(86_400)),
        ))
    }
}
