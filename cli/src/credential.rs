//! Who the owner is towards Azure.
//!
//! A service principal from the environment (`AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`, with
//! `AZURE_AUTHORITY_HOST`), as Azure's own tools read it, else whoever `az` is logged in as.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use sidecar_http::{HttpsClient, Request, Trust};
use url::Url;
use zeroize::Zeroizing;

use crate::CliError;

const HOP: &str = "Entra ID";
const AZ_PATIENCE: Duration = Duration::from_secs(60);

/// A bearer token, wiped when dropped.
pub(crate) type AccessToken = Zeroizing<String>;

/// The client of everything Azure: web roots, and one more from `CLEANROOM_CA_FILE` for private clouds.
pub(crate) fn https() -> Result<HttpsClient, CliError> {
    Ok(HttpsClient::new(&trust()?)?)
}

/// Whom [`https`] believes.
pub(crate) fn trust() -> Result<Trust, CliError> {
    let Some(path) = std::env::var_os("CLEANROOM_CA_FILE").filter(|path| !path.is_empty()) else {
        return Ok(Trust::web());
    };
    let path = std::path::PathBuf::from(path);
    let pem =
        std::fs::read(&path).map_err(|error| CliError::io(path.display().to_string(), error))?;
    Ok(Trust::web().with_extra_pem(&pem)?)
}

/// A token for an audience such as `https://vault.azure.net`.
pub(crate) async fn token(client: &HttpsClient, audience: &str) -> Result<AccessToken, CliError> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (
        set("AZURE_TENANT_ID"),
        set("AZURE_CLIENT_ID"),
        set("AZURE_CLIENT_SECRET").map(Zeroizing::new),
    ) {
        (Some(tenant), Some(id), Some(secret)) => {
            let authority = set("AZURE_AUTHORITY_HOST");
            let authority = authority
                .as_deref()
                .unwrap_or("https://login.microsoftonline.com");
            by_secret(client, authority, &tenant, &id, &secret, audience).await
        }
        _ => by_az(audience).await,
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
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
) -> Result<AccessToken, CliError> {
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
    Ok(Zeroizing::new(response.json::<Granted>(HOP)?.access_token))
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
