use std::sync::Arc;

use cleanroom_crypto::mac::HmacSha256;
use cleanroom_crypto::{Dek, Zeroizing, kdf};

use crate::CliError;

/// Names clear content to its owner: a MAC under a key derived from the data key, so that what a journal keeps tells
/// nobody else what the content is.
#[derive(Clone)]
pub(super) struct ContentKey(Arc<Zeroizing<[u8; 32]>>);

impl ContentKey {
    pub(super) fn of(dek: &Dek) -> Result<Self, CliError> {
        let prk = kdf::hkdf_extract_sha256(&[], dek.expose());
        let mut key = Zeroizing::new([0; 32]);
        kdf::hkdf_expand_sha256(&prk, &[b"cleanroom/transfer-content"], key.as_mut_slice())?;
        Ok(Self(Arc::new(key)))
    }

    /// Starts a content of a known length.
    pub(super) fn content(&self, length: u64) -> HmacSha256 {
        let mut mac = HmacSha256::new(self.0.as_slice());
        mac.update(&[0]);
        mac.update(&length.to_le_bytes());
        mac
    }

    /// Names a version of a file at a place, for the partial file that a transfer of it leaves.
    pub(super) fn version(&self, parts: &[&str]) -> [u8; 32] {
        let mut mac = HmacSha256::new(self.0.as_slice());
        mac.update(&[2]);
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.finish()
    }
}
