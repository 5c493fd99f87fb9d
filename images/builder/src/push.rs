//! Pushing an image of a layout to a registry, by digest.
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use futures::StreamExt as _;
use http::HeaderValue;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use oci_spec::image::{Descriptor, ImageManifest};
use registry_client::{Access, Credential, Registry, Roots, Wanted};
use tokio_util::io::ReaderStream;
use zeroize::Zeroizing;

use crate::{ImageError, hash, layout};

/// Where an image goes.
#[derive(Debug)]
pub struct PushTarget {
    /// `<host>[:port]/<repository>`. A loopback address with a port is reached without TLS if no roots are given.
    pub registry: String,
    /// Roots to trust instead of the system's, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Who pushes; nobody in particular when absent.
    pub login: Option<Login>,
}

/// A registry account.
pub struct Login {
    /// User name.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Pushes image `name` of the layout and returns `<host>[:port]/<repository>@sha256:…`. Blobs the registry has are not
/// sent again; the layer is streamed.
///
/// # Errors
/// [`ImageError`]: the layout lacks the image or is damaged, or the registry refused.
pub async fn push(layout_dir: &Path, name: &str, target: PushTarget) -> Result<String, ImageError> {
    let (digest, bytes) = layout::find(layout_dir, name)?;
    let manifest: ImageManifest =
        serde_json::from_slice(&bytes).map_err(|source| ImageError::List {
            path: layout_dir.join(&digest),
            source,
        })?;
    let (registry, repository) = target
        .registry
        .split_once('/')
        .filter(|(host, repository)| !host.is_empty() && !repository.is_empty())
        .ok_or_else(|| ImageError::Reference {
            registry: target.registry.clone(),
        })?;
    let image = Reference::with_digest(registry.to_owned(), repository.to_owned(), digest.clone());
    let refused = |what: &str, source: OciDistributionError| ImageError::Registry {
        registry: registry.to_owned(),
        what: what.to_owned(),
        source: Box::new(source),
    };
    let auth = login(registry, &image, &target).await?;
    let client = client(registry, target.ca_pem).map_err(|e| refused("the roots", e))?;
    client
        .auth(&image, &auth, RegistryOperation::Push)
        .await
        .map_err(|e| refused("the login", e))?;
    client.store_auth_if_needed(registry, &auth).await;
    for part in manifest.layers().iter().chain([manifest.config()]) {
        let digest = part.digest().to_string();
        if !client
            .blob_exists(&image, &digest)
            .await
            .map_err(|e| refused(&digest, e))?
        {
            blob(&client, &image, layout_dir, part)
                .await?
                .map_err(|e| refused(&digest, e))?;
        }
    }
    let media_type = HeaderValue::from_static("application/vnd.oci.image.manifest.v1+json");
    client
        .push_manifest_raw(&image, bytes, media_type)
        .await
        .map_err(|e| refused(&digest, e))?;
    Ok(format!("{registry}/{repository}@{digest}"))
}

async fn blob(
    client: &Client,
    image: &Reference,
    layout_dir: &Path,
    part: &Descriptor,
) -> Result<Result<String, OciDistributionError>, ImageError> {
    let path = layout::blob_path(layout_dir, part.digest());
    let (digest, actual) = (
        part.digest().to_string(),
        format!("sha256:{}", hash::of_file(&path)?),
    );
    if digest != actual {
        return Err(ImageError::Damaged { digest, actual });
    }
    let unreadable = |source| ImageError::Read {
        path: path.clone(),
        source,
    };
    let length = fs::metadata(&path).map_err(unreadable)?.len();
    let file = tokio::fs::File::open(&path).await.map_err(unreadable)?;
    let stream = ReaderStream::with_capacity(file, 1 << 20)
        .map(|part| part.map_err(OciDistributionError::from));
    Ok(client
        .push_blob_stream(image, stream, &digest, Some(length))
        .await)
}

/// What to show the registry. Asked for here, because the client library goes with name and password wherever a registry
/// sends it for a token.
async fn login(
    registry: &str,
    image: &Reference,
    target: &PushTarget,
) -> Result<RegistryAuth, ImageError> {
    let credential = target.login.as_ref().map(|login| Credential {
        user: login.user.clone(),
        password: Zeroizing::new(login.password.clone()),
    });
    let access = Access {
        roots: match &target.ca_pem {
            Some(pem) => Roots::Only(Vec::new(), Some(pem.clone())),
            None => Roots::Machine(None),
        },
        plain: is_local(registry) && target.ca_pem.is_none(),
        credential,
    };
    let failed = |source| ImageError::Login {
        registry: registry.to_owned(),
        source,
    };
    let wanted = Registry::new(image, access).map_err(failed)?;
    let wanted = wanted.login("pull,push").await.map_err(failed)?;
    Ok(match (wanted, &target.login) {
        (Wanted::Token(token), _) => RegistryAuth::Bearer(token.to_string()),
        (Wanted::Credential, Some(login)) => {
            RegistryAuth::Basic(login.user.clone(), login.password.clone())
        }
        _ => RegistryAuth::Anonymous,
    })
}

/// An address of this machine, not a name: nobody is between.
fn is_local(registry: &str) -> bool {
    let address = registry.parse::<SocketAddr>();
    address.is_ok_and(|address| address.ip().is_loopback())
}

fn client(registry: &str, ca_pem: Option<Vec<u8>>) -> Result<Client, OciDistributionError> {
    let protocol = if is_local(registry) && ca_pem.is_none() {
        ClientProtocol::HttpsExcept(vec![registry.to_owned()])
    } else {
        ClientProtocol::Https
    };
    let roots = ca_pem.map(|data| Certificate {
        encoding: CertificateEncoding::Pem,
        data,
    });
    // Not `Client::new`: it falls back to the system's roots.
    Client::try_from(ClientConfig {
        protocol,
        tls_certs_only: roots.into_iter().collect(),
        use_monolithic_push: true,
        ..ClientConfig::default()
    })
}
