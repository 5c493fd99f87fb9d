//! Why an image has no list of root hashes.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::{Digest, LayerError};

/// Why an image has no list of root hashes.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A layer has no hash.
    #[error("layer {index} ({diff_id})")]
    Layer {
        /// Its place, from the bottom, counted from 0.
        index: usize,
        /// Its digest in the image's configuration.
        diff_id: Digest,
        /// Why.
        source: LayerError,
    },
    /// The source cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path is not a layer, an archive or a layout.
    #[error(
        "{path} is neither a layer's tar, nor an image archive, nor an OCI image layout: {reason}"
    )]
    Unrecognised {
        /// The path.
        path: PathBuf,
        /// What is missing.
        reason: &'static str,
    },
    /// An archive's member is there twice, or is a link that ends nowhere.
    #[error("the image archive: {entry}: {reason}")]
    Archive {
        /// The member.
        entry: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A part that a document names is not there.
    #[error("the image has no {what}")]
    Missing {
        /// The part.
        what: String,
    },
    /// An index, manifest or configuration is not what it should be.
    #[error("{what} is malformed: {reason}")]
    Document {
        /// Which document.
        what: String,
        /// Where and why.
        reason: String,
    },
    /// A document is not what its digest says.
    #[error("{what} has digest {actual}, not {expected}")]
    Digest {
        /// Which document.
        what: String,
        /// What refers to it says.
        expected: Digest,
        /// What the bytes say.
        actual: Digest,
    },
    /// A document has another size than what refers to it says, or is larger than any honest one.
    #[error("{what} has {actual} bytes, not {expected}")]
    Size {
        /// Which document.
        what: String,
        /// What is announced, or the most that is accepted.
        expected: u64,
        /// What there is, or what is announced.
        actual: u64,
    },
    /// A media type that is not supported.
    #[error("{what} has media type {media_type:?}, which is not supported")]
    MediaType {
        /// Which part.
        what: String,
        /// The type.
        media_type: String,
    },
    /// A document that is an index and a manifest at once: different readers would see different images.
    #[error("{what} is an index and a manifest at once")]
    Confused {
        /// Which document.
        what: String,
    },
    /// The image is not made for the platform.
    #[error("the image has nothing for {wanted}; it has {}", listed(.present))]
    NoPlatform {
        /// What was asked for.
        wanted: String,
        /// What there is.
        present: Vec<String>,
    },
    /// An index says of an image that it is for another platform than the image itself says.
    #[error("an image is listed for {listed}, but its configuration says {actual}")]
    ForgedPlatform {
        /// What the index says.
        listed: String,
        /// What the image says.
        actual: String,
    },
    /// More than one image fits.
    #[error("more than one image fits; name one of {}", listed(.present))]
    Ambiguous {
        /// Names or digests.
        present: Vec<String>,
    },
    /// No image has the name.
    #[error("there is no image {wanted:?}; there are {}", listed(.present))]
    NoSuchImage {
        /// What was asked for.
        wanted: String,
        /// Names that there are.
        present: Vec<String>,
    },
    /// The manifest and the configuration disagree on the layers.
    #[error("the manifest has {manifest} layers, the configuration {config}")]
    LayerCount {
        /// In the manifest.
        manifest: usize,
        /// In the configuration.
        config: usize,
    },
    /// A layer that stands alone has no hash.
    #[error("{what}")]
    Alone {
        /// The file, or the stream.
        what: String,
        /// Why.
        source: LayerError,
    },
    /// What should name an image of a registry or of an engine does not.
    #[error("{reference:?} names no image: {reason}")]
    Reference {
        /// What was given.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A registry or an engine cannot be reached, or does not answer as it should.
    #[error("{place} did not give {what}: {reason}")]
    Remote {
        /// Which registry or engine.
        place: String,
        /// What was asked for.
        what: String,
        /// What happened.
        reason: String,
    },
    /// A registry does not give an image to this account, or to nobody in particular.
    #[error("{place} refuses {what} {account}: {reason}")]
    Denied {
        /// Which registry.
        place: String,
        /// What was asked for.
        what: String,
        /// With which credential.
        account: String,
        /// What it says.
        reason: String,
    },
    /// A registry wants a token to be asked for where the credential would be in clear. Nothing was sent there.
    #[error("{place} did not give {what}: {reason}; nothing was sent there")]
    Realm {
        /// Which registry.
        place: String,
        /// What was asked for.
        what: String,
        /// Where it points, and why that is refused.
        reason: String,
    },
    /// The credential for a registry cannot be had.
    #[error("the credential for {registry}: {reason}")]
    Credential {
        /// Which registry.
        registry: String,
        /// What is wrong.
        reason: String,
    },
    /// Another user could have written the cache.
    #[error("cache {path}: {reason}; whoever writes there chooses what a policy allows")]
    CacheUnsafe {
        /// The directory.
        path: PathBuf,
        /// Who else.
        reason: &'static str,
    },
    /// The cache cannot be written.
    #[error("cache {path} cannot be written")]
    CacheWrite {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ImageError {
    /// The stable code, as in `docs/errors.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Layer { source, .. } | Self::Alone { source, .. } => source.code(),
            Self::Read { .. } => "CR-LAYER-0030",
            Self::Unrecognised { .. } => "CR-LAYER-0031",
            Self::Archive { .. } => "CR-LAYER-0032",
            Self::Missing { .. } => "CR-LAYER-0033",
            Self::Document { .. } => "CR-LAYER-0034",
            Self::Digest { .. } => "CR-LAYER-0035",
            Self::Size { .. } => "CR-LAYER-0036",
            Self::MediaType { .. } => "CR-LAYER-0037",
            Self::Confused { .. } => "CR-LAYER-0038",
            Self::NoPlatform { .. } => "CR-LAYER-0039",
            Self::ForgedPlatform { .. } => "CR-LAYER-0040",
            Self::Ambiguous { .. } => "CR-LAYER-0041",
            Self::NoSuchImage { .. } => "CR-LAYER-0042",
            Self::LayerCount { .. } => "CR-LAYER-0043",
            Self::CacheUnsafe { .. } => "CR-LAYER-0044",
            Self::CacheWrite { .. } => "CR-LAYER-0045",
            Self::Reference { .. } => "CR-LAYER-0046",
            Self::Remote { .. } => "CR-LAYER-0047",
            Self::Denied { .. } => "CR-LAYER-0048",
            Self::Credential { .. } => "CR-LAYER-0049",
            Self::Realm { .. } => "CR-LAYER-0050",
        }
    }
}

/// At most twenty, as text.
fn listed(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => names
            .iter()
            .take(20)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    }
}
