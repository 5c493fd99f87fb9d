//! SHA-2.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, SHA384, digest};

/// SHA-256 of some bytes.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    array(digest(&SHA256, data).as_ref())
}

/// SHA-384 of some bytes.
pub fn sha384(data: &[u8]) -> [u8; 48] {
    array(digest(&SHA384, data).as_ref())
}

/// SHA-256 of bytes that arrive in parts.
#[derive(Clone)]
pub struct Sha256(Context);

impl Sha256 {
    /// Starts.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest.
    pub fn finish(self) -> [u8; 32] {
        array(self.0.finish().as_ref())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256(..)")
    }
}

pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}
