//! HMAC-SHA-256 and comparison in constant time.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};

use crate::CryptoError;
use crate::digest::array;

/// HMAC-SHA-256 of some bytes.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    array(hmac::sign(&key, data).as_ref())
}

/// Checks an HMAC-SHA-256 in constant time.
///
/// # Errors
/// [`CryptoError::Mismatch`].
pub fn verify(key: &[u8], data: &[u8], tag: &[u8]) -> Result<(), CryptoError> {
    equal(&hmac_sha256(key, data), tag)
}

/// Compares two values in a time that depends on their lengths only.
///
/// # Errors
/// [`CryptoError::Mismatch`].
pub fn equal(a: &[u8], b: &[u8]) -> Result<(), CryptoError> {
    constant_time::verify_slices_are_equal(a, b).map_err(|_| CryptoError::Mismatch)
}

/// HMAC-SHA-256 of bytes that arrive in parts.
#[derive(Clone)]
pub struct HmacSha256(hmac::Context);

impl HmacSha256 {
    /// Starts under a key.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Context::with_key(&hmac::Key::new(
            hmac::HMAC_SHA256,
            key,
        )))
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The tag.
    pub fn finish(self) -> [u8; 32] {
        array(self.0.sign().as_ref())
    }
}

impl fmt::Debug for HmacSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha256(..)")
    }
}
