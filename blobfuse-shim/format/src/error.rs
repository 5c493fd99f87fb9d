use cleanroom_crypto::CryptoError;
use thiserror::Error;

/// Why a file cannot be read or written in format v2.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum FormatError {
    /// The marks of the format are missing.
    #[error("not a file of format v2")]
    Foreign,
    /// The blob's length fits no clear length, or another one than the footer says.
    #[error("the file is cut off or extended: {blob} bytes")]
    Length {
        /// Length of the blob in bytes.
        blob: u64,
    },
    /// Version, suite, sizes or flags that this reader does not know.
    #[error("the file needs a newer reader: {0}")]
    Unsupported(&'static str),
    /// Encrypted under another key.
    #[error("the file is encrypted under another key")]
    WrongKey,
    /// Footer and table were not written together under this key.
    #[error("the file's footer was changed")]
    Footer,
    /// A part of the content was changed, moved, or belongs to another commit.
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
        }
    }
}
