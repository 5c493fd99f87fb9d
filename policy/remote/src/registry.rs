//! Images of a registry, by digest.

use std::fmt;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use image_layers::source::Blobs;
use image_layers::{Digest, ImageError};
use registry_client::{Access, Reference, Registry, RegistryError, Roots};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::{BlockingReader, find_credential};

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
    registry: Registry,
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
        let credential = match &access.docker_config {
            Some(config) => find_credential(config, &registry).await?,
            None => None,
        };
        let account = credential.as_ref().map_or_else(
            || "without a credential".to_owned(),
            |credential| format!("to {}", credential.user),
        );
        let failed = Failure {
            registry: &registry,
            what: reference,
            account: &account,
        };
        let reached = Access {
            roots: Roots::Machine(access.extra_roots.clone()),
            plain: access.plain_http || is_loopback(&registry),
            credential,
        };
        let source = Registry::new(&image, reached).map_err(|error| refused(error.to_string()))?;
        let name = image.digest().or_else(|| image.tag()).unwrap_or_default();
        let pulled = source.manifest(name).await;
        let top = pulled.map_err(|error| failed.of(error))?;
        let digest = Digest::of(&top);
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
            registry: source,
            image,
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
        let pulled = self.runtime.block_on(self.registry.manifest(&text));
        let bytes = pulled.map_err(|error| self.failure(&text).of(error))?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let text = digest.to_string();
        // By digest alone: a descriptor's own addresses would let an image send this machine anywhere.
        let begun = self.runtime.block_on(self.registry.blob(&text));
        let stream = begun.map_err(|error| self.failure(&text).of(error))?;
        let stream = stream.map_err(io::Error::other);
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
    fn of(&self, error: RegistryError) -> ImageError {
        let place = format!("registry {}", self.registry);
        let what = self.what.to_owned();
        let reason = error.to_string();
        match error {
            RegistryError::Denied { .. } => ImageError::Denied {
                place,
                what,
                account: self.account.to_owned(),
                reason,
            },
            RegistryError::Absent { .. } => ImageError::Missing {
                what: format!("{what} at {place}"),
            },
            RegistryError::Realm { .. } => ImageError::Realm {
                place,
                what,
                reason,
            },
            _ => ImageError::Remote {
                place,
                what,
                reason,
            },
        }
    }
}
