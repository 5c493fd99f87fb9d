//! Indexes, manifests and configurations. They come from anywhere; everything here is a function of bytes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Platform, json};
use crate::layer::Compression;
use crate::{Digest, ImageError};

/// Largest index, manifest or configuration.
pub(super) const MOST_BYTES: u64 = 4 << 20;
const MOST_LAYERS: usize = 256;

const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFEST_TYPES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const CONFIG_TYPES: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// What refers to a blob.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(super) fn digest(&self) -> Result<Digest, ImageError> {
        self.digest
            .parse()
            .map_err(|error| malformed("a descriptor", error))
    }

    pub(super) fn is_index(&self) -> bool {
        INDEX_TYPES.contains(&self.media_type.as_str())
    }

    pub(super) fn is_manifest(&self) -> bool {
        MANIFEST_TYPES.contains(&self.media_type.as_str())
    }

    /// Signatures and provenance beside an image are no images.
    pub(super) fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self.platform.as_ref().is_some_and(Platform::is_unknown)
    }

    /// Names under which an archive lists the image.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let keys = [
            "io.containerd.image.name",
            "org.opencontainers.image.ref.name",
        ];
        keys.into_iter()
            .filter_map(|key| self.annotations.get(key))
            .map(String::as_str)
    }
}

/// An index or a manifest.
#[derive(Debug)]
pub(super) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

impl Document {
    /// Reads an index or manifest, as `media_type` says if it is known.
    pub(super) fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Self, ImageError> {
        const WHAT: &str = "an index or manifest";
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            schema_version: u64,
            media_type: Option<String>,
            manifests: Option<Vec<Descriptor>>,
            config: Option<Descriptor>,
            layers: Option<Vec<Descriptor>>,
        }
        let fields: Fields = json::read(bytes).map_err(|error| malformed(WHAT, error))?;
        if fields.schema_version != 2 {
            return Err(malformed(WHAT, "its schema version is not 2"));
        }
        let declared = media_type.or(fields.media_type.as_deref());
        if fields
            .media_type
            .as_deref()
            .is_some_and(|own| Some(own) != declared)
        {
            return Err(malformed(
                WHAT,
                "its media type is not the one it is listed with",
            ));
        }
        if let Some(other) =
            declared.filter(|kind| !INDEX_TYPES.contains(kind) && !MANIFEST_TYPES.contains(kind))
        {
            return Err(ImageError::MediaType {
                what: WHAT.into(),
                media_type: other.into(),
            });
        }
        let document = match (fields.manifests, fields.config, fields.layers) {
            (Some(manifests), None, None) => Self::Index(manifests),
            (None, Some(config), Some(layers)) => Self::Manifest(Manifest { config, layers }),
            (Some(_), _, _) => return Err(ImageError::Confused { what: WHAT.into() }),
            _ => return Err(malformed(WHAT, "it lists neither manifests nor layers")),
        };
        let fits = declared
            .is_none_or(|kind| INDEX_TYPES.contains(&kind) == matches!(document, Self::Index(_)));
        if fits {
            Ok(document)
        } else {
            Err(ImageError::Confused { what: WHAT.into() })
        }
    }
}

impl Manifest {
    /// Checks that the configuration is one of a container image.
    pub(super) fn check_config(&self) -> Result<(), ImageError> {
        if CONFIG_TYPES.contains(&self.config.media_type.as_str()) {
            return Ok(());
        }
        Err(ImageError::MediaType {
            what: "the configuration".into(),
            media_type: self.config.media_type.clone(),
        })
    }
}

/// How a layer of this media type is compressed.
pub(super) fn compression(media_type: &str) -> Result<Compression, ImageError> {
    match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Compression::None),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Compression::Zstd),
        other => Err(ImageError::MediaType {
            what: "a layer".into(),
            media_type: other.into(),
        }),
    }
}

/// What counts of an image's configuration here.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) platform: Platform,
    pub(super) diff_ids: Vec<Digest>,
}

impl Config {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        const WHAT: &str = "the configuration";
        #[derive(Deserialize)]
        struct Fields {
            #[serde(flatten)]
            platform: Platform,
            rootfs: RootFs,
        }
        #[derive(Deserialize)]
        struct RootFs {
            diff_ids: Vec<String>,
        }
        let fields: Fields = json::read(bytes).map_err(|error| malformed(WHAT, error))?;
        let diff_ids = fields
            .rootfs
            .diff_ids
            .iter()
            .map(|text| text.parse::<Digest>());
        let diff_ids: Vec<Digest> = diff_ids
            .collect::<Result<_, _>>()
            .map_err(|error| malformed(WHAT, error))?;
        if diff_ids.len() > MOST_LAYERS {
            return Err(malformed(WHAT, "it lists more than 256 layers"));
        }
        Ok(Self {
            platform: fields.platform,
            diff_ids,
        })
    }

    /// The configuration must have as many layers as what lists them.
    pub(super) fn check_layers(&self, listed: usize) -> Result<(), ImageError> {
        if listed == self.diff_ids.len() {
            return Ok(());
        }
        Err(ImageError::LayerCount {
            manifest: listed,
            config: self.diff_ids.len(),
        })
    }
}

pub(super) fn malformed(what: &str, reason: impl ToString) -> ImageError {
    ImageError::Document {
        what: what.into(),
        reason: reason.to_string(),
    }
}

/// Whether an image is the wanted one. A digest is only ever compared with the image's own: an archive may list any name.
pub(super) fn is_wanted<'n>(
    wanted: &str,
    digest: Option<Digest>,
    mut names: impl Iterator<Item = &'n str>,
) -> bool {
    match wanted.parse::<Digest>() {
        Ok(wanted) => digest == Some(wanted),
        Err(_) => names.any(|listed| same_name(listed, wanted)),
    }
}

/// `x:y` is short for `docker.io/library/x:y`.
fn same_name(listed: &str, wanted: &str) -> bool {
    let short = |name: &str| {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        name.strip_prefix("library/").unwrap_or(name).to_owned()
    };
    short(listed) == short(wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) {
        for media_type in [None, Some(INDEX_TYPES[0]), Some(MANIFEST_TYPES[0])] {
            let _ = Document::parse(bytes, media_type);
        }
        let _ = Config::parse(bytes);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
        ) {
            read(&bytes);
            let descriptor = r#"{"mediaType":"a","digest":"sha256:0","size":1,"platform":{"os":"o","architecture":"a"}}"#;
            let documents = [
                format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#),
                format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}]}}"#),
                r#"{"os":"o","architecture":"a","rootfs":{"diff_ids":["sha256:0"]}}"#.to_owned(),
            ];
            for document in documents {
                let mut changed = document.into_bytes();
                let at = at.index(changed.len());
                changed[at] = value;
                read(&changed);
            }
        }
    }

    #[test]
    fn documents_nested_without_end_are_malformed() {
        let bottomless = "[".repeat(1 << 20);
        assert!(matches!(
            Config::parse(bottomless.as_bytes()),
            Err(ImageError::Document { .. })
        ));
        let manifest = Document::parse(bottomless.as_bytes(), None);
        assert!(matches!(manifest, Err(ImageError::Document { .. })));
    }
}
