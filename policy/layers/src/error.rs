//! Why a layer has no hash.

use std::io;

use thiserror::Error;

use crate::Digest;

/// Why a layer has no hash. Entries are named as the tar names them, other bytes than text escaped.
#[derive(Debug, Error)]
pub enum LayerError {
    /// The source failed.
    #[error("the layer cannot be read")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// The tar ends within an entry.
    #[error("the layer's tar ends within an entry, at byte {offset}")]
    Truncated {
        /// Where.
        offset: u64,
    },
    /// The compressed stream is damaged, ends early, or has something after its end.
    #[error("the layer's {format} stream is damaged: {reason}")]
    Compression {
        /// gzip or zstd.
        format: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// The content is not compressed as its media type says.
    #[error("the layer's content is not {expected}, as its media type says")]
    NotAsDeclared {
        /// What it should be.
        expected: &'static str,
    },
    /// The tar is malformed.
    #[error("the layer's tar is malformed before byte {offset}: {reason}")]
    Tar {
        /// The end of what has been read.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A name that no directory can hold.
    #[error("{entry}: a name of {length} bytes; 1 to 255 are possible")]
    Name {
        /// The entry.
        entry: String,
        /// Of its last or of an implied component.
        length: usize,
    },
    /// A path through something that is not a directory. Links are never followed.
    #[error("{entry}: its path leads through something that is not a directory")]
    NotADirectory {
        /// The entry.
        entry: String,
    },
    /// An entry would replace one that it cannot replace.
    #[error("{entry}: {reason}")]
    Replace {
        /// The entry.
        entry: String,
        /// What would replace what.
        reason: &'static str,
    },
    /// A hard link that cannot be made.
    #[error("{entry}: a hard link to {target}: {reason}")]
    HardLink {
        /// The entry.
        entry: String,
        /// What it links to.
        target: String,
        /// Why not.
        reason: &'static str,
    },
    /// Too many links to one inode.
    #[error("{entry}: more than 65000 links to one file or directory")]
    Links {
        /// The entry.
        entry: String,
    },
    /// An extended attribute does not fit.
    #[error("{entry}: no room for extended attribute {name}")]
    Xattr {
        /// The entry.
        entry: String,
        /// The attribute.
        name: String,
    },
    /// A file or an image that the format cannot hold.
    #[error("{entry}: {what} is larger than the converter can write")]
    TooLarge {
        /// The entry, or the layer.
        entry: String,
        /// The file, or the image.
        what: &'static str,
    },
    /// More of something than the limits allow.
    #[error("the layer has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u64,
    },
    /// A path that is too long.
    #[error("{entry}: a path of {length} bytes; at most {limit} are accepted")]
    Path {
        /// The entry.
        entry: String,
        /// Its bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The blob is not the one that was asked for.
    #[error("the layer's blob has digest {actual}, not {expected}")]
    BlobDigest {
        /// What the manifest says.
        expected: Digest,
        /// What the bytes say.
        actual: Digest,
    },
    /// The blob has another size than announced.
    #[error("the layer's blob has {actual} bytes, not {expected}")]
    BlobSize {
        /// What the manifest says.
        expected: u64,
        /// How many there are; one more than expected where reading stopped.
        actual: u64,
    },
    /// The uncompressed tar is not the one of the image's configuration.
    #[error(
        "the layer's tar has digest {actual}, not {expected} as the image's configuration says"
    )]
    DiffId {
        /// What the configuration says.
        expected: Digest,
        /// What the bytes say.
        actual: Digest,
    },
    /// A thread of the computation ended.
    #[error("a thread that hashes the layer ended early")]
    Worker,
    /// An image file cannot be written.
    #[error("the image cannot be written")]
    Write {
        /// Why.
        source: io::Error,
    },
}

impl LayerError {
    /// The stable code, as in `docs/errors.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "CR-LAYER-0001",
            Self::Truncated { .. } => "CR-LAYER-0002",
            Self::Compression { .. } => "CR-LAYER-0003",
            Self::NotAsDeclared { .. } => "CR-LAYER-0004",
            Self::Tar { .. } => "CR-LAYER-0005",
            Self::Name { .. } => "CR-LAYER-0006",
            Self::NotADirectory { .. } => "CR-LAYER-0007",
            Self::Replace { .. } => "CR-LAYER-0008",
            Self::HardLink { .. } => "CR-LAYER-0009",
            Self::Links { .. } => "CR-LAYER-0010",
            Self::Xattr { .. } => "CR-LAYER-0011",
            Self::TooLarge { .. } => "CR-LAYER-0012",
            Self::Limit { .. } => "CR-LAYER-0013",
            Self::Path { .. } => "CR-LAYER-0014",
            Self::BlobDigest { .. } => "CR-LAYER-0015",
            Self::BlobSize { .. } => "CR-LAYER-0016",
            Self::DiffId { .. } => "CR-LAYER-0017",
            Self::Worker => "CR-LAYER-0018",
            Self::Write { .. } => "CR-LAYER-0019",
        }
    }
}

/// A name of the tar as text of bounded length.
pub(crate) fn shown(name: &[u8]) -> String {
    const MOST: usize = 300;
    match name.get(..MOST) {
        Some(start) if name.len() > MOST => format!("{}…", start.escape_ascii()),
        _ => name.escape_ascii().to_string(),
    }
}
