//! The OCI image format: an index leads to a manifest, which leads to a configuration and layers.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;

use super::document::{
    Config, Descriptor, Document, MOST_BYTES, Manifest, compression, is_wanted, malformed,
};
use super::{Image, ImageSource, Layer, Opened, Platform, Wanted};
use crate::{Digest, ImageError};

/// Indexes within indexes.
const MOST_DEPTH: usize = 3;
/// Images, and indexes of them, that an index may list.
const MOST_IMAGES: usize = 1000;

/// Content by digest, and the document where reading begins.
pub trait Blobs: fmt::Debug + Sync {
    /// An index or a manifest. Of a registry it is what the reference names, already compared with its digest.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn top(&self) -> Result<Vec<u8>, ImageError>;

    /// A blob's bytes, not yet compared with the digest.
    ///
    /// # Errors
    ///
    /// There is none.
    fn blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ImageError>;

    /// An index or a manifest, which registries keep apart from other blobs; not yet compared with the digest.
    ///
    /// # Errors
    ///
    /// There is none.
    fn manifest(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        self.blob(digest)
    }

    /// Opens a layer's blob.
    ///
    /// # Errors
    ///
    /// There is none.
    fn layer(&self, digest: &Digest) -> Result<Opened<'_>, ImageError> {
        self.blob(digest).map(Opened::Blob)
    }
}

/// Images in the OCI format.
#[derive(Debug)]
pub struct OciImages<B>(pub B);

/// What an index and those in it list.
#[derive(Default)]
struct Found {
    candidates: Vec<Descriptor>,
    /// Indexes and manifests. Whatever is listed again is not read again.
    seen: BTreeSet<(bool, Digest)>,
    /// A media type that is neither.
    unknown: Option<String>,
}

impl<B: Blobs> ImageSource for OciImages<B> {
    fn image(&self, wanted: &Wanted) -> Result<Image, ImageError> {
        let top = self.0.top()?;
        let entries = match Document::parse(&top, None)? {
            Document::Manifest(manifest) => {
                let digest = Digest::of(&top);
                if let Some(name) = &wanted.name
                    && !is_wanted(name, Some(digest), std::iter::empty())
                {
                    return Err(ImageError::NoSuchImage {
                        wanted: name.clone(),
                        present: vec![digest.to_string()],
                    });
                }
                return self.of_manifest(&top, &manifest, &wanted.platform, None);
            }
            Document::Index(entries) => named(entries, wanted)?,
        };
        let mut found = Found::default();
        self.collect(entries, 0, &mut found)?;
        if let (true, Some(media_type)) = (found.candidates.is_empty(), found.unknown) {
            return Err(ImageError::MediaType {
                what: "what the index lists".into(),
                media_type,
            });
        }
        self.choose(found.candidates, &wanted.platform)
    }

    fn open(&self, layer: &Layer) -> Result<Opened<'_>, ImageError> {
        let digest = layer.blob.ok_or_else(|| ImageError::Missing {
            what: format!("layer {}", layer.diff_id),
        })?;
        self.0.layer(&digest)
    }
}

impl<B: Blobs> OciImages<B> {
    /// Lists the images of an index and of those in it.
    fn collect(
        &self,
        entries: Vec<Descriptor>,
        depth: usize,
        found: &mut Found,
    ) -> Result<(), ImageError> {
        for descriptor in entries {
            if descriptor.is_attestation() {
                continue;
            }
            let digest = descriptor.digest()?;
            let is_index = descriptor.is_index();
            if !is_index && !descriptor.is_manifest() {
                found.unknown.get_or_insert(descriptor.media_type);
                continue;
            }
            if !found.seen.insert((is_index, digest)) {
                continue;
            }
            if found.seen.len() > MOST_IMAGES {
                return Err(malformed(
                    "an index",
                    "it lists more than 1000 images and indexes",
                ));
            }
            if !is_index {
                found.candidates.push(descriptor);
                continue;
            }
            if depth >= MOST_DEPTH {
                return Err(malformed("an index", "indexes are nested too deeply"));
            }
            let bytes = self.document("an index", &descriptor, Blobs::manifest)?;
            if let Document::Index(entries) = Document::parse(&bytes, Some(&descriptor.media_type))?
            {
                self.collect(entries, depth + 1, found)?;
            }
        }
        Ok(())
    }

    /// The one candidate for a platform. Those of other platforms need not be there.
    fn choose(&self, candidates: Vec<Descriptor>, wanted: &Platform) -> Result<Image, ImageError> {
        let mut present = Vec::new();
        let mut fitting = Vec::new();
        // One is kept: a thousand would take a thousand configurations.
        let mut chosen = None;
        for candidate in candidates {
            let image = match &candidate.platform {
                Some(platform) if !platform.serves(wanted) => {
                    present.push(platform.to_string());
                    continue;
                }
                listed => self.of_descriptor(&candidate, wanted, listed.as_ref()),
            };
            match image {
                Ok(image) => {
                    let name = candidate.names().next().unwrap_or(&candidate.digest);
                    fitting.push(format!("{name} ({})", image.platform));
                    chosen = Some(image);
                }
                Err(ImageError::NoPlatform { present: own, .. }) => present.extend(own),
                Err(error) => return Err(error),
            }
        }
        if fitting.len() > 1 {
            return Err(ImageError::Ambiguous { present: fitting });
        }
        chosen.ok_or_else(|| ImageError::NoPlatform {
            wanted: wanted.to_string(),
            present,
        })
    }

    fn of_descriptor(
        &self,
        descriptor: &Descriptor,
        wanted: &Platform,
        listed: Option<&Platform>,
    ) -> Result<Image, ImageError> {
        let bytes = self.document("the manifest", descriptor, Blobs::manifest)?;
        match Document::parse(&bytes, Some(&descriptor.media_type))? {
            Document::Manifest(manifest) => self.of_manifest(&bytes, &manifest, wanted, listed),
            Document::Index(_) => Err(ImageError::Confused {
                what: "the manifest".into(),
            }),
        }
    }

    fn of_manifest(
        &self,
        bytes: &[u8],
        manifest: &Manifest,
        wanted: &Platform,
        listed: Option<&Platform>,
    ) -> Result<Image, ImageError> {
        manifest.check_config()?;
        let config_bytes = self.document("the configuration", &manifest.config, Blobs::blob)?;
        let config = Config::parse(&config_bytes)?;
        if !config.platform.serves(wanted) {
            return Err(match listed {
                Some(listed) => ImageError::ForgedPlatform {
                    listed: listed.to_string(),
                    actual: config.platform.to_string(),
                },
                None => ImageError::NoPlatform {
                    wanted: wanted.to_string(),
                    present: vec![config.platform.to_string()],
                },
            });
        }
        config.check_layers(manifest.layers.len())?;
        let layer = |(descriptor, diff_id): (&Descriptor, &Digest)| {
            Ok(Layer {
                diff_id: *diff_id,
                blob: Some(descriptor.digest()?),
                size: Some(descriptor.size),
                compression: Some(compression(&descriptor.media_type)?),
                member: None,
            })
        };
        let layers = manifest.layers.iter().zip(&config.diff_ids).map(layer);
        Ok(Image {
            manifest: Some(Digest::of(bytes)),
            config_digest: manifest.config.digest()?,
            layers: layers.collect::<Result<_, ImageError>>()?,
            config: config_bytes,
            platform: config.platform,
        })
    }

    /// Reads what a descriptor refers to and compares size and digest.
    fn document<'s>(
        &'s self,
        what: &str,
        descriptor: &Descriptor,
        open: impl Fn(&'s B, &Digest) -> Result<Box<dyn Read + Send + 's>, ImageError>,
    ) -> Result<Vec<u8>, ImageError> {
        let expected = descriptor.digest()?;
        let bytes = read_document(what, open(&self.0, &expected)?, descriptor.size)?;
        let actual = Digest::of(&bytes);
        if actual != expected {
            return Err(ImageError::Digest {
                what: what.into(),
                expected,
                actual,
            });
        }
        if bytes.len() as u64 != descriptor.size {
            return Err(ImageError::Size {
                what: what.into(),
                expected: descriptor.size,
                actual: bytes.len() as u64,
            });
        }
        Ok(bytes)
    }
}

/// Reads a document, not more of it than is announced and acceptable.
pub(super) fn read_document(
    what: &str,
    source: impl Read,
    announced: u64,
) -> Result<Vec<u8>, ImageError> {
    if announced > MOST_BYTES {
        return Err(ImageError::Size {
            what: what.into(),
            expected: MOST_BYTES,
            actual: announced,
        });
    }
    let mut bytes = Vec::new();
    let read = source
        .take(announced.saturating_add(1))
        .read_to_end(&mut bytes);
    read.map_err(|source| ImageError::Read {
        path: what.into(),
        source,
    })?;
    if bytes.len() as u64 > announced {
        return Err(ImageError::Size {
            what: what.into(),
            expected: announced,
            actual: bytes.len() as u64,
        });
    }
    Ok(bytes)
}

/// The entries of the outermost index that have the wanted name or digest.
fn named(entries: Vec<Descriptor>, wanted: &Wanted) -> Result<Vec<Descriptor>, ImageError> {
    let Some(name) = &wanted.name else {
        return Ok(entries);
    };
    let fits = |entry: &&Descriptor| is_wanted(name, entry.digest().ok(), entry.names());
    let fitting: Vec<Descriptor> = entries.iter().filter(fits).cloned().collect();
    if fitting.is_empty() {
        let names = |entry: &Descriptor| match entry.names().next() {
            Some(name) => name.to_owned(),
            None => entry.digest.clone(),
        };
        return Err(ImageError::NoSuchImage {
            wanted: name.clone(),
            present: entries.iter().map(names).collect(),
        });
    }
    Ok(fitting)
}
