//! The manifest of published images: what a policy pins, and everything by which another party can check it.

use std::fs;
use std::path::Path;

use image_layers::source::{Image, Input, Platform, Wanted, open_path};
use image_layers::{CONVERTER, Digest, HashedLayer, RootHash, Settings, hash_image};
use serde::{Deserialize, Serialize};

use crate::{ImageError, hash, read_images};

/// Largest manifest, bytes.
const MOST_BYTES: u64 = 4 << 20;
const VERSION: u32 = 1;

/// `image-manifest.json`: the images of one build.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedImages {
    /// Of this format: 1.
    pub version: u32,
    /// What computed the root hashes.
    pub converter: String,
    /// What the images run on.
    pub platform: String,
    /// In the order of the list.
    pub images: Vec<PublishedImage>,
    /// The in-toto statement on how they were built.
    pub provenance: FileDigest,
}

/// One image.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedImage {
    /// Name, and last part of its repository.
    pub name: String,
    /// `sha256:` digest of the manifest.
    pub digest: String,
    /// `sha256:` digest of the configuration.
    pub config: String,
    /// Bytes of its layers as they are stored, together.
    pub size: u64,
    /// From the bottom up.
    pub layers: Vec<PublishedLayer>,
    /// What is in it, as CycloneDX.
    pub sbom: FileDigest,
}

/// One layer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedLayer {
    /// `sha256:` digest of the blob.
    pub blob: String,
    /// Bytes of the blob.
    pub size: u64,
    /// `sha256:` digest of the tar.
    pub diff_id: String,
    /// dm-verity root hash, as policies list it.
    pub root_hash: String,
}

/// A file beside the manifest.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Its path from the manifest's folder: plain, relative.
    pub file: String,
    /// `sha256:` digest of its content.
    pub digest: String,
}

/// What an image, or a file beside the manifest, is instead of what the manifest says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Difference {
    /// Which part, such as `layer 0 root_hash`.
    pub what: String,
    /// What the manifest says.
    pub expected: String,
    /// What was found.
    pub actual: String,
}

impl PublishedImages {
    /// Describes every image of a layout. Every layer is read and hashed. `sboms` are in the order of the images.
    ///
    /// # Errors
    /// [`ImageError`]: the layout is damaged.
    pub fn of_layout(
        layout: &Path,
        sboms: Vec<FileDigest>,
        provenance: FileDigest,
    ) -> Result<Self, ImageError> {
        let platform = Platform::linux_amd64();
        let mut images = Vec::new();
        for (built, sbom) in read_images(&layout.join("images.json"))?
            .into_iter()
            .zip(sboms)
        {
            let wanted = Wanted {
                platform: platform.clone(),
                name: Some(built.digest.clone()),
            };
            let described = || {
                let Input::Images(source) = open_path(layout)? else {
                    return Ok(None);
                };
                let image = source.image(&wanted)?;
                let hashed = hash_image(source.as_ref(), &image, &Settings::default())?;
                Ok(Some((image, hashed)))
            };
            let described = described().map_err(|source| ImageError::Layers {
                image: built.name.clone(),
                source: Box::new(source),
            })?;
            let (image, hashed) = described.ok_or_else(|| ImageError::Absent {
                name: built.name.clone(),
            })?;
            let layers = layers(&image, &hashed);
            images.push(PublishedImage {
                name: built.name,
                digest: built.digest,
                config: built.config,
                size: layers.iter().map(|layer| layer.size).sum(),
                layers,
                sbom,
            });
        }
        Ok(Self {
            version: VERSION,
            converter: CONVERTER.to_owned(),
            platform: platform.to_string(),
            images,
            provenance,
        })
    }

    /// Reads `image-manifest.json`.
    ///
    /// # Errors
    /// [`ImageError`]: it cannot be read, or is none of this version.
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        Self::parse(path, &read_capped(path, MOST_BYTES)?)
    }

    /// Parses the manifest that `path` stands for.
    ///
    /// # Errors
    /// [`ImageError::Manifest`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ImageError> {
        let refused = |reason: String| ImageError::Manifest {
            path: path.to_owned(),
            reason,
        };
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| refused(error.to_string()))?;
        if manifest.version != VERSION || manifest.converter != CONVERTER {
            return Err(refused(format!(
                "version {} with hashes of {:?}; this program knows version {VERSION} with {CONVERTER:?}",
                manifest.version, manifest.converter
            )));
        }
        manifest
            .platform
            .parse::<Platform>()
            .map_err(|error| refused(format!("{:?}: {error}", manifest.platform)))?;
        for image in &manifest.images {
            let layers = image.layers.iter();
            let digests = layers.flat_map(|layer| [&layer.blob, &layer.diff_id]);
            for text in digests.chain([&image.digest, &image.config, &image.sbom.digest]) {
                text.parse::<Digest>()
                    .map_err(|error| refused(error.to_string()))?;
            }
            for layer in &image.layers {
                layer
                    .root_hash
                    .parse::<RootHash>()
                    .map_err(|error| refused(error.to_string()))?;
            }
        }
        Ok(manifest)
    }

    /// The root hash of every layer.
    #[must_use]
    pub fn root_hashes(&self) -> Vec<(Digest, RootHash)> {
        let layers = self.images.iter().flat_map(|image| &image.layers);
        let pair = |layer: &PublishedLayer| {
            Some((layer.diff_id.parse().ok()?, layer.root_hash.parse().ok()?))
        };
        layers.filter_map(pair).collect()
    }

    /// Compares the SBOMs and the provenance, in the manifest's folder.
    #[must_use]
    pub fn check_files(&self, folder: &Path) -> Vec<Difference> {
        let sboms = self.images.iter().map(|image| &image.sbom);
        let files = sboms.chain([&self.provenance]);
        files.filter_map(|file| file.check(folder)).collect()
    }
}

impl PublishedImage {
    /// Compares an image that was found, and hashed anew.
    #[must_use]
    pub fn check(&self, image: &Image, hashed: &[HashedLayer]) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut compare = |what: String, expected: &str, actual: String| {
            if expected != actual {
                differences.push(Difference {
                    what,
                    expected: expected.to_owned(),
                    actual,
                });
            }
        };
        let manifest = image.manifest.map(|digest| digest.to_string());
        compare("digest".into(), &self.digest, manifest.unwrap_or_default());
        compare(
            "config".into(),
            &self.config,
            image.config_digest.to_string(),
        );
        let found = layers(image, hashed);
        compare(
            "layers".into(),
            &self.layers.len().to_string(),
            found.len().to_string(),
        );
        for (index, (expected, actual)) in self.layers.iter().zip(found).enumerate() {
            compare(format!("layer {index} blob"), &expected.blob, actual.blob);
            let size = expected.size.to_string();
            compare(
                format!("layer {index} size"),
                &size,
                actual.size.to_string(),
            );
            compare(
                format!("layer {index} diff_id"),
                &expected.diff_id,
                actual.diff_id,
            );
            compare(
                format!("layer {index} root_hash"),
                &expected.root_hash,
                actual.root_hash,
            );
        }
        differences
    }
}

fn layers(image: &Image, hashed: &[HashedLayer]) -> Vec<PublishedLayer> {
    let one = |(layer, hashed): (&image_layers::source::Layer, &HashedLayer)| PublishedLayer {
        blob: layer.blob.unwrap_or(layer.diff_id).to_string(),
        size: layer.size.unwrap_or_default(),
        diff_id: layer.diff_id.to_string(),
        root_hash: hashed.root_hash.to_string(),
    };
    image.layers.iter().zip(hashed).map(one).collect()
}

impl FileDigest {
    /// Of a file that has been written as `file` in the manifest's folder.
    #[must_use]
    pub fn of(file: &str, bytes: &[u8]) -> Self {
        Self {
            file: file.to_owned(),
            digest: format!("sha256:{}", hash::of_bytes(bytes)),
        }
    }

    fn check(&self, folder: &Path) -> Option<Difference> {
        let plain = self.file.split('/').all(|part| {
            !matches!(part, "" | "." | "..") && !part.starts_with('/') && !part.contains('\\')
        });
        let actual = if plain {
            match hash::of_file(&folder.join(&self.file)) {
                Ok(digest) => format!("sha256:{digest}"),
                Err(error) => error.to_string(),
            }
        } else {
            "a path that leaves the manifest's folder".to_owned()
        };
        (actual != self.digest).then(|| Difference {
            what: self.file.clone(),
            expected: self.digest.clone(),
            actual,
        })
    }
}

/// Reads a file of at most `most` bytes.
pub(crate) fn read_capped(path: &Path, most: u64) -> Result<Vec<u8>, ImageError> {
    let unreadable = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > most {
        return Err(ImageError::Manifest {
            path: path.to_owned(),
            reason: format!("it has {length} bytes; at most {most} are read"),
        });
    }
    fs::read(path).map_err(unreadable)
}
