use cleanroom_crypto::CryptoError;
use thiserror::Error;

/// Why a file cannot be read or written.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum FormatError {
    /// The marks of format v2 are missing.
    #[error("not a file of format v2")]
    Foreign,
    /// The blob's length fits no clear length, or another one than the footer says.
    #[error("the file is cut off or extended: {blob} bytes")]
    Length {
        /// Length of the blob in bytes.
        blob: u64,
    },
    /// Version, suite, sizes or flags that this reader does not know.
    #[error("the file needs another reader: {0}")]
    Unsupported(&'static str),
    /// Encrypted under another key.
    #[error("the file is encrypted under another key")]
    WrongKey,
    /// Footer and table were not written together under this key.
    #[error("the file's footer was changed")]
    Footer,
    /// A part of the content was changed, moved, or belongs to another commit (v2).
    #[error("the file's content was changed near byte {offset}")]
    Content {
        /// Clear offset of the segment, in bytes.
        offset: u64,
    },
    /// The header at the front differs from the authenticated copy.
    #[error("the file's header was changed")]
    Header,
    /// The file was written under another path.
    #[error("the file belongs to another path")]
    Name,
    /// A write to a part of the file that is already sealed.
    #[error("write at byte {offset}: only bytes from {sealed} on can still change")]
    NotAppend {
        /// Where the write starts, in bytes.
        offset: u64,
        /// First byte that is not sealed yet.
        sealed: u64,
    },
    /// Larger than the format's reader accepts.
    #[error("the file is too large")]
    TooLarge,
    /// A manifest that cannot be read.
    #[error("not a manifest: {0}")]
    Manifest(&'static str),
    /// No random bytes, or a provider's refusal.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A buffer that does not have the length that the call needs.
    #[error("a buffer {0} has the wrong length")]
    Buffer(&'static str),
    /// The store handed out another number of bytes than the plan asks for.
    #[error("{got} bytes came where {wanted} were asked for")]
    Fetched {
        /// Bytes of the plan.
        wanted: u64,
        /// Bytes that came.
        got: u64,
    },
    /// A commit of an extent that was not sealed with the bytes that it must hold.
    #[error("extent {extent} is not sealed for this commit")]
    Incomplete {
        /// Its index.
        extent: u64,
    },
    /// The contract names no format that is known, or a size that it cannot have.
    #[error("the contract's format: {0}")]
    Contract(&'static str),
    /// The blob's length fits no file of the contract's block size (v1).
    #[error("a blob of {blob} bytes is no file with blocks of {mib} MiB, which the contract says")]
    BlockSize {
        /// Length of the blob in bytes.
        blob: u64,
        /// The contract's block size in MiB.
        mib: u32,
    },
    /// The trailer says more padding than a writer makes (v1).
    #[error("the file's trailer was changed: {padding} bytes of padding")]
    Padding {
        /// What the trailer says, in bytes.
        padding: u64,
    },
    /// The padding holds content: the trailer hides the end of the file (v1).
    #[error(
        "the padding of block {index} is not zero: the file's trailer or last block was changed"
    )]
    PaddingContent {
        /// Index of the last block.
        index: u64,
    },
    /// A chunk was changed, or is encrypted under another key (v1).
    #[error("block {index} was changed, or is encrypted under another key")]
    Block {
        /// Its index.
        index: u64,
    },
    /// The key has sealed as many blocks as random nonces allow (v1).
    #[error("the data key has sealed 2^32 blocks: the dataset needs a new key, or format v2")]
    KeyWorn,
    /// A blob without `encryptiondata`: not encrypted by its writer, or stripped of it.
    #[error("the blob has no encryption metadata: it is stored in clear, or was stripped of it")]
    NotEncrypted,
    /// Encryption metadata that no SDK writes.
    #[error("the encryption metadata is not usable: {0}")]
    Envelope(&'static str),
    /// AES-CBC without authentication (protocol 1.0).
    #[error("encryption protocol 1.0 has no authentication and is never read")]
    OldProtocol,
    /// A region's nonce is not the one of its place.
    #[error("region {index} is not at its place")]
    RegionOrder {
        /// Index of the region that should be there.
        index: u64,
    },
    /// A region was changed.
    #[error("region {index} was changed")]
    Region {
        /// Its index.
        index: u64,
    },
    /// A blob without a seal in a dataset where each has one.
    #[error("the blob has no seal, which the contract demands")]
    Unsealed,
    /// A seal of another blob, name or key.
    #[error("the blob's seal does not belong to this name and encryption metadata")]
    Seal,
    /// The blob has another clear length than its seal says.
    #[error("the file is cut off or extended: {length} bytes, sealed were {sealed}")]
    Truncated {
        /// Sealed clear length in bytes.
        sealed: u64,
        /// Clear length that the blob shows, in bytes.
        length: u64,
    },
    /// The manifest is not the one that the contract pins.
    #[error("the manifest is not the one that the contract pins")]
    ManifestRoot,
    /// A file that the manifest does not list.
    #[error("the manifest does not list the file")]
    NotListed,
    /// Another file, or another version of it, than the manifest lists.
    #[error("the file is not the one that the manifest lists")]
    Replaced,
    /// An older or newer commit of the file than the manifest lists.
    #[error("the file is at commit {found}, the manifest lists commit {listed}")]
    RolledBack {
        /// Generation in the manifest.
        listed: u64,
        /// Generation of the file.
        found: u64,
    },
}

impl FormatError {
    /// The stable code (`docs/errors.md`).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Foreign => "CR-FORMAT-0001",
            Self::Length { .. } => "CR-FORMAT-0002",
            Self::Unsupported(_) => "CR-FORMAT-0003",
            Self::WrongKey => "CR-FORMAT-0004",
            Self::Footer => "CR-FORMAT-0005",
            Self::Content { .. } => "CR-FORMAT-0006",
            Self::Header => "CR-FORMAT-0007",
            Self::Name => "CR-FORMAT-0008",
            Self::NotAppend { .. } => "CR-FORMAT-0009",
            Self::TooLarge => "CR-FORMAT-0010",
            Self::Manifest(_) => "CR-FORMAT-0011",
            Self::Crypto(_) => "CR-FORMAT-0012",
            Self::Buffer(_) => "CR-FORMAT-0013",
            Self::Fetched { .. } => "CR-FORMAT-0014",
            Self::Incomplete { .. } => "CR-FORMAT-0015",
            Self::Contract(_) => "CR-FORMAT-0016",
            Self::BlockSize { .. } => "CR-FORMAT-0017",
            Self::Padding { .. } => "CR-FORMAT-0018",
            Self::PaddingContent { .. } => "CR-FORMAT-0019",
            Self::Block { .. } => "CR-FORMAT-0020",
            Self::KeyWorn => "CR-FORMAT-0021",
            Self::NotEncrypted => "CR-FORMAT-0022",
            Self::Envelope(_) => "CR-FORMAT-0023",
            Self::OldProtocol => "CR-FORMAT-0024",
            Self::RegionOrder { .. } => "CR-FORMAT-0025",
            Self::Region { .. } => "CR-FORMAT-0026",
            Self::Unsealed => "CR-FORMAT-0027",
            Self::Seal => "CR-FORMAT-0028",
            Self::Truncated { .. } => "CR-FORMAT-0029",
            Self::ManifestRoot => "CR-FORMAT-0030",
            Self::NotListed => "CR-FORMAT-0031",
            Self::Replaced => "CR-FORMAT-0032",
            Self::RolledBack { .. } => "CR-FORMAT-0033",
        }
    }
}
