//! Who the owner is towards Azure.
//!
//! A service principal from the environment (`AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`, with
//! `AZURE_AUTHORITY_HOST`), as Azure's own tools read it, else whoever `az` is logged in as.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use blob_store::{CachedTokens, Token, TokenSource};
use serde::Deserialize;
use sidecar_http::{Coded, HttpsClient, Request, Trust};
use url::Url;
use zeroize::Zeroizing;

use crate::CliError;

const HOP: &str = "Entra ID";
const STORAGE: &str = "https://storage.azure.com";
const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com";
const AZ_PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer without a lifetime is used. `az` renews what it hands out by itself.
const SHORT: Duration = Duration::from_secs(300);

/// A bearer token, wiped when dropped.
pub(crate) type AccessToken = Zeroizing<String>;

/// How commands reach Azure, if they need to: nothing is read before.
pub(crate) struct Access {
    ca_file: Option<PathBuf>,
    #[cfg(test)]
    pub(crate) given: Option<Azure>,
}

impl Access {
    /// With the PEM file of one more root, for private clouds.
    pub(crate) const fn new(ca_file: Option<PathBuf>) -> Self {
        Self {
            ca_file,
            #[cfg(test)]
            given: None,
        }
    }

    /// The PEM of the one more root.
    pub(crate) fn extra_roots(&self) -> Result<Option<Vec<u8>>, CliError> {
        let path = self.ca_file.as_deref();
        let path = path.filter(|path| !path.as_os_str().is_empty());
        path.map(read_roots).transpose()
    }

    /// Reads the roots and the credential.
    pub(crate) fn azure(&self) -> Result<Azure, CliError> {
        #[cfg(test)]
        if let Some(azure) = &self.given {
            return Ok(azure.clone());
        }
        let trust = trust(self.ca_file.as_deref())?;
        Ok(Azure::new(
            HttpsClient::new(&trust)?,
            trust,
            Login::of_environment(),
        ))
    }
}

fn trust(ca_file: Option<&Path>) -> Result<Trust, CliError> {
    let Some(path) = ca_file.filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(Trust::web());
    };
    Ok(Trust::web().with_extra_pem(&read_roots(path)?)?)
}

fn read_roots(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| CliError::io(path.display().to_string(), error))
}

/// Who the owner is.
pub(crate) enum Login {
    /// A service principal.
    Secret {
        authority: String,
        tenant: String,
        id: String,
        secret: Zeroizing<String>,
    },
    /// Whoever `az` is logged in as.
    Az,
}

impl Login {
    fn of_environment() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (
            set("AZURE_TENANT_ID"),
            set("AZURE_CLIENT_ID"),
            set("AZURE_CLIENT_SECRET").map(Zeroizing::new),
        ) {
            (Some(tenant), Some(id), Some(secret)) => Self::Secret {
                authority: set("AZURE_AUTHORITY_HOST")
                    .unwrap_or_else(|| PUBLIC_AUTHORITY.to_owned()),
                tenant,
                id,
                secret,
            },
            _ => Self::Az,
        }
    }
}

/// Azure as the owner. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Azure {
    client: HttpsClient,
    trust: Trust,
    login: Arc<Login>,
}

impl Azure {
    pub(crate) fn new(client: HttpsClient, trust: Trust, login: Login) -> Self {
        Self {
            client,
            trust,
            login: Arc::new(login),
        }
    }

    /// The client of everything Azure.
    pub(crate) fn client(&self) -> HttpsClient {
        self.client.clone()
    }

    /// Whose certificates are believed.
    pub(crate) fn trust(&self) -> Trust {
        self.trust.clone()
    }

    /// A token for an audience such as `https://vault.azure.net`.
    pub(crate) async fn token(&self, audience: &str) -> Result<AccessToken, CliError> {
        Ok(self.fetch(audience).await?.0)
    }

    /// Tokens for blob storage, renewed as long as a transfer lasts.
    pub(crate) fn storage_tokens(&self) -> Arc<dyn TokenSource> {
        let azure = self.clone();
        Arc::new(CachedTokens::new(move || {
            let azure = azure.clone();
            Box::pin(async move {
                match azure.fetch(STORAGE).await {
                    Ok((token, life)) => Ok((Token::new(token.to_string()), life)),
                    Err(error) => Err(Box::new(error) as Box<dyn Coded>),
                }
            })
        }))
    }

    async fn fetch(&self, audience: &str) -> Result<(AccessToken, Duration), CliError> {
        match &*self.login {
            Login::Secret {
                authority,
                tenant,
                id,
                secret,
            } => by_secret(&self.client, authority, tenant, id, secret, audience).await,
            Login::Az => Ok((by_az(audience).await?, SHORT)),
        }
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refused {
    error_description: String,
}

async fn by_secret(
    client: &HttpsClient,
    authority: &str,
    tenant: &str,
    id: &str,
    secret: &str,
    audience: &str,
) -> Result<(AccessToken, Duration), CliError> {
    let url = format!(
        "{}/{tenant}/oauth2/v2.0/token",
        authority.trim_end_matches('/')
    );
    let url = Url::parse(&url).map_err(|error| CliError::Credential {
        reason: format!("{url}: {error}"),
    })?;
    let request = Request::post(HOP, url).form(&[
        ("client_id", id),
        ("client_secret", secret),
        ("scope", &format!("{audience}/.default")),
        ("grant_type", "client_credentials"),
    ]);
    let response = client.send_retrying(&request).await?;
    if !response.status.is_success() {
        let reason = match response.json::<Refused>(HOP) {
            Ok(refused) => refused.error_description,
            Err(_) => response.status.to_string(),
        };
        return Err(CliError::Login { reason });
    }
    let granted: Granted = response.json(HOP)?;
    let life = granted.expires_in.map_or(SHORT, Duration::from_secs);
    Ok((Zeroizing::new(granted.access_token), life))
}

async fn by_az(audience: &str) -> Result<AccessToken, CliError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        access_token: String,
    }
    let none = |reason: String| CliError::Credential {
        reason: format!("AZURE_CLIENT_SECRET and its companions are not set, and az: {reason}"),
    };
    let command = tokio::process::Command::new("az")
        .args([
            "account",
            "get-access-token",
            "--output",
            "json",
            "--resource",
            audience,
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(AZ_PATIENCE, command)
        .await
        .map_err(|_| none("gave no answer".to_owned()))?
        .map_err(|error| none(error.to_string()))?;
    if !output.status.success() {
        return Err(none("is not logged in".to_owned()));
    }
    let answer: Answer =
        serde_json::from_slice(&output.stdout).map_err(|error| none(error.to_string()))?;
    Ok(Zeroizing::new(answer.access_token))
}
