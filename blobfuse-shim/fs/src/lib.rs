//! The file system over a blob store: inodes, handles, read-ahead, write-back; no FUSE and no HTTP.
//!
//! Files are written front to back: whole extents leave as blocks while the file is written, the last extent can still
//! be overwritten in memory, and `fsync`, `flush` and `close` are a durable, conditional commit or an error. Once an
//! operation lost data its error stays until the last handle is closed, and [`FileSystem::seal`] refuses to vouch for
//! what was lost. What storage cannot do (links, renaming directories, random writes into sealed extents) is refused
//! with ENOTSUP, never half done.

mod directory;
mod encoder;
mod error;
mod file;
mod handle;
mod inner;
mod inode;
mod names;
mod seal;
mod system;
mod tree;
mod write;

use std::time::{Duration, SystemTime};

use blob_format::Params;

pub use error::FsError;
pub use seal::Sealed;
pub use system::{FileSystem, Opened};

/// Inode of the root directory.
pub const ROOT: u64 = 1;

/// How content lies in storage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// As it is; the service encrypts with the customer-provided key.
    Cpk,
    /// Format v2; the service sees cipher text only.
    CseV2(Params),
}

/// Bounds and behaviour of a mount.
#[derive(Clone, Debug)]
pub struct Options {
    /// Refuse every change.
    pub read_only: bool,
    /// How long a directory's listing is believed.
    pub ttl: Duration,
    /// Time for one storage operation, as a last bound above the store's own.
    pub deadline: Duration,
    /// How long the release of a closed handle may be on its way.
    pub release: Duration,
    /// Largest read-ahead of one handle, in bytes.
    pub window: u64,
    /// Memory for read-ahead of all handles, in bytes.
    pub read_memory: u64,
    /// Memory for blocks on their way to storage, in bytes.
    pub write_memory: u64,
    /// Most files open for writing at once; each holds up to one extent.
    pub writers: usize,
    /// Largest existing file that can be appended to, in bytes: appending rewrites it.
    pub append_limit: u64,
}

impl Default for Options {
    /// Sized for a container of 512 MiB.
    fn default() -> Self {
        Self {
            read_only: true,
            ttl: Duration::from_secs(5),
            deadline: Duration::from_secs(330),
            release: Duration::from_secs(1),
            window: 4 << 20,
            read_memory: 64 << 20,
            write_memory: 64 << 20,
            writers: 32,
            append_limit: 1 << 30,
        }
    }
}

/// File or directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File,
}

/// What `stat` shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attr {
    /// Inode number.
    pub ino: u64,
    /// File or directory.
    pub kind: Kind,
    /// Clear length in bytes.
    pub size: u64,
    /// Last commit.
    pub modified: SystemTime,
}

/// One name in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DirEntry {
    /// Inode number, or a number derived from the path while no inode is in use.
    pub ino: u64,
    /// File or directory.
    pub kind: Kind,
    /// Name without path.
    pub name: String,
}

/// What `setattr` is asked to change.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// New length in bytes.
    pub size: Option<u64>,
    /// New permission bits.
    pub mode: Option<u32>,
    /// New modification time; `None` inside means now.
    pub modified: Option<Option<SystemTime>>,
}

#[cfg(test)]
mod tests;
