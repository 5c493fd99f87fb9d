use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt};
use http::{HeaderValue, StatusCode, header};
use oci_spec::distribution::Reference;
use reqwest::{Certificate, Client, Response, redirect};
use serde::Deserialize;
use tokio::sync::RwLock;
use tokio::time::timeout;
use url::Url;
use zeroize::Zeroizing;

use crate::RegistryError;
use crate::challenge::{Challenge, near};
use crate::error::shown;

const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";
const CONNECT: Duration = Duration::from_secs(10);
/// Between two parts of an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// For a manifest with all that must be asked before it, and until a blob begins.
const DOCUMENT: Duration = Duration::from_secs(60);
/// Bytes of an index or manifest: what registries accept.
const MANIFEST_CAP: usize = 4 << 20;
const TOKEN_CAP: usize = 256 << 10;
const ERROR_CAP: usize = 64 << 10;
const MOST_REDIRECTS: usize = 5;

/// An account of a registry.
pub struct Credential {
    /// Name.
    pub user: String,
    /// Password, or a token in its place.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Whom to believe that it is the registry.
#[derive(Clone, Debug)]
pub enum Roots {
    /// The machine's roots, and those of a PEM text.
    Machine(Option<Vec<u8>>),
    /// These certificates (DER) alone, and those of a PEM text.
    Only(Vec<Vec<u8>>, Option<Vec<u8>>),
}

/// How a registry is reached.
#[derive(Debug)]
pub struct Access {
    /// Whom to believe.
    pub roots: Roots,
    /// Without TLS.
    pub plain: bool,
    /// Who asks; nobody in particular without.
    pub credential: Option<Credential>,
}

/// What a registry wants to be shown.
pub enum Wanted {
    /// Nothing, as far as it says.
    Nothing,
    /// Name and password.
    Credential,
    /// A token, and this is one.
    Token(Zeroizing<String>),
}

/// One repository of a registry.
pub struct Registry {
    client: Client,
    /// `https://registry/v2/name/`.
    base: Url,
    credential: Option<Credential>,
    /// What the registry asked for, once it has.
    authorization: RwLock<Option<HeaderValue>>,
}

impl Registry {
    /// The repository of an image. Nothing is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::Address`], [`RegistryError::Roots`].
    pub fn new(image: &Reference, access: Access) -> Result<Self, RegistryError> {
        let scheme = if access.plain { "http" } else { "https" };
        let (registry, repository) = (image.resolve_registry(), image.repository());
        let base = Url::parse(&format!("{scheme}://{registry}/v2/{repository}/"));
        let base = base.map_err(|error| RegistryError::Address {
            registry: registry.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            client: client(&access.roots, base.clone())?,
            base,
            credential: access.credential,
            authorization: RwLock::new(None),
        })
    }

    /// The bytes of an index or manifest, by digest or tag; at most 4 MiB, within 60 s. Not compared with the digest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn manifest(&self, name: &str) -> Result<Bytes, RegistryError> {
        in_time(async {
            let answer = self.get(&format!("manifests/{name}")).await?;
            whole(answer, "the manifest", MANIFEST_CAP).await
        })
        .await
    }

    /// The bytes of a blob, which begin within 60 s and then come without a pause of more than 30 s. How many, and which,
    /// is not compared with anything.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn blob(
        &self,
        digest: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, RegistryError>> + Send + use<>, RegistryError>
    {
        let answer = in_time(self.get(&format!("blobs/{digest}"))).await?;
        Ok(answer.bytes_stream().map_err(RegistryError::from))
    }

    /// Asks what the registry wants from who comes to do `actions` (`pull,push`), for a client that does the rest. A token is
    /// got with the credential of [`Access`].
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn login(&self, actions: &str) -> Result<Wanted, RegistryError> {
        in_time(async {
            let mut root = self.base.clone();
            root.set_path("/v2/");
            let answer = self.client.get(root).send().await?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                return Ok(Wanted::Nothing);
            }
            Ok(match self.challenge(&answer, actions)? {
                None => Wanted::Nothing,
                Some(Challenge::Basic) => Wanted::Credential,
                Some(Challenge::Bearer(realm)) => Wanted::Token(self.token(realm).await?),
            })
        })
        .await
    }

    /// What an answer asks for. Only the registry itself may ask for its credential, not where it redirects to.
    fn challenge(
        &self,
        answer: &Response,
        actions: &str,
    ) -> Result<Option<Challenge>, RegistryError> {
        if answer.url().origin() != self.base.origin() {
            return Ok(None);
        }
        let asked = answer.headers().get_all(header::WWW_AUTHENTICATE);
        let path = self.base.path();
        let repository = path.strip_prefix("/v2/").unwrap_or(path);
        let scope = format!("repository:{}:{actions}", repository.trim_end_matches('/'));
        Challenge::read(asked.iter(), &self.base, &scope)
    }

    /// An answer of 200, after meeting at most one challenge.
    async fn get(&self, path: &str) -> Result<Response, RegistryError> {
        let url = self.base.join(path).map_err(|_| RegistryError::Absent {
            reason: format!("{path} is no path"),
        })?;
        let mut met = false;
        loop {
            let mut request = self
                .client
                .get(url.clone())
                .header(header::ACCEPT, MANIFEST_TYPES);
            if let Some(value) = self.authorization.read().await.clone() {
                request = request.header(header::AUTHORIZATION, value);
            }
            let answer = request.send().await?;
            if answer.status() == StatusCode::OK {
                return Ok(answer);
            }
            if answer.status() == StatusCode::UNAUTHORIZED && !met {
                // A token may also have run out.
                met = true;
                if let Some(value) = self.meet(&answer).await? {
                    *self.authorization.write().await = Some(value);
                    continue;
                }
            }
            return Err(refusal(answer).await);
        }
    }

    /// What a challenge asks for; `None` if nobody here has it.
    async fn meet(&self, answer: &Response) -> Result<Option<HeaderValue>, RegistryError> {
        match self.challenge(answer, "pull")? {
            None => Ok(None),
            Some(Challenge::Basic) => {
                let Some(credential) = &self.credential else {
                    return Ok(None);
                };
                let request = self.client.get(self.base.clone());
                let request =
                    request.basic_auth(&credential.user, Some(credential.password.as_str()));
                let request = request.build()?;
                Ok(request.headers().get(header::AUTHORIZATION).cloned())
            }
            Some(Challenge::Bearer(realm)) => {
                let token = self.token(realm).await?;
                let text = Zeroizing::new(format!("Bearer {}", token.as_str()));
                let mut value = HeaderValue::from_str(&text).map_err(|_| no_token())?;
                value.set_sensitive(true);
                Ok(Some(value))
            }
        }
    }

    async fn token(&self, realm: Url) -> Result<Zeroizing<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let mut request = self.client.get(realm);
        if let Some(credential) = &self.credential {
            request = request.basic_auth(&credential.user, Some(credential.password.as_str()));
        }
        let answer = request.send().await?;
        if answer.status() != StatusCode::OK {
            return Err(match refusal(answer).await {
                RegistryError::Absent { reason } => RegistryError::Token { reason },
                other => other,
            });
        }
        let body = whole(answer, "the token", TOKEN_CAP).await?;
        // Where, not what: the text is the token.
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| RegistryError::Token {
                reason: format!(
                    "its answer is no JSON: line {}, column {}",
                    error.line(),
                    error.column()
                ),
            })?;
        let tokens = [answer.token, answer.access_token].map(|it| it.map(Zeroizing::new));
        let token = tokens.into_iter().flatten().find(|token| !token.is_empty());
        // What no header can hold is not handed on either.
        let plain = |token: &Zeroizing<String>| token.bytes().all(|byte| byte.is_ascii_graphic());
        token.filter(plain).ok_or_else(no_token)
    }
}

fn no_token() -> RegistryError {
    RegistryError::Token {
        reason: "its answer holds none that could be sent".to_owned(),
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Credential => "Credential",
            Self::Token(_) => "Token(..)",
        })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry")
            .field(&self.base.as_str())
            .finish()
    }
}

fn client(roots: &Roots, base: Url) -> Result<Client, RegistryError> {
    let refused = |error: reqwest::Error| RegistryError::Roots {
        reason: error.to_string(),
    };
    let bundle = |pem: &Option<Vec<u8>>| {
        let pem = pem.as_deref().map(Certificate::from_pem_bundle);
        pem.transpose()
            .map_err(refused)
            .map(Option::unwrap_or_default)
    };
    let builder = Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .redirect(redirects(base));
    let builder = match roots {
        Roots::Machine(extra) => builder.tls_certs_merge(bundle(extra)?),
        Roots::Only(ders, extra) => {
            let ders = ders.iter().map(|der| Certificate::from_der(der));
            let mut all: Vec<_> = ders.collect::<Result<_, _>>().map_err(refused)?;
            all.extend(bundle(extra)?);
            builder.tls_certs_only(all)
        }
    };
    builder.build().map_err(refused)
}

/// Blobs are often elsewhere. What must have TLS keeps it on the way; the authorization stays behind, as the client library
/// has it for another host.
fn redirects(base: Url) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > MOST_REDIRECTS {
            return attempt.error("it redirects from one place to the next and on");
        }
        let plain = base.scheme() == "http" && near(attempt.url(), &base);
        if attempt.url().scheme() == "https" || plain {
            return attempt.follow();
        }
        attempt.error("it redirects to a place without TLS")
    })
}

async fn in_time<T>(
    exchange: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    let late = RegistryError::Late {
        seconds: DOCUMENT.as_secs(),
    };
    timeout(DOCUMENT, exchange).await.map_err(|_| late)?
}

/// A body, not more of it than `cap` bytes, whatever it announces.
async fn whole(
    mut answer: Response,
    what: &'static str,
    cap: usize,
) -> Result<Bytes, RegistryError> {
    let mut body = BytesMut::new();
    while let Some(part) = answer.chunk().await? {
        if body.len().saturating_add(part.len()) > cap {
            return Err(RegistryError::TooLarge { what, cap });
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

/// What an answer that is none says.
async fn refusal(answer: Response) -> RegistryError {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        code: String,
        #[serde(default)]
        message: Option<String>,
    }
    let status = answer.status();
    let body = match whole(answer, "an error", ERROR_CAP).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    let items =
        serde_json::from_slice::<Envelope>(&body).map_or_else(|_| Vec::new(), |it| it.errors);
    let texts = items.iter().map(|item| match item.message.as_deref() {
        Some(message) if !message.is_empty() => format!("{}: {message}", item.code),
        _ => item.code.clone(),
    });
    let reason = match texts.collect::<Vec<_>>().join("; ") {
        none if none.is_empty() => shown(&String::from_utf8_lossy(&body)),
        texts => shown(&texts),
    };
    let denied = items
        .iter()
        .any(|item| ["UNAUTHORIZED", "DENIED"].contains(&item.code.as_str()));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            RegistryError::Denied { status, reason }
        }
        // Some registries hide what one may not see.
        status if denied => RegistryError::Denied { status, reason },
        StatusCode::NOT_FOUND => RegistryError::Absent { reason },
        status => RegistryError::Status { status, reason },
    }
}
