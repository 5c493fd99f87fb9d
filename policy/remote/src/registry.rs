//! Images of a registry, by digest.

use std::fmt;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use futures::StreamExt;
use image_layers::source::Blobs;
use image_layers::{Digest, ImageError};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::{BlockingReader, Credential, find_credential};

const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const CONNECT: Duration = Duration::from_secs(10);
/// Between two parts of an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// For a manifest, and until a blob begins.
const DOCUMENT: Duration = Duration::from_secs(60);
/// For the whole of a blob.
const BLOB: Duration = Duration::from_secs(1800);

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct RegistryAccess {
    /// PEM of one more root to trust, beside the machine's.
    pub extra_roots: Option<Vec<u8>>,
    /// Docker's configuration with credentials; nobody in particular if there is none.
    pub docker_config: Option<PathBuf>,
    /// Without TLS also elsewhere than on this machine.
    pub plain_http: bool,
}

/// One image of a registry, or an index of images.
pub struct RegistryImage {
    client: Client,
    /// By digest.
    image: Reference,
    account: String,
    digest: Digest,
    top: Vec<u8>,
    runtime: Handle,
}

/// Whether a text begins with the name of a registry, so that it cannot be the name of a file in a folder below.
#[must_use]
pub fn names_registry(text: &str) -> bool {
    let host = text.split_once('/').map(|(host, _)| host);
    host.is_some_and(|host| {
        let listed = host == "localhost" || host.contains(['.', ':']);
        listed && !host.starts_with('.')
    })
}

impl RegistryImage {
    /// Resolves a reference, by digest or by tag, and reads what it names.
    ///
    /// # Errors
    ///
    /// [`ImageError`]: the reference is none, the registry cannot be reached or denies access, or what it gives has another
    /// digest.
    pub async fn open(reference: &str, access: &RegistryAccess) -> Result<Self, ImageError> {
        let refused = |reason: String| ImageError::Reference {
            reference: reference.to_owned(),
            reason,
        };
        if !names_registry(reference) {
            return Err(refused("it begins with no registry".into()));
        }
        let image = Reference::from_str(reference).map_err(|error| refused(error.to_string()))?;
        if image.tag().is_none() && image.digest().is_none() {
            return Err(refused("it has no digest".into()));
        }
        if let Some(digest) = image.digest() {
            Digest::from_str(digest).map_err(|error| refused(error.to_string()))?;
        }
        let registry = image.registry().to_owned();
        let client = client(&image, access).map_err(|error| refused(error.to_string()))?;
        let credential = match &access.docker_config {
            Some(config) => find_credential(config, &registry).await?,
            None => None,
        };
        let account = credential.as_ref().map_or_else(
            || "without a credential".to_owned(),
            |credential| format!("to {}", credential.user),
        );
        let auth = credential.map_or(RegistryAuth::Anonymous, |credential: Credential| {
            RegistryAuth::Basic(credential.user, credential.password.to_string())
        });
        let failed = Failure {
            registry: &registry,
            what: reference,
            account: &account,
        };
        let pull = client.pull_manifest_raw(&image, &auth, &MANIFEST_TYPES);
        let pulled = timeout(DOCUMENT, pull).await.map_err(|_| failed.late())?;
        let (top, _) = pulled.map_err(|error| failed.of(error))?;
        let digest = Digest::of(&top);
        // Compared by the library too; here it does not depend on what the registry's headers say.
        if let Some(expected) = image.digest().and_then(|text| text.parse().ok())
            && expected != digest
        {
            return Err(ImageError::Digest {
                what: "the manifest".into(),
                expected,
                actual: digest,
            });
        }
        Ok(Self {
            client,
            image: image.clone_with_digest(digest.to_string()),
            account,
            digest,
            top: top.to_vec(),
            runtime: Handle::current(),
        })
    }

    /// `registry/repository@sha256:…` of what the reference named: an index, or a manifest.
    #[must_use]
    pub fn reference(&self) -> String {
        let (registry, repository) = (self.image.registry(), self.image.repository());
        format!("{registry}/{repository}@{}", self.digest)
    }

    fn failure<'a>(&'a self, what: &'a str) -> Failure<'a> {
        Failure {
            registry: self.image.registry(),
            what,
            account: &self.account,
        }
    }
}

impl Blobs for RegistryImage {
    fn top(&self) -> Result<Vec<u8>, ImageError> {
        Ok(self.top.clone())
    }

    fn manifest(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let text = digest.to_string();
        let image = self.image.clone_with_digest(text.clone());
        // The credential was presented with the first manifest, and the client keeps the token.
        let pull = self
            .client
            .pull_manifest_raw(&image, &RegistryAuth::Anonymous, &MANIFEST_TYPES);
        let pulled = self
            .runtime
            .block_on(async { timeout(DOCUMENT, pull).await });
        let failed = self.failure(&text);
        let (bytes, _) = pulled
            .map_err(|_| failed.late())?
            .map_err(|error| failed.of(error))?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let text = digest.to_string();
        // By digest alone: a descriptor's own addresses would let an image send this machine anywhere.
        let pull = self.client.pull_blob_stream(&self.image, text.as_str());
        let begun = self
            .runtime
            .block_on(async { timeout(DOCUMENT, pull).await });
        let failed = self.failure(&text);
        let begun = begun
            .map_err(|_| failed.late())?
            .map_err(|error| failed.of(error))?;
        // The library's verdict on the digest comes where the stream ends, and comes again whenever it is asked. The
        // reader's own says more.
        let stream = begun.stream.take_while(|part| {
            let verdict = part.as_ref().is_err_and(|error| {
                error
                    .get_ref()
                    .is_some_and(|inner| inner.is::<DigestError>())
            });
            std::future::ready(!verdict)
        });
        Ok(Box::new(BlockingReader::new(
            self.runtime.clone(),
            stream.boxed(),
            Instant::now() + BLOB,
        )))
    }
}

impl fmt::Debug for RegistryImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegistryImage")
            .field(&self.reference())
            .finish()
    }
}

fn client(image: &Reference, access: &RegistryAccess) -> Result<Client, OciDistributionError> {
    let registry = image.registry();
    let protocol = if access.plain_http || is_loopback(registry) {
        ClientProtocol::HttpsExcept(vec![registry.to_owned()])
    } else {
        ClientProtocol::Https
    };
    let roots = access.extra_roots.iter().map(|data| Certificate {
        encoding: CertificateEncoding::Pem,
        data: data.clone(),
    });
    // Not `Client::new`: it falls back to other settings.
    Client::try_from(ClientConfig {
        protocol,
        extra_root_certificates: roots.collect(),
        connect_timeout: Some(CONNECT),
        read_timeout: Some(SILENCE),
        ..ClientConfig::default()
    })
}

/// Whether a registry is on this machine, by its address: a name may lead anywhere.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback())
}

/// What to say of a failure.
struct Failure<'a> {
    registry: &'a str,
    what: &'a str,
    account: &'a str,
}

impl Failure<'_> {
    fn late(&self) -> ImageError {
        self.remote(format!("no answer within {} s", DOCUMENT.as_secs()))
    }

    fn remote(&self, reason: String) -> ImageError {
        ImageError::Remote {
            place: format!("registry {}", self.registry),
            what: self.what.to_owned(),
            reason,
        }
    }

    fn of(&self, error: OciDistributionError) -> ImageError {
        match error {
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => self.denied(&error),
            OciDistributionError::RegistryError { ref envelope, .. } => {
                use oci_client::errors::OciErrorCode;
                let codes: Vec<&OciErrorCode> =
                    envelope.errors.iter().map(|error| &error.code).collect();
                let has = |wanted: &[OciErrorCode]| codes.iter().any(|code| wanted.contains(code));
                if has(&[OciErrorCode::Unauthorized, OciErrorCode::Denied]) {
                    return self.denied(&error);
                }
                let absent = [
                    OciErrorCode::ManifestUnknown,
                    OciErrorCode::NameUnknown,
                    OciErrorCode::BlobUnknown,
                    OciErrorCode::NotFound,
                ];
                if has(&absent) {
                    return self.absent();
                }
                self.remote(shown(&error))
            }
            OciDistributionError::ImageManifestNotFoundError(_)
            | OciDistributionError::ServerError { code: 404, .. } => self.absent(),
            OciDistributionError::ServerError { code: 403, .. } => self.denied(&error),
            OciDistributionError::DigestError(DigestError::VerificationError {
                ref expected,
                ref actual,
            }) => match (expected.parse(), actual.parse()) {
                (Ok(expected), Ok(actual)) => ImageError::Digest {
                    what: self.what.to_owned(),
                    expected,
                    actual,
                },
                _ => self.remote(shown(&error)),
            },
            error => self.remote(shown(&error)),
        }
    }

    fn absent(&self) -> ImageError {
        ImageError::Missing {
            what: format!("{} at registry {}", self.what, self.registry),
        }
    }

    fn denied(&self, error: &OciDistributionError) -> ImageError {
        ImageError::Denied {
            place: format!("registry {}", self.registry),
            what: self.what.to_owned(),
            account: self.account.to_owned(),
            reason: shown(error),
        }
    }
}

/// An error with its causes, of bounded length: a registry chooses part of the text.
fn shown(error: &OciDistributionError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(500)
        .collect()
}
