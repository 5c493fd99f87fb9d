use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{ImageReference, PolicyError};

/// The longest `images.json`, bytes.
const MOST_BYTES: u64 = 4 << 20;

/// The images that a deployment may pin, as the image builder lists them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct ImageManifest(Vec<ImageEntry>);

/// One image.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ImageEntry {
    /// Name, such as `skr-agent`.
    pub name: String,
    /// `sha256:` and 64 hex digits: what the policy pins.
    pub digest: String,
    /// `sha256:` and 64 hex digits of the configuration: what Docker calls the image.
    #[serde(default)]
    pub config: Option<String>,
    /// The same program on this machine, for the `local` target.
    #[serde(default)]
    pub executable: Option<PathBuf>,
    /// Hex SHA-256 of the program.
    #[serde(default)]
    pub executable_sha256: Option<String>,
    /// Its layers, bottom first; empty where nobody has hashed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<ImageLayer>,
}

/// One layer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ImageLayer {
    /// `sha256:` and 64 hex digits of the uncompressed tar.
    pub diff_id: String,
    /// 64 hex digits: the dm-verity root hash that the policy pins.
    pub root_hash: String,
}

/// Whoever knows the root hashes of images.
pub trait Layers {
    /// The root hashes of an image's layers, bottom first; never none.
    ///
    /// # Errors
    /// [`PolicyError::NoLayers`].
    fn root_hashes(&self, image: &ImageReference) -> Result<Vec<String>, PolicyError>;
}

impl Layers for ImageManifest {
    fn root_hashes(&self, image: &ImageReference) -> Result<Vec<String>, PolicyError> {
        let layers = self.by_digest(&image.digest).map(|entry| &entry.layers);
        checked(
            image,
            layers
                .into_iter()
                .flatten()
                .map(|layer| layer.root_hash.as_str()),
        )
    }
}

/// By the digest of the image.
impl Layers for BTreeMap<String, Vec<String>> {
    fn root_hashes(&self, image: &ImageReference) -> Result<Vec<String>, PolicyError> {
        let layers = self.get(&image.digest);
        checked(image, layers.into_iter().flatten().map(String::as_str))
    }
}

fn checked<'h>(
    image: &ImageReference,
    hashes: impl Iterator<Item = &'h str>,
) -> Result<Vec<String>, PolicyError> {
    let hashes: Vec<String> = hashes.map(ToOwned::to_owned).collect();
    if hashes.is_empty() || !hashes.iter().all(|hash| is_sha256(hash)) {
        return Err(PolicyError::NoLayers {
            image: image.reference(None),
        });
    }
    Ok(hashes)
}

fn is_sha256(hex: &str) -> bool {
    hex.len() == 64
        && hex
            .bytes()
            .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
}

impl ImageManifest {
    /// A manifest of these entries.
    pub const fn new(entries: Vec<ImageEntry>) -> Self {
        Self(entries)
    }

    /// Reads `images.json`.
    ///
    /// # Errors
    /// [`PolicyError::Images`]: missing, unreadable, longer than 4 MiB, or as for [`ImageManifest::checked`].
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let refused = |reason: String| PolicyError::Images {
            path: path.to_owned(),
            reason,
        };
        let mut text = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| {
            file.take(MOST_BYTES.saturating_add(1))
                .read_to_end(&mut text)
        });
        read.map_err(|error| refused(error.to_string()))?;
        if text.len() as u64 > MOST_BYTES {
            return Err(refused(format!("longer than {MOST_BYTES} bytes")));
        }
        let entries = serde_json::from_slice(&text).map_err(|error| refused(error.to_string()))?;
        Self::checked(path, entries)
    }

    /// A manifest of the entries that `path` lists.
    ///
    /// # Errors
    /// [`PolicyError::Images`]: a name listed twice, a digest or root hash that is none, or a digest with two lists of layers.
    pub fn checked(path: &Path, entries: Vec<ImageEntry>) -> Result<Self, PolicyError> {
        let refused = |reason: String| PolicyError::Images {
            path: path.to_owned(),
            reason,
        };
        let mut names = BTreeSet::new();
        let mut known: BTreeMap<&String, &Vec<ImageLayer>> = BTreeMap::new();
        for entry in &entries {
            if !names.insert(&entry.name) {
                return Err(refused(format!("{:?} is listed twice", entry.name)));
            }
            let layers = entry.layers.iter().map(|layer| &layer.diff_id);
            for digest in layers.chain([&entry.digest]) {
                if !digest.strip_prefix("sha256:").is_some_and(is_sha256) {
                    return Err(refused(format!("{digest:?} is no digest")));
                }
            }
            if let Some(layer) = entry.layers.iter().find(|one| !is_sha256(&one.root_hash)) {
                return Err(refused(format!("{:?} is no root hash", layer.root_hash)));
            }
            if let Some(other) = known.insert(&entry.digest, &entry.layers)
                && *other != entry.layers
            {
                return Err(refused(format!("{} has two lists of layers", entry.digest)));
            }
        }
        Ok(Self(entries))
    }

    /// The entry of a name.
    ///
    /// # Errors
    /// [`PolicyError::NoImage`].
    pub fn image(&self, name: &str) -> Result<&ImageEntry, PolicyError> {
        self.0
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| PolicyError::NoImage {
                name: name.to_owned(),
            })
    }

    /// All entries.
    pub fn entries(&self) -> &[ImageEntry] {
        &self.0
    }

    /// The entry of a digest.
    pub fn by_digest(&self, digest: &str) -> Option<&ImageEntry> {
        self.0.iter().find(|entry| entry.digest == digest)
    }
}

impl ImageEntry {
    /// The program of this machine, after comparing it with the manifest.
    ///
    /// # Errors
    /// There is none, or it is another program.
    pub fn verified_executable(&self) -> Result<PathBuf, PolicyError> {
        let (Some(path), Some(expected)) = (&self.executable, &self.executable_sha256) else {
            return Err(PolicyError::NoImage {
                name: self.name.clone(),
            });
        };
        let unreadable = |error: std::io::Error| PolicyError::Images {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mut hasher = Sha256::new();
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        std::io::copy(&mut file, &mut Writer(&mut hasher)).map_err(unreadable)?;
        let actual = hex::encode(hasher.finalize());
        if actual != *expected {
            return Err(PolicyError::Executable {
                name: self.name.clone(),
                path: path.clone(),
                expected: expected.clone(),
                actual,
            });
        }
        Ok(path.clone())
    }
}

struct Writer<'a>(&'a mut Sha256);

impl std::io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
