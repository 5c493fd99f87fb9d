//! The file system over a blob store: inodes, handles, read-ahead, write-back; no FUSE and no HTTP.
//!
//! A file is a committed version, and a draft of what was written since. Reads see both. Changed extents are kept in
//! memory and leave sealed, as staged blocks, when they are full or memory is short; `fsync`, `flush` and `close` are one
//! durable, conditional commit or an error. Once an operation lost data its error stays until the last handle is closed,
//! and [`FileSystem::seal`] refuses to vouch for what was lost. What storage cannot do is refused, never half done.
//!
//! All content in memory (cache, read-ahead, write-back, uploads under way, answers) counts against one budget; who
//! finds none waits.

mod ahead;
mod budget;
mod buffers;
mod cache;
mod codec;
mod commit;
mod digests;
mod directory;
mod draft;
mod error;
mod file;
mod findings;
mod inner;
mod inode;
mod measure;
mod names;
mod opening;
mod pinned;
mod read;
mod rename;
mod seal;
mod system;
mod take_over;
mod tree;
mod version;
mod write;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use blob_format::Params;
use blob_format::azure::{Integrity, RegionSize};
use blob_format::v1::BlockSize;

pub use budget::least_memory;
pub use buffers::Buffers;
pub use error::FsError;
pub use findings::Finding;
pub use seal::Sealed;
pub use system::{FileSystem, Opened};

/// Inode of the root directory.
pub const ROOT: u64 = 1;

/// How content lies in storage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// As it is; the service encrypts with the customer-provided key, and sees clear text while it does.
    Cpk,
    /// As it is; the service encrypts with its own key, and sees clear text whenever it wants to.
    Sse,
    /// Format v2; the service sees cipher text only.
    CseV2(Params),
    /// Upstream's format; the service sees cipher text only.
    CseV1(BlockSize),
    /// The Azure SDKs' format, with regions of this size in new files; the service sees cipher text only.
    CseAzure(RegionSize, Integrity),
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
    /// Memory for all file content together, in bytes; never exceeded.
    pub memory: u64,
    /// Most blocks on their way to storage at once; fewer if the budget is small.
    pub uploads: usize,
    /// Most files open for writing at once.
    pub writers: usize,
    /// Most zeros that one write or truncation may add, in bytes: storage knows no holes.
    pub hole_limit: u64,
    /// Largest file that is renamed by copying it, in bytes.
    pub copy_limit: u64,
    /// How envelopes of Azure client-side encryption call the data key: the name of the secret that holds it wrapped.
    pub key_id: String,
    /// Unused buffers, if the store receives content in them, too.
    pub buffers: Option<Arc<Buffers>>,
}

impl Default for Options {
    /// Sized for a container of 512 MiB.
    fn default() -> Self {
        Self {
            read_only: true,
            ttl: Duration::from_secs(5),
            deadline: Duration::from_secs(330),
            release: Duration::from_secs(1),
            window: 16 << 20,
            memory: 256 << 20,
            uploads: 8,
            writers: 1024,
            hole_limit: 64 << 30,
            copy_limit: 64 << 30,
            key_id: String::new(),
            buffers: None,
        }
    }
}

impl Options {
    /// The part of the memory that answers to reads under way may have.
    pub(crate) fn answers(&self) -> u64 {
        (self.memory / 16).clamp(64 << 10, 16 << 20)
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
    /// Last commit, or now if something was written since.
    pub modified: SystemTime,
    /// No name leads to it any more.
    pub unlinked: bool,
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
