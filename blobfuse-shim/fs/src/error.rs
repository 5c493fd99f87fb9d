use blob_format::FormatError;
use blob_store::StoreError;
use sidecar_http::{Coded, Fault};
use thiserror::Error;

/// Why a file operation failed.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum FsError {
    /// No such file or directory.
    #[error("no such file or directory")]
    NotFound,
    /// The name is taken.
    #[error("the name is taken")]
    Exists,
    /// A file where a directory is needed.
    #[error("not a directory")]
    NotDirectory,
    /// A directory where a file is needed.
    #[error("a directory")]
    IsDirectory,
    /// The directory holds something.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The mount is read-only.
    #[error("the mount is read-only")]
    ReadOnly,
    /// The mount was sealed.
    #[error("the mount is sealed")]
    Sealed,
    /// Somebody else writes the file.
    #[error("the file is being written")]
    Busy,
    /// Blob storage cannot do it.
    #[error("not supported: {0}")]
    NotSupported(&'static str),
    /// A name that storage or the mount reserves.
    #[error("the name is not possible")]
    Name,
    /// A name or path that is longer than storage takes.
    #[error("the name is too long")]
    LongName,
    /// Too many files are open for writing.
    #[error("too many files are open for writing")]
    TooMany,
    /// An unknown inode or handle, or one of the wrong kind.
    #[error("bad handle")]
    Handle,
    /// The file would be larger than the format or the mount allows.
    #[error("the file is too large")]
    TooLarge,
    /// The blob was exchanged while it was open.
    #[error("the file was changed in storage while it was open")]
    Stale,
    /// The name led to a file a moment ago; the kernel looks again.
    #[error("the name no longer leads to a file")]
    Gone,
    /// A commit met another version than the one the file was opened at, or sealing another one than was committed.
    #[error("the file was changed in storage by somebody else")]
    Conflict,
    /// Content that was written did not reach storage.
    #[error("{0} files were written but never committed")]
    Lost(usize),
    /// Storage takes no more data.
    #[error("storage is full")]
    Full,
    /// It cannot be renamed in one step; `mv` copies instead.
    #[error("cannot be renamed in one step: {0}")]
    CrossDevice(&'static str),
    /// The manifest that the contract pins lists the file.
    #[error("the file is in the manifest that the contract pins, but not in storage")]
    Missing,
    /// The contract pins a manifest; storage has none.
    #[error("the contract pins a manifest, and the dataset has none")]
    NoManifest,
    /// The memory of the mount is too small for the manifest that the contract pins.
    #[error("the memory limit is too small for a manifest of {0} bytes")]
    ManifestMemory(u64),
    /// The content is not what was written, or not ours.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Storage failed.
    #[error("{message}")]
    Store {
        /// The store's code.
        code: String,
        /// The store's text.
        message: String,
        /// The store's verdict.
        fault: Fault,
    },
}

impl From<StoreError> for FsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            StoreError::Exists => Self::Exists,
            StoreError::Changed => Self::Stale,
            StoreError::Full => Self::Full,
            StoreError::NotEmpty => Self::NotEmpty,
            error => Self::Store {
                code: error.code().to_owned(),
                message: sidecar_http::chain(&error),
                fault: error.fault(),
            },
        }
    }
}

impl FsError {
    /// The errno that the kernel hands to the application.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::NotFound => libc::ENOENT,
            Self::Exists => libc::EEXIST,
            Self::NotDirectory => libc::ENOTDIR,
            Self::IsDirectory => libc::EISDIR,
            Self::NotEmpty => libc::ENOTEMPTY,
            Self::ReadOnly | Self::Sealed => libc::EROFS,
            Self::Busy => libc::EBUSY,
            Self::NotSupported(_) => libc::ENOTSUP,
            Self::Name => libc::EINVAL,
            Self::LongName => libc::ENAMETOOLONG,
            Self::TooMany => libc::ENFILE,
            Self::Handle => libc::EBADF,
            Self::TooLarge => libc::EFBIG,
            Self::Stale | Self::Gone => libc::ESTALE,
            Self::Full => libc::ENOSPC,
            Self::CrossDevice(_) => libc::EXDEV,
            Self::Format(FormatError::TooLarge) => libc::EFBIG,
            Self::ManifestMemory(_) => libc::ENOMEM,
            Self::Conflict
            | Self::Lost(_)
            | Self::Missing
            | Self::NoManifest
            | Self::Format(_)
            | Self::Store { .. } => libc::EIO,
        }
    }

    /// Whether it tells of a fault, rather than of a request that cannot be met.
    pub const fn is_fault(&self) -> bool {
        matches!(self.errno(), libc::EIO | libc::ENOSPC) || matches!(self, Self::Stale)
    }
}

impl Coded for FsError {
    fn code(&self) -> &str {
        match self {
            Self::NotFound => "CR-MOUNT-0001",
            Self::Exists => "CR-MOUNT-0002",
            Self::NotDirectory => "CR-MOUNT-0003",
            Self::IsDirectory => "CR-MOUNT-0004",
            Self::NotEmpty => "CR-MOUNT-0005",
            Self::ReadOnly => "CR-MOUNT-0006",
            Self::Sealed => "CR-MOUNT-0007",
            Self::Busy => "CR-MOUNT-0008",
            Self::NotSupported(_) => "CR-MOUNT-0009",
            Self::Name => "CR-MOUNT-0010",
            Self::TooMany => "CR-MOUNT-0011",
            Self::Handle => "CR-MOUNT-0012",
            Self::TooLarge => "CR-MOUNT-0013",
            Self::Stale => "CR-MOUNT-0014",
            Self::Conflict => "CR-MOUNT-0015",
            Self::Lost(_) => "CR-MOUNT-0016",
            Self::Gone => "CR-MOUNT-0017",
            Self::Full => "CR-MOUNT-0018",
            Self::CrossDevice(_) => "CR-MOUNT-0019",
            Self::Missing => "CR-MOUNT-0020",
            Self::NoManifest => "CR-MOUNT-0021",
            Self::ManifestMemory(_) => "CR-MOUNT-0022",
            Self::LongName => "CR-MOUNT-0029",
            Self::Format(error) => error.code(),
            Self::Store { code, .. } => code,
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Store { fault, .. } => *fault,
            Self::Stale
            | Self::Conflict
            | Self::Lost(_)
            | Self::Full
            | Self::Missing
            | Self::NoManifest
            | Self::Format(_) => Fault::Upstream { retry: false },
            Self::ReadOnly | Self::Sealed => Fault::Denied,
            _ => Fault::Caller,
        }
    }
}
