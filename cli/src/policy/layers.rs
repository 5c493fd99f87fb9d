//! The root hashes of a group's images: from the manifest where it lists them, else from the images themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use image_layers::source::{ImageSource as _, Layout, OciImages, Platform, Wanted};
use image_layers::{Settings, hash_image};
use policy::{ContainerGroup, ImageManifest, Layers as _, PolicyError};

use crate::CliError;

/// Where root hashes are.
#[derive(clap::Args, Clone, Debug)]
pub struct LayerArgs {
    /// Manifest of the images, as the image builder writes it.
    #[arg(long)]
    images: PathBuf,
    /// Folder with the images as an OCI layout, for those whose layers the manifest does not list.
    #[arg(long)]
    layout: Option<PathBuf>,
}

/// Root hashes by digest of the image.
pub(crate) type RootHashes = BTreeMap<String, Vec<String>>;

impl LayerArgs {
    /// Those of a manifest that lists them.
    #[cfg(test)]
    pub(crate) const fn of_manifest(images: PathBuf) -> Self {
        Self {
            images,
            layout: None,
        }
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> Result<ImageManifest, CliError> {
        Ok(ImageManifest::read(&self.images)?)
    }

    /// The root hashes of every image of a group.
    pub(crate) fn of(&self, group: &ContainerGroup) -> Result<RootHashes, CliError> {
        let manifest = self.manifest()?;
        let mut hashes = RootHashes::new();
        for container in group.all() {
            let digest = &container.image.digest;
            if hashes.contains_key(digest) {
                continue;
            }
            let known = match (manifest.root_hashes(&container.image), &self.layout) {
                (Err(PolicyError::NoLayers { .. }), Some(layout)) => hash(layout, digest)?,
                (known, _) => known?,
            };
            hashes.insert(digest.clone(), known);
        }
        Ok(hashes)
    }
}

fn hash(layout: &std::path::Path, digest: &str) -> Result<Vec<String>, CliError> {
    let source = OciImages(Layout::open(layout)?);
    let wanted = Wanted {
        platform: Platform::linux_amd64(),
        name: Some(digest.to_owned()),
    };
    let image = source.image(&wanted)?;
    let layers = hash_image(&source, &image, &Settings::default())?;
    Ok(layers
        .iter()
        .map(|layer| layer.root_hash.to_string())
        .collect())
}
