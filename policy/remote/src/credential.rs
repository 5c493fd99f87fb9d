//! Credentials for registries, where Docker keeps them: in `config.json`, or with a helper that it names.
//!
//! Written here because a helper is a program of the user's that may wait for a click: it gets a deadline, and nothing of its
//! output goes into a message. Docker's own order is kept: the helper of the registry, the helper of all, the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image_layers::ImageError;
use registry_client::Credential;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// What a helper may take; some ask the user.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a configuration, and of a helper's answer.
const MOST_BYTES: u64 = 1 << 20;
/// Under which name Docker Hub is listed.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// Who presents an identity token to Azure's registries, instead of a name and a password.
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
}

/// A text that is wiped.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// `None` for an empty one, as Docker writes what is kept elsewhere.
fn filled(secret: &Option<Secret>) -> Option<&Zeroizing<String>> {
    let secret = secret.as_ref().map(|Secret(text)| text);
    secret.filter(|text| !text.is_empty())
}

/// The file that Docker reads: in `docker_config` (`DOCKER_CONFIG`) if there is one, else below `home`.
#[must_use]
pub fn docker_config(docker_config: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    let folder = docker_config.map(Path::to_owned);
    let folder = folder.or_else(|| home.map(|home| home.join(".docker")))?;
    Some(folder.join("config.json"))
}

/// Looks a registry up. `None`: nobody is logged in there, or there is no configuration.
///
/// # Errors
///
/// [`ImageError::Credential`]: the configuration is none, or a helper fails, or takes more than a minute.
pub async fn find_credential(
    config: &Path,
    registry: &str,
) -> Result<Option<Credential>, ImageError> {
    let refused = |reason: String| ImageError::Credential {
        registry: registry.to_owned(),
        reason,
    };
    let file = match tokio::fs::File::open(config).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(format!("{}: {error}", config.display()))),
    };
    let mut text = Zeroizing::new(Vec::new());
    let read = file.take(MOST_BYTES).read_to_end(&mut text).await;
    read.map_err(|error| refused(format!("{}: {error}", config.display())))?;
    // Where, not what: the text around may be a password.
    let config: Config = serde_json::from_slice(&text).map_err(|error| {
        refused(format!(
            "{} is no Docker configuration: line {}, column {}",
            config.display(),
            error.line(),
            error.column()
        ))
    })?;
    let (listed, keys) = names(registry);
    let of_registry = keys.iter().find_map(|key| config.cred_helpers.get(key));
    if let Some(helper) = of_registry.or(config.creds_store.as_ref()) {
        return ask(helper, &listed).await.map_err(refused);
    }
    let Some(auth) = keys.iter().find_map(|key| config.auths.get(key)) else {
        return Ok(None);
    };
    of_file(auth).map_err(refused)
}

/// Under which name helpers know a registry, and under which it may be listed.
fn names(registry: &str) -> (String, Vec<String>) {
    if matches!(registry, "docker.io" | "index.docker.io") {
        let names = [DOCKER_HUB, "docker.io", "index.docker.io"].map(str::to_owned);
        return (DOCKER_HUB.to_owned(), names.to_vec());
    }
    let names = ["", "https://", "http://"].map(|scheme| format!("{scheme}{registry}"));
    let more = ["https://", "http://"].map(|scheme| format!("{scheme}{registry}/"));
    (registry.to_owned(), names.into_iter().chain(more).collect())
}

fn of_file(auth: &Auth) -> Result<Option<Credential>, String> {
    if let Some(token) = filled(&auth.identitytoken) {
        return Ok(Some(Credential {
            user: TOKEN_USER.into(),
            password: token.clone(),
        }));
    }
    if let Some(auth) = filled(&auth.auth) {
        const WRONG: &str = "its entry in the configuration is not base64 of a name and a password";
        let text = BASE64_STANDARD.decode(auth.as_bytes()).map_err(|_| WRONG)?;
        let text = Zeroizing::new(text);
        let text = std::str::from_utf8(&text).map_err(|_| WRONG)?;
        let (user, password) = text.split_once(':').ok_or(WRONG)?;
        return Ok(Some(Credential {
            user: user.to_owned(),
            password: Zeroizing::new(password.trim_end_matches('\0').to_owned()),
        }));
    }
    let pair = auth.username.as_ref().zip(filled(&auth.password));
    Ok(pair.map(|(user, password)| Credential {
        user: user.clone(),
        password: password.clone(),
    }))
}

/// Asks `docker-credential-<helper>`.
async fn ask(helper: &str, registry: &str) -> Result<Option<Credential>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: Secret,
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if helper.is_empty() || !helper.bytes().all(plain) {
        return Err(format!("{helper:?} is no name of a credential helper"));
    }
    let program = format!("docker-credential-{helper}");
    let exchange = async {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{program} cannot be started: {error}"))?;
        let failed = |error: std::io::Error| format!("{program}: {error}");
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that ends without reading says why with its exit code.
            let _ = stdin.write_all(registry.as_bytes()).await;
        }
        let mut answer = Zeroizing::new(Vec::new());
        if let Some(stdout) = child.stdout.take() {
            let read = stdout.take(MOST_BYTES).read_to_end(&mut answer).await;
            read.map_err(failed)?;
        }
        let status = child.wait().await.map_err(failed)?;
        Ok::<_, String>((status, answer))
    };
    let (status, answer) = timeout(PATIENCE, exchange)
        .await
        .map_err(|_| format!("{program} gave no answer within {} s", PATIENCE.as_secs()))??;
    if !status.success() {
        // The protocol's way to say "nobody is logged in".
        if answer.starts_with(b"credentials not found") {
            return Ok(None);
        }
        return Err(format!("{program} failed ({status})"));
    }
    let answer: Answer = serde_json::from_slice(&answer)
        .map_err(|_| format!("{program} did not answer with a name and a secret"))?;
    let user = match answer.username.as_str() {
        "<token>" => TOKEN_USER.to_owned(),
        _ => answer.username,
    };
    Ok(Some(Credential {
        user,
        password: answer.secret.0,
    }))
}
