//! The application's image, by digest.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use oci_spec::image::ImageConfiguration;
use sha2::{Digest, Sha256};
use sidecar_kit::CommonArgs;
use tokio::io::AsyncWriteExt;

use crate::LaunchError;
use crate::unpack::{Caps, Compression, unpack_verified};

const MANIFEST_TYPES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const MANIFEST_CAP: usize = 4 << 20;
const CONFIG_CAP: i64 = 4 << 20;
/// Compressed layers together.
const LAYERS_CAP: i64 = 8 << 30;

/// What the image says about running it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageSettings {
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: Option<String>,
}

/// Pulls an image and unpacks it into `rootfs`, which must be new. Every blob is compared with its digest, and every layer's
/// content with the digest in the image's configuration.
#[tracing::instrument(skip_all)]
pub(crate) async fn pull(
    reference: &str,
    rootfs: PathBuf,
    scratch: &Path,
    common: &CommonArgs,
) -> Result<ImageSettings, LaunchError> {
    let refused = |reason: String| LaunchError::Image {
        reference: reference.to_owned(),
        reason,
    };
    let image = Reference::from_str(reference).map_err(|error| refused(error.to_string()))?;
    let expected = image
        .digest()
        .ok_or_else(|| refused("is not given by digest".to_owned()))?
        .to_owned();
    let client = Client::new(ClientConfig {
        tls_certs_only: roots(common, reference)?,
        ..ClientConfig::default()
    });
    let failed = |what: &str, source| LaunchError::Pull {
        reference: reference.to_owned(),
        what: what.to_owned(),
        source: Box::new(source),
    };
    let (bytes, _) = client
        .pull_manifest_raw(&image, &RegistryAuth::Anonymous, &MANIFEST_TYPES)
        .await
        .map_err(|error| failed("manifest", error))?;
    if bytes.len() > MANIFEST_CAP {
        return Err(refused(
            "the manifest is larger than any honest one".to_owned(),
        ));
    }
    check_digest(&bytes, &expected).map_err(&refused)?;
    let manifest: oci_client::manifest::OciImageManifest =
        serde_json::from_slice(&bytes).map_err(|error| refused(format!("manifest: {error}")))?;
    let total = manifest
        .layers
        .iter()
        .fold(0_i64, |sum, layer| sum.saturating_add(layer.size.max(0)));
    if manifest.config.size > CONFIG_CAP || total > LAYERS_CAP {
        return Err(refused(
            "the image is larger than this room accepts".to_owned(),
        ));
    }
    let mut config = Vec::new();
    let fetched = client
        .pull_blob(&image, &manifest.config, &mut config)
        .await;
    fetched.map_err(|error| failed("configuration", error))?;
    check_digest(&config, &manifest.config.digest).map_err(&refused)?;
    let config: ImageConfiguration = serde_json::from_slice(&config)
        .map_err(|error| refused(format!("configuration: {error}")))?;
    let diff_ids = config.rootfs().diff_ids().clone();
    if diff_ids.len() != manifest.layers.len() {
        return Err(refused(
            "manifest and configuration disagree on the layers".to_owned(),
        ));
    }
    std::fs::create_dir(&rootfs)
        .map_err(|error| LaunchError::io("the application's root", error))?;
    for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
        let compression = Compression::of(&layer.media_type).ok_or_else(|| {
            refused(format!(
                "layers of type {:?} are not supported",
                layer.media_type
            ))
        })?;
        let file = download(&client, &image, layer, scratch).await?;
        let rootfs = rootfs.clone();
        let unpacked = tokio::task::spawn_blocking(move || {
            let file =
                std::fs::File::open(&file).map_err(|error| LaunchError::io("layer", error))?;
            unpack_verified(file, compression, &diff_id, &rootfs, Caps::default())
        });
        unpacked
            .await
            .map_err(|error| refused(error.to_string()))??;
    }
    let settings = config.config().clone().unwrap_or_default();
    Ok(ImageSettings {
        entrypoint: settings.entrypoint().clone().unwrap_or_default(),
        command: settings.cmd().clone().unwrap_or_default(),
        env: settings.env().clone().unwrap_or_default(),
        working_dir: settings.working_dir().clone().filter(|dir| !dir.is_empty()),
    })
}

/// Fetches one layer to a file and compares it with its digest.
async fn download(
    client: &Client,
    image: &Reference,
    layer: &OciDescriptor,
    scratch: &Path,
) -> Result<PathBuf, LaunchError> {
    let path = scratch.join("layer");
    let broken = |error| LaunchError::io("layer", error);
    let mut file = tokio::fs::File::create(&path).await.map_err(broken)?;
    let fetched = client.pull_blob(image, layer, &mut file).await;
    fetched.map_err(|source| LaunchError::Pull {
        reference: image.to_string(),
        what: format!("layer {}", layer.digest),
        source: Box::new(source),
    })?;
    file.flush().await.map_err(broken)?;
    let (check, expected, reference) = (path.clone(), layer.digest.clone(), image.to_string());
    let checked = tokio::task::spawn_blocking(move || {
        let mut hasher = Sha256::new();
        let mut file = std::fs::File::open(check)?;
        let mut chunk = vec![0; 1 << 20];
        loop {
            match std::io::Read::read(&mut file, &mut chunk)? {
                0 => {
                    return std::io::Result::Ok(format!(
                        "sha256:{}",
                        hex::encode(hasher.finalize())
                    ));
                }
                count => hasher.update(chunk.get(..count).unwrap_or_default()),
            }
        }
    });
    match checked.await {
        Ok(Ok(actual)) if actual == expected => Ok(path),
        Ok(Ok(actual)) => Err(LaunchError::Image {
            reference,
            reason: format!("layer {expected} has digest {actual}"),
        }),
        Ok(Err(error)) => Err(broken(error)),
        Err(error) => Err(LaunchError::Image {
            reference,
            reason: error.to_string(),
        }),
    }
}

fn check_digest(bytes: &[u8], expected: &str) -> Result<(), String> {
    let actual = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
    if actual == expected {
        Ok(())
    } else {
        Err(format!("digest {actual} is not {expected}"))
    }
}

/// Compiled-in web roots, and the measured extra ones of a virtual environment. `oci-client` takes certificates, not trust
/// anchors.
fn roots(common: &CommonArgs, reference: &str) -> Result<Vec<Certificate>, LaunchError> {
    let mut roots: Vec<Certificate> = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| Certificate {
            encoding: CertificateEncoding::Der,
            data: der.to_vec(),
        })
        .collect();
    if let (Some(extra), true) = (&common.extra_roots, common.insecure_virtual) {
        let data = BASE64_STANDARD
            .decode(extra)
            .map_err(|error| LaunchError::Image {
                reference: reference.to_owned(),
                reason: format!("--extra-roots: {error}"),
            })?;
        roots.push(Certificate {
            encoding: CertificateEncoding::Pem,
            data,
        });
    }
    Ok(roots)
}
