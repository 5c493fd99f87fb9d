use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::names::segment;
use super::signer::Signer;
use super::{GovCliError, Output, files};

/// `cleanroom governance client`
#[derive(clap::Subcommand, Debug)]
pub enum ClientCommand {
    /// Stores where CGS is and who you are, under a name.
    Deploy {
        /// Name of the governance client.
        #[arg(long)]
        name: String,
        /// URL of the CCF endpoint.
        #[arg(long, short = 'e')]
        ccf_endpoint: String,
        /// Your member certificate (PEM).
        #[arg(long)]
        signing_cert: PathBuf,
        /// The key of that certificate (PEM, P-384).
        #[arg(long)]
        signing_key: PathBuf,
        /// Certificate of the CCF service (PEM): the only one that is trusted.
        #[arg(long, short = 's')]
        service_cert: PathBuf,
    },
    /// Prints a governance client and the member id.
    Show {
        /// Name of the governance client.
        #[arg(long, env = "CLEANROOM_GOVERNANCE_CLIENT")]
        name: String,
        /// Prints one member of the answer.
        #[arg(long, value_name = "PATH")]
        query: Option<String>,
    },
    /// Forgets a governance client; certificate and key stay where they are.
    Remove {
        /// Name of the governance client.
        #[arg(long)]
        name: String,
    },
}

/// The stored form: names of files, no secrets.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Stored {
    ccf_endpoint: Url,
    signing_cert: PathBuf,
    signing_key: PathBuf,
    service_cert: PathBuf,
}

/// A governance client with its files read.
pub struct Workspace {
    /// URL of the CCF endpoint.
    pub ccf_endpoint: Url,
    /// PEM of the CCF service certificate.
    pub service_cert_pem: String,
    pub(crate) cert: Zeroizing<Vec<u8>>,
    pub(crate) key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace")
            .field("ccf_endpoint", &self.ccf_endpoint.as_str())
            .finish_non_exhaustive()
    }
}

/// The directory of governance clients: `$CLEANROOM_CONFIG_DIR/clients`, else `~/.config/cleanroom/clients`.
#[derive(Clone, Debug)]
pub struct ClientStore {
    dir: PathBuf,
}

impl ClientStore {
    /// The directory of this user.
    ///
    /// # Errors
    /// [`GovCliError::Argument`] if neither `CLEANROOM_CONFIG_DIR` nor `HOME` is set.
    pub fn of_user() -> Result<Self, GovCliError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let base = match (set("CLEANROOM_CONFIG_DIR"), set("HOME")) {
            (Some(dir), _) => PathBuf::from(dir),
            (None, Some(home)) => PathBuf::from(home).join(".config/cleanroom"),
            (None, None) => {
                return Err(GovCliError::Argument {
                    argument: "CLEANROOM_CONFIG_DIR",
                    reason: "is not set, and neither is HOME".to_owned(),
                });
            }
        };
        Ok(Self::at(&base))
    }

    /// The directory below `base`.
    pub fn at(base: &Path) -> Self {
        Self {
            dir: base.join("clients"),
        }
    }

    /// Reads a governance client and its files.
    ///
    /// # Errors
    /// There is none of this name, or a file is unreadable.
    pub fn load(&self, name: &str) -> Result<Workspace, GovCliError> {
        let stored = self.stored(name)?;
        Ok(Workspace {
            service_cert_pem: files::read_text(&stored.service_cert)?.to_string(),
            cert: files::read(&stored.signing_cert)?,
            key: files::read(&stored.signing_key)?,
            ccf_endpoint: stored.ccf_endpoint,
        })
    }

    fn stored(&self, name: &str) -> Result<Stored, GovCliError> {
        let path = self.path(name)?;
        if !path.exists() {
            return Err(GovCliError::NoClient {
                name: name.to_owned(),
            });
        }
        serde_json::from_value(files::read_json(&path)?).map_err(|error| GovCliError::Content {
            path,
            reason: error.to_string(),
        })
    }

    fn path(&self, name: &str) -> Result<PathBuf, GovCliError> {
        Ok(self.dir.join(format!("{}.json", segment("--name", name)?)))
    }

    fn save(&self, name: &str, stored: &Stored) -> Result<PathBuf, GovCliError> {
        let path = self.path(name)?;
        std::fs::create_dir_all(&self.dir).map_err(|source| GovCliError::File {
            path: self.dir.clone(),
            source,
        })?;
        let text = serde_json::to_vec_pretty(stored).map_err(|error| GovCliError::Content {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        files::create(&path, &text, true)?;
        Ok(path)
    }
}

pub(crate) fn run(
    store: &ClientStore,
    command: ClientCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    match command {
        ClientCommand::Deploy {
            name,
            ccf_endpoint,
            signing_cert,
            signing_key,
            service_cert,
        } => {
            let stored = Stored {
                ccf_endpoint: endpoint(&ccf_endpoint)?,
                signing_cert: absolute(&signing_cert)?,
                signing_key: absolute(&signing_key)?,
                service_cert: absolute(&service_cert)?,
            };
            let pin = files::read(&stored.service_cert)?;
            sidecar_http::Trust::only_pem_any_name(&pin)?;
            let cert = files::read(&stored.signing_cert)?;
            let signer = Signer::of(&cert, &files::read(&stored.signing_key)?)?;
            let path = store.save(&name, &stored)?;
            let answer = json!({"name": name, "memberId": signer.id(), "file": path});
            Output::new(out, None).print(answer)
        }
        ClientCommand::Show { name, query } => {
            let stored = store.stored(&name)?;
            let workspace = store.load(&name)?;
            let signer = Signer::of(&workspace.cert, &workspace.key)?;
            let answer = json!({
                "name": name,
                "ccfEndpoint": stored.ccf_endpoint,
                "memberId": signer.id(),
                "signingCert": String::from_utf8_lossy(&workspace.cert),
                "signingCertPath": stored.signing_cert,
                "signingKey": "<redacted>",
                "signingKeyPath": stored.signing_key,
                "serviceCert": workspace.service_cert_pem,
                "serviceCertPath": stored.service_cert,
            });
            Output::new(out, query).print(answer)
        }
        ClientCommand::Remove { name } => {
            let path = store.path(&name)?;
            store.stored(&name)?;
            std::fs::remove_file(&path).map_err(|source| GovCliError::File { path, source })
        }
    }
}

fn endpoint(text: &str) -> Result<Url, GovCliError> {
    let bad = |reason: &str| GovCliError::Argument {
        argument: "--ccf-endpoint",
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    let bare = url.scheme() == "https"
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if bare {
        Ok(url)
    } else {
        Err(bad("must be https://host[:port] and nothing else"))
    }
}

fn absolute(path: &Path) -> Result<PathBuf, GovCliError> {
    path.canonicalize().map_err(|source| GovCliError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::keygen;
    use super::*;

    fn deployed(dir: &Path) -> (ClientStore, ClientCommand) {
        let written = keygen::write("litware", dir).unwrap();
        let command = ClientCommand::Deploy {
            name: "litware".to_owned(),
            ccf_endpoint: "https://cgs.operator.example:8443".to_owned(),
            service_cert: written.cert.clone(),
            signing_cert: written.cert,
            signing_key: written.key,
        };
        (ClientStore::at(&dir.join("config")), command)
    }

    #[test]
    fn a_governance_client_is_private_and_shown_without_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let (store, deploy) = deployed(dir.path());
        run(&store, deploy, &mut Vec::new()).unwrap();
        let file = dir.path().join("config/clients/litware.json");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let show = ClientCommand::Show {
            name: "litware".to_owned(),
            query: None,
        };
        let mut shown = Vec::new();
        run(&store, show, &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(
            shown.contains("<redacted>") && !shown.contains("PRIVATE KEY"),
            "{shown}"
        );
        run(
            &store,
            ClientCommand::Remove {
                name: "litware".to_owned(),
            },
            &mut Vec::new(),
        )
        .unwrap();
        assert!(matches!(
            store.load("litware"),
            Err(GovCliError::NoClient { .. })
        ));
    }

    #[test]
    fn an_endpoint_that_is_not_plain_https_is_refused() {
        for text in [
            "http://cgs.operator.example",
            "https://a@cgs.operator.example",
            "https://cgs.operator.example/app",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }
}
