//! What `docker save` writes without an OCI layout: `manifest.json` names a configuration and layers by path.

use serde::Deserialize;

use super::archive::Archive;
use super::document::{Config, MOST_BYTES, is_wanted, malformed};
use super::json;
use super::oci::read_document;
use super::{Image, ImageSource, Layer, Opened, Wanted};
use crate::{Digest, ImageError};

/// A Docker image archive.
#[derive(Debug)]
pub struct DockerArchive {
    archive: Archive,
    images: Vec<Listed>,
}

/// An image of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Listed {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.repo_tags.iter().flatten().map(String::as_str)
    }

    fn shown(&self) -> String {
        self.names().next().unwrap_or(&self.config).to_owned()
    }

    fn is(&self, wanted: &str) -> bool {
        is_wanted(wanted, digest_in(&self.config), self.names())
    }
}

impl DockerArchive {
    pub(super) fn new(archive: Archive) -> Result<Self, ImageError> {
        let bytes = read_document(
            "manifest.json",
            archive.member("manifest.json")?,
            MOST_BYTES,
        )?;
        let images = json::read(&bytes).map_err(|error| malformed("manifest.json", error))?;
        Ok(Self { archive, images })
    }

    fn find(&self, wanted: &Wanted) -> Result<&Listed, ImageError> {
        let fits = |image: &&Listed| wanted.name.as_deref().is_none_or(|name| image.is(name));
        let fitting: Vec<&Listed> = self.images.iter().filter(fits).collect();
        let names = |images: &mut dyn Iterator<Item = &Listed>| images.map(Listed::shown).collect();
        match fitting.as_slice() {
            [image] => Ok(image),
            [] => Err(ImageError::NoSuchImage {
                wanted: wanted.name.clone().unwrap_or_default(),
                present: names(&mut self.images.iter()),
            }),
            several => Err(ImageError::Ambiguous {
                present: names(&mut several.iter().copied()),
            }),
        }
    }
}

impl ImageSource for DockerArchive {
    fn image(&self, wanted: &Wanted) -> Result<Image, ImageError> {
        let image = self.find(wanted)?;
        let bytes = read_document(
            "the configuration",
            self.archive.member(&image.config)?,
            MOST_BYTES,
        )?;
        let actual = Digest::of(&bytes);
        if let Some(expected) = digest_in(&image.config).filter(|expected| *expected != actual) {
            return Err(ImageError::Digest {
                what: "the configuration".into(),
                expected,
                actual,
            });
        }
        let config = Config::parse(&bytes)?;
        if !config.platform.serves(&wanted.platform) {
            return Err(ImageError::NoPlatform {
                wanted: wanted.platform.to_string(),
                present: vec![config.platform.to_string()],
            });
        }
        config.check_layers(image.layers.len())?;
        let layer = |(path, diff_id): (&String, &Digest)| Layer {
            diff_id: *diff_id,
            blob: path.strip_prefix("blobs/sha256/").and_then(digest_in),
            size: None,
            compression: None,
            member: Some(path.clone()),
        };
        Ok(Image {
            manifest: None,
            config_digest: actual,
            layers: image
                .layers
                .iter()
                .zip(&config.diff_ids)
                .map(layer)
                .collect(),
            config: bytes,
            platform: config.platform,
        })
    }

    fn open(&self, layer: &Layer) -> Result<Opened<'_>, ImageError> {
        self.archive
            .layer_member(layer.member.as_deref().unwrap_or_default())
    }
}

/// The digest in a name like `<hex>.json` or `blobs/sha256/<hex>`. Other names are not digests.
fn digest_in(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next()?;
    let digits = name.strip_suffix(".json").unwrap_or(name);
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
    format!("sha256:{digits}").parse().ok()
}
