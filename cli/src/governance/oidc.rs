use std::io::Write;
use std::path::PathBuf;

use cleanroom_crypto::random;
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use super::{ClientStore, Connection, GovCliError, Output, Shared, contract, files};

/// `cleanroom governance oidc-issuer`
#[derive(clap::Subcommand, Debug)]
pub enum OidcCommand {
    /// Proposes that CGS issues ID tokens.
    ProposeEnable {
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Has CGS make the signing key, or prints the one it has.
    GenerateSigningKey {
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Sets the issuer URL of the own tenant, at once.
    SetIssuerUrl {
        /// Issuer URL: where the two documents are published.
        #[arg(long)]
        url: String,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Prints whether CGS issues tokens, and under which URL.
    Show {
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
    /// Writes `openid-configuration.json` and `jwks.json` for publication below the issuer URL, as
    /// `.well-known/openid-configuration` and `openid/v1/jwks`.
    ShowDocuments {
        /// Directory for the two files.
        #[arg(long)]
        output_dir: PathBuf,
        /// Issuer URL; default: the one that is set.
        #[arg(long)]
        url: Option<String>,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

pub(crate) async fn run(
    store: &ClientStore,
    command: OidcCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    let open = |shared: &Shared| Connection::open(&store.load(&shared.governance_client)?);
    let (answer, shared) = match command {
        OidcCommand::ProposeEnable { shared } => {
            let kid = hex::encode(random::bytes::<16>()?);
            let connection = open(&shared)?;
            let proposed = connection
                .propose("enable_oidc_issuer", json!({"kid": kid}))
                .await?;
            (proposed, shared)
        }
        OidcCommand::GenerateSigningKey { shared } => {
            let path = "/app/oidc/generateSigningKey";
            (
                open(&shared)?.change(Method::POST, path, None).await?,
                shared,
            )
        }
        OidcCommand::SetIssuerUrl { url, shared } => {
            let body = json!({"url": issuer(&url)?});
            let path = "/app/oidc/setIssuerUrl";
            (
                open(&shared)?
                    .change(Method::POST, path, Some(&body))
                    .await?,
                shared,
            )
        }
        OidcCommand::Show { shared } => (open(&shared)?.get("/app/oidc/issuerInfo").await?, shared),
        OidcCommand::ShowDocuments {
            output_dir,
            url,
            shared,
        } => {
            let connection = open(&shared)?;
            let url = match url {
                Some(url) => url,
                None => issuer_in_use(&connection).await?,
            };
            let url = issuer(&url)?;
            let discovery = connection
                .get("/app/oidc/.well-known/openid-configuration")
                .await?;
            let keys = connection.get("/app/oidc/keys").await?;
            let files = documents(&url, discovery, &keys)?;
            std::fs::create_dir_all(&output_dir).map_err(|source| GovCliError::File {
                path: output_dir.clone(),
                source,
            })?;
            let configuration = output_dir.join("openid-configuration.json");
            let jwks = output_dir.join("jwks.json");
            files::create(&configuration, files.0.as_bytes(), false)?;
            files::create(&jwks, files.1.as_bytes(), false)?;
            let answer = json!({
                "issuer": url,
                "openidConfiguration": {"file": configuration, "url": format!("{url}/.well-known/openid-configuration")},
                "jwks": {"file": jwks, "url": format!("{url}/openid/v1/jwks")},
            });
            (answer, shared)
        }
    };
    Output::new(out, shared.query).print_any(answer)
}

async fn issuer_in_use(connection: &Connection) -> Result<String, GovCliError> {
    let info = connection.get("/app/oidc/issuerInfo").await?;
    let tenant = info
        .get("tenantData")
        .map_or("", |tenant| contract::text(tenant, "issuerUrl"));
    let url = if tenant.is_empty() {
        contract::text(&info, "issuerUrl")
    } else {
        tenant
    };
    if url.is_empty() {
        return Err(GovCliError::Argument {
            argument: "--url",
            reason: "is needed as long as no issuer URL is set".to_owned(),
        });
    }
    Ok(url.to_owned())
}

/// An issuer URL without a slash at its end: verifiers compare the text.
fn issuer(text: &str) -> Result<String, GovCliError> {
    let bad = |reason: String| GovCliError::Argument {
        argument: "--url",
        reason,
    };
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    let plain = url.scheme() == "https"
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty();
    if !plain {
        return Err(bad(
            "must be https without user, query and fragment".to_owned()
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Discovery document and key set as they are published: the service's own, with the issuer and the place of the keys.
fn documents(
    issuer: &str,
    mut discovery: Value,
    keys: &Value,
) -> Result<(String, String), GovCliError> {
    let keyed = keys
        .get("keys")
        .and_then(Value::as_array)
        .is_some_and(|keys| !keys.is_empty());
    let Some(members) = discovery.as_object_mut().filter(|_| keyed) else {
        return Err(GovCliError::Answer {
            what: "no signing keys".to_owned(),
        });
    };
    members.insert("issuer".to_owned(), json!(issuer));
    members.insert(
        "jwks_uri".to_owned(),
        json!(format!("{issuer}/openid/v1/jwks")),
    );
    let text = |value: &Value| {
        serde_json::to_string_pretty(value).map_err(|error| GovCliError::Answer {
            what: error.to_string(),
        })
    };
    Ok((text(&discovery)?, text(keys)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_documents_name_the_issuer_they_are_published_under() {
        let discovery = json!({"issuer": "{placeholder}", "jwks_uri": "{placeholder}/keys", "response_types_supported": ["id_token"]});
        let keys = json!({"keys": [{"kid": "k0-1"}]});
        let url = issuer("https://litwarestore.z1.web.core.windows.net/c1/").unwrap();
        let (discovery, _) = documents(&url, discovery, &keys).unwrap();
        let discovery: Value = serde_json::from_str(&discovery).unwrap();
        assert_eq!(
            discovery["issuer"],
            "https://litwarestore.z1.web.core.windows.net/c1"
        );
        assert_eq!(
            discovery["jwks_uri"],
            "https://litwarestore.z1.web.core.windows.net/c1/openid/v1/jwks"
        );
        assert!(documents(&url, json!({}), &json!({"keys": []})).is_err());
    }

    #[test]
    fn an_issuer_that_is_not_https_is_refused() {
        for url in [
            "http://a.example",
            "https://a.example/?x",
            "a.example",
            "https://a.example/#x",
        ] {
            assert!(issuer(url).is_err(), "{url}");
        }
    }
}
