use crate::LayerError;

/// What one layer may cost. A layer beyond a limit is refused before more is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries of the tar, and inodes of the image: implied directories count.
    pub entries: u64,
    /// Bytes of the uncompressed tar, and bytes of the image: holes of sparse files count.
    pub bytes: u64,
    /// Bytes of one path.
    pub path: usize,
    /// Bytes of extended attributes that must stay in memory.
    pub attributes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: 32 << 30,
            path: 4096,
            attributes: 64 << 20,
        }
    }
}

impl Limits {
    pub(crate) fn entries(&self, entries: u64) -> Result<(), LayerError> {
        within(entries, self.entries, "entries")
    }

    pub(crate) fn bytes(&self, bytes: u64) -> Result<(), LayerError> {
        within(bytes, self.bytes, "bytes when unpacked")
    }

    pub(crate) fn attributes(&self, bytes: u64) -> Result<(), LayerError> {
        within(
            bytes,
            self.attributes,
            "bytes of extended attributes of directories",
        )
    }

    pub(crate) fn path(&self, path: &[u8]) -> Result<(), LayerError> {
        if path.len() <= self.path {
            return Ok(());
        }
        Err(LayerError::Path {
            entry: crate::error::shown(path),
            length: path.len(),
            limit: self.path,
        })
    }
}

fn within(value: u64, limit: u64, what: &'static str) -> Result<(), LayerError> {
    if value <= limit {
        return Ok(());
    }
    Err(LayerError::Limit { what, limit })
}
