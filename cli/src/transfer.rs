//! Files to blobs and back, in constant memory, a few at a time.

mod download;
mod sealed;
mod upload;

pub(crate) use download::download;
pub(crate) use upload::upload;

/// Files under way at once.
const FILES: usize = 4;
/// Blocks or ranges of one file under way at once.
const PARTS: usize = 3;
/// Bytes per block and per read; a whole number of extents of the default layout.
const CHUNK: u64 = 4 << 20;
/// Names that a dataset keeps for itself.
const OWN_PREFIX: &str = ".cleanroom/";

/// What went over the wire, in clear bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Moved {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Of a download whose every file was compared with the writer's manifest: the keyed root of it, hexadecimal.
    pub(crate) root: Option<String>,
}
