//! The application's image, by digest.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt;
use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use oci_spec::image::{Arch, ImageConfiguration, Os};
use registry_client::{Access, Reference, Registry, RegistryError, Roots};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use sidecar_kit::CommonArgs;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::runner::ImageSettings;
use crate::unpack::Compression;
use crate::{LaunchError, OWN_PROGRAM, ROOT, roles};

const CONFIG_CAP: u64 = 4 << 20;
/// Compressed layers together.
const LAYERS_CAP: u64 = 8 << 30;
const LAYERS: usize = 256;

/// Pulls an image and unpacks it into a new folder of `scratch`. Every blob is compared with its digest and its length, and
/// every layer's content with the digest in the image's configuration.
#[tracing::instrument(skip_all)]
pub(crate) async fn pull(
    reference: &str,
    scratch: &Path,
    common: &CommonArgs,
) -> Result<ImageSettings, LaunchError> {
    let pull = Pull::new(reference, common)?;
    let manifest = pull.manifest().await?;
    let layers: Vec<&OciDescriptor> = manifest.layers.iter().collect();
    let lengths = layers.iter().map(|layer| length(layer));
    let total = lengths.fold(0_u64, u64::saturating_add);
    if length(&manifest.config) > CONFIG_CAP || total > LAYERS_CAP || layers.len() > LAYERS {
        return Err(pull.refused("is larger than this room accepts"));
    }
    let mut config = Vec::new();
    pull.blob(&manifest.config, &mut config).await?;
    let config: ImageConfiguration = serde_json::from_slice(&config)
        .map_err(|error| pull.refused(format!("configuration: {error}")))?;
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() != layers.len() {
        return Err(pull.refused("manifest and configuration disagree on the layers"));
    }
    let root = scratch.join(ROOT);
    tokio::fs::create_dir(&root)
        .await
        .map_err(|error| LaunchError::io("the application's root", error))?;
    for (layer, diff_id) in layers.into_iter().zip(diff_ids) {
        pull.layer(layer, diff_id, &root, scratch).await?;
    }
    let settings = config.config().clone().unwrap_or_default();
    let part = |part: &Option<Vec<String>>| part.clone().unwrap_or_default();
    Ok(ImageSettings {
        command: [part(settings.entrypoint()), part(settings.cmd())].concat(),
        environment: part(settings.env()),
        working_dir: settings.working_dir().clone().filter(|dir| !dir.is_empty()),
    })
}

struct Pull<'a> {
    reference: &'a str,
    image: Reference,
    registry: Registry,
}

impl<'a> Pull<'a> {
    fn new(reference: &'a str, common: &CommonArgs) -> Result<Self, LaunchError> {
        let refused = |reason: String| LaunchError::Image {
            reference: reference.to_owned(),
            reason,
        };
        let image = Reference::from_str(reference).map_err(|error| refused(error.to_string()))?;
        let access = Access {
            roots: roots(common).map_err(refused)?,
            plain: false,
            credential: None,
        };
        let registry = Registry::new(&image, access).map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            reference,
            image,
            registry,
        })
    }

    fn refused(&self, reason: impl Into<String>) -> LaunchError {
        LaunchError::Image {
            reference: self.reference.to_owned(),
            reason: reason.into(),
        }
    }

    fn failed(&self, what: &str, source: RegistryError) -> LaunchError {
        LaunchError::Pull {
            reference: self.reference.to_owned(),
            what: what.to_owned(),
            source: Box::new(source),
        }
    }

    /// The manifest that the reference names, or its choice for this machine if it names an index.
    async fn manifest(&self) -> Result<OciImageManifest, LaunchError> {
        let digest = self
            .image
            .digest()
            .ok_or_else(|| self.refused("is not given by digest"))?;
        let index = match self.document(digest).await? {
            OciManifest::Image(manifest) => return Ok(manifest),
            OciManifest::ImageIndex(index) => index,
        };
        let ours = index.manifests.iter().find(|entry| {
            let platform = entry.platform.as_ref();
            platform.is_some_and(|p| p.os == Os::Linux && p.architecture == Arch::Amd64)
        });
        let ours = ours.ok_or_else(|| self.refused("has no part for linux/amd64"))?;
        match self.document(&ours.digest).await? {
            OciManifest::Image(manifest) => Ok(manifest),
            OciManifest::ImageIndex(_) => Err(self.refused("is an index of indexes")),
        }
    }

    async fn document(&self, digest: &str) -> Result<OciManifest, LaunchError> {
        let pulled = self.registry.manifest(digest).await;
        let bytes = pulled.map_err(|error| self.failed("manifest", error))?;
        let actual = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        if actual != digest {
            return Err(self.refused(format!("the manifest has digest {actual}, not {digest}")));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.refused(format!("manifest: {error}")))
    }

    /// Fetches a blob, at most as much of it as its descriptor announces, and compares it with its digest.
    async fn blob(
        &self,
        blob: &OciDescriptor,
        mut to: impl tokio::io::AsyncWrite + Unpin,
    ) -> Result<(), LaunchError> {
        let digest = blob.digest.as_str();
        // By digest alone: a descriptor's own addresses would let an image send this machine anywhere.
        let begun = self.registry.blob(digest).await;
        let blob_stream = begun.map_err(|error| self.failed(digest, error))?;
        let mut blob_stream = std::pin::pin!(blob_stream);
        let mut hasher = Sha256::new();
        let mut left = length(blob);
        while let Some(part) = blob_stream.next().await {
            let part = part.map_err(|error| self.failed(digest, error))?;
            left = left
                .checked_sub(part.len() as u64)
                .ok_or_else(|| self.refused(format!("{digest} is longer than announced")))?;
            hasher.update(&part);
            to.write_all(&part)
                .await
                .map_err(|error| LaunchError::io("a part of the image", error))?;
        }
        to.flush()
            .await
            .map_err(|error| LaunchError::io("a part of the image", error))?;
        let actual = format!("sha256:{}", hex::encode(hasher.finalize()));
        if left != 0 || actual != digest {
            return Err(self.refused(format!("{digest} has digest {actual}")));
        }
        Ok(())
    }

    /// Fetches a layer and has it unpacked by a process that can do nothing else.
    async fn layer(
        &self,
        layer: &OciDescriptor,
        diff_id: &str,
        root: &Path,
        scratch: &Path,
    ) -> Result<(), LaunchError> {
        let media_type = &layer.media_type;
        if Compression::of(media_type).is_none() {
            return Err(self.refused(format!("layers of type {media_type:?} are not supported")));
        }
        let broken = |error| LaunchError::io("a layer", error);
        let path: PathBuf = scratch.join("layer");
        let file = tokio::fs::File::create(&path).await.map_err(broken)?;
        self.blob(layer, file).await?;
        let layer = std::fs::File::open(&path).map_err(broken)?;
        let unpacked = Command::new(OWN_PROGRAM)
            .args([roles::UNPACK, media_type, diff_id])
            .arg(root)
            .env_clear()
            .stdin(layer)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(broken)?;
        tokio::fs::remove_file(&path).await.map_err(broken)?;
        if unpacked.status.success() {
            return Ok(());
        }
        #[derive(Deserialize)]
        struct Said {
            entry: String,
            reason: String,
        }
        Err(match serde_json::from_slice(&unpacked.stdout) {
            Ok(Said { entry, reason }) => LaunchError::Layer { entry, reason },
            Err(_) => LaunchError::Layer {
                entry: String::new(),
                reason: format!("its unpacking ended with {}", unpacked.status),
            },
        })
    }
}

/// What a descriptor announces; nothing honest is negative.
fn length(blob: &OciDescriptor) -> u64 {
    u64::try_from(blob.size).unwrap_or(u64::MAX)
}

/// Compiled-in web roots, and the measured extra ones of a virtual environment.
fn roots(common: &CommonArgs) -> Result<Roots, String> {
    let web = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let web = web.map(|der| der.to_vec()).collect();
    let extra = match (&common.extra_roots, common.insecure_virtual) {
        (Some(extra), true) => {
            let pem = BASE64_STANDARD.decode(extra);
            Some(pem.map_err(|error| format!("--extra-roots: {error}"))?)
        }
        _ => None,
    };
    Ok(Roots::Only(web, extra))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// Roots that Azure's public services chain to (Azure certificate authority details), by SHA-256.
    const AZURE: [(&str, &str); 2] = [
        (
            "DigiCert Global Root G2",
            "cb3ccbb76031e5e0138f8dd39a23f9de47ffc35e43c1144cea27d46a5ab1cb5f",
        ),
        (
            "Microsoft RSA Root Certificate Authority 2017",
            "c741f70f4b2a8d88bf2e71c14122ef53ef10eba0cfa5e64cfa20f418853073e0",
        ),
    ];

    #[test]
    fn azures_roots_are_compiled_in_and_the_images_own_bundle_is_not_among_them() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            common: CommonArgs,
        }
        let cli = <Cli as clap::Parser>::parse_from(["code-launcher"]);
        let Ok(Roots::Only(web, None)) = roots(&cli.common) else {
            panic!("other roots than the compiled-in ones");
        };
        let hash = |root: &Vec<u8>| hex::encode(Sha256::digest(root));
        let known: Vec<String> = web.iter().map(hash).collect();
        for (name, hash) in AZURE {
            assert!(known.iter().any(|known| known == hash), "{name}");
        }
        let nobody = include_str!("../../images/runtime/nobody.pem");
        let lines = nobody
            .lines()
            .skip_while(|line| !line.starts_with("-----BEGIN"));
        let body: String = lines
            .skip(1)
            .take_while(|line| !line.starts_with('-'))
            .collect();
        let nobody = hex::encode(Sha256::digest(BASE64_STANDARD.decode(body).unwrap()));
        assert!(!known.contains(&nobody));
    }
}
