//! Digests of what passes by.
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::ImageError;

/// Hashes and counts everything written through it.
pub(crate) struct Hashing<W> {
    inner: W,
    digest: Sha256,
    length: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            digest: Sha256::new(),
            length: 0,
        }
    }

    /// The writer, the hex digest and the number of bytes.
    pub(crate) fn finish(self) -> (W, String, u64) {
        (self.inner, hex::encode(self.digest.finalize()), self.length)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or(bytes));
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hex SHA-256 of a file, in constant memory.
pub(crate) fn of_file(path: &Path) -> Result<String, ImageError> {
    let unreadable = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(unreadable)?;
        match buffer.get(..read) {
            Some([]) | None => return Ok(hex::encode(digest.finalize())),
            Some(part) => digest.update(part),
        }
    }
}

/// Hex SHA-256 of bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
