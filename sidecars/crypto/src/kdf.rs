//! HKDF-SHA-256 (RFC 5869), its two halves apart.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use zeroize::Zeroizing;

use crate::{CryptoError, mac};

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Extract: a pseudorandom key of 32 bytes. An empty salt counts as 32 zero bytes.
pub fn hkdf_extract_sha256(salt: &[u8], ikm: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(mac::hmac_sha256(salt, ikm))
}

/// Expand: fills `out` from a pseudorandom key and the parts of `info`, in order.
///
/// # Errors
/// [`CryptoError::Length`] for more than 255 · 32 bytes.
pub fn hkdf_expand_sha256(
    prk: &[u8; 32],
    info: &[&[u8]],
    out: &mut [u8],
) -> Result<(), CryptoError> {
    const TOO_LONG: CryptoError = CryptoError::Length("a derived key");
    Prk::new_less_safe(HKDF_SHA256, prk)
        .expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| TOO_LONG)
}
