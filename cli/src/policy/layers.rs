//! The root hashes of a group's images: computed from the images, signed by their publisher, or believed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use image_builder::PublishedImages;
use image_layers::source::{ImageSource as _, Layout, OciImages, Platform, Wanted};
use image_layers::{Settings, hash_image};
use policy::{
    ContainerGroup, ImageEntry, ImageLayer, ImageManifest, ImageReference, Layers as _, PolicyError,
};
use policy_simulate::Plain;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::CliError;

/// Where root hashes are.
#[derive(clap::Args, Clone, Debug)]
pub struct LayerArgs {
    /// Manifest of the images: `images.json` as the image builder writes it, or with --images-key the publisher's signed one.
    #[arg(long)]
    pub(super) images: PathBuf,
    /// The publisher's public key on P-384, PEM: the manifest must be signed with it.
    #[arg(long, value_name = "PEM")]
    pub(super) images_key: Option<PathBuf>,
    /// Folder with the images as an OCI layout: every root hash is computed from it, whatever the manifest lists, and another
    /// one that the manifest lists is refused.
    #[arg(long)]
    pub(super) layout: Option<PathBuf>,
    /// What was computed so far.
    #[arg(skip)]
    pub(super) hashed: Arc<Mutex<RootHashes>>,
}

/// Root hashes by digest of the image.
pub(crate) type RootHashes = BTreeMap<String, Vec<String>>;

/// Why the root hashes of an image are taken for its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// They were computed from its layers.
    Hashed,
    /// Its publisher signed them.
    Signed,
    /// A file says so that nobody signed.
    Believed,
}

/// How an image of a group is known.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Known {
    /// Name in the manifest.
    pub(crate) image: String,
    pub(crate) digest: String,
    /// Whose the root hashes are.
    pub(crate) root_hashes: Origin,
    /// Whether its publisher signed that the name is this digest. Otherwise the manifest must be of one's own build.
    pub(crate) name_signed: bool,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name_signed { "signed" } else { "listed" };
        write!(
            f,
            "image {} {}: root hashes {}, name {name}",
            Plain(&self.image),
            Plain(&self.digest),
            self.root_hashes.name()
        )
    }
}

impl Origin {
    const fn name(self) -> &'static str {
        match self {
            Self::Hashed => "hashed",
            Self::Signed => "signed",
            Self::Believed => "believed",
        }
    }
}

impl LayerArgs {
    pub(crate) fn new(
        images: PathBuf,
        images_key: Option<PathBuf>,
        layout: Option<PathBuf>,
    ) -> Self {
        Self {
            images,
            images_key,
            layout,
            hashed: Arc::default(),
        }
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> Result<ImageManifest, CliError> {
        match &self.images_key {
            None => Ok(ImageManifest::read(&self.images)?),
            Some(key) => {
                let published = super::read_manifest(&self.images, Some(key))?;
                Ok(ImageManifest::checked(&self.images, entries(published))?)
            }
        }
    }

    /// Hex SHA-256 of the manifest's file: a signature does not say that it is the newest.
    pub(crate) fn sha256(&self) -> Result<String, CliError> {
        Ok(hex::encode(Sha256::digest(super::source::read_bytes(
            &self.images,
        )?)))
    }

    /// Why root hashes are taken for an image's own.
    pub(crate) const fn origin(&self) -> Origin {
        match (&self.layout, &self.images_key) {
            (Some(_), _) => Origin::Hashed,
            (None, Some(_)) => Origin::Signed,
            (None, None) => Origin::Believed,
        }
    }

    /// The images of a group, and how each is known. A group may call an image what its publisher does not.
    pub(crate) fn known(&self, group: &ContainerGroup) -> Result<Vec<Known>, CliError> {
        let manifest = self.manifest()?;
        let images: BTreeSet<_> = group
            .all()
            .map(|container| (&container.image.name, &container.image.digest))
            .collect();
        let known = |(image, digest): (&String, &String)| {
            let listed = manifest.image(image);
            Known {
                image: image.clone(),
                digest: digest.clone(),
                root_hashes: self.origin(),
                name_signed: self.images_key.is_some()
                    && listed.is_ok_and(|entry| entry.digest == *digest),
            }
        };
        Ok(images.into_iter().map(known).collect())
    }

    /// The root hashes of every image of a group.
    pub(crate) fn of(&self, group: &ContainerGroup) -> Result<RootHashes, CliError> {
        let manifest = self.manifest()?;
        let mut hashes = RootHashes::new();
        for container in group.all() {
            let image = &container.image;
            if hashes.contains_key(&image.digest) {
                continue;
            }
            let known = match &self.layout {
                Some(layout) => self.computed(layout, image, &manifest)?,
                None => manifest.root_hashes(image)?,
            };
            hashes.insert(image.digest.clone(), known);
        }
        Ok(hashes)
    }

    /// The root hashes that the image in the layout has, compared with those of the manifest where it lists any.
    fn computed(
        &self,
        layout: &Path,
        image: &ImageReference,
        manifest: &ImageManifest,
    ) -> Result<Vec<String>, CliError> {
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        let computed = match hashed.get(&image.digest) {
            Some(computed) => computed.clone(),
            None => hash(layout, &image.digest)?,
        };
        match manifest.root_hashes(image) {
            Ok(listed) if listed != computed => {
                return Err(PolicyError::OtherLayers {
                    image: image.reference(None),
                    listed: listed.join(" "),
                    computed: computed.join(" "),
                }
                .into());
            }
            Ok(_) | Err(PolicyError::NoLayers { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        hashed.insert(image.digest.clone(), computed.clone());
        Ok(computed)
    }
}

fn entries(published: PublishedImages) -> Vec<ImageEntry> {
    let images = published.images.into_iter().map(|image| ImageEntry {
        name: image.name,
        digest: image.digest,
        config: Some(image.config),
        // A publisher knows nothing of this machine's programs.
        executable: None,
        executable_sha256: None,
        layers: image
            .layers
            .into_iter()
            .map(|layer| ImageLayer {
                diff_id: layer.diff_id,
                root_hash: layer.root_hash,
            })
            .collect(),
    });
    images.collect()
}

fn hash(layout: &Path, digest: &str) -> Result<Vec<String>, CliError> {
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
