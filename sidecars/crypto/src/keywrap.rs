//! AES key wrap without (RFC 3394, `A256KW`) and with padding (RFC 5649), and the PKCS#11 `CKM_RSA_AES_KEY_WRAP` envelope
//! around the latter.

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap, KeyWrapPadded};
use zeroize::Zeroizing;

use crate::rsa::{OaepHash, PrivateKey, PublicKey};
use crate::{CryptoError, random};

/// Wraps a key of at least 16 bytes, a multiple of 8 (RFC 3394); the result is 8 bytes longer.
///
/// # Errors
/// [`CryptoError::Encrypt`] for another length.
pub fn wrap_kw(kek: &[u8; 32], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut out = vec![0; key.len() + 8];
    let length = AesKek::new(&AES_256, kek)
        .and_then(|kek| kek.wrap(key, &mut out).map(|out| out.len()))
        .map_err(|_| CryptoError::Encrypt)?;
    out.truncate(length);
    Ok(out)
}

/// Unwraps what [`wrap_kw`] wrapped.
///
/// # Errors
/// [`CryptoError::Decrypt`] if it was not wrapped with `kek` or was changed.
pub fn unwrap_kw(kek: &[u8; 32], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut out = Zeroizing::new(vec![0; wrapped.len()]);
    let length = AesKek::new(&AES_256, kek)
        .and_then(|kek| kek.unwrap(wrapped, &mut out).map(|out| out.len()))
        .map_err(|_| CryptoError::Decrypt)?;
    out.truncate(length);
    Ok(out)
}

/// Wraps a key of any length ≥ 1 byte.
///
/// # Errors
/// [`CryptoError::Encrypt`] for an empty key.
pub fn wrap_kwp(kek: &[u8; 32], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut out = vec![0; key.len() + 15];
    let length = AesKek::new(&AES_256, kek)
        .and_then(|kek| kek.wrap_with_padding(key, &mut out).map(|out| out.len()))
        .map_err(|_| CryptoError::Encrypt)?;
    out.truncate(length);
    Ok(out)
}

/// Unwraps a key.
///
/// # Errors
/// [`CryptoError::Decrypt`] if it was not wrapped with `kek` or was changed.
pub fn unwrap_kwp(kek: &[u8; 32], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut out = Zeroizing::new(vec![0; wrapped.len()]);
    let length = AesKek::new(&AES_256, kek)
        .and_then(|kek| {
            kek.unwrap_with_padding(wrapped, &mut out)
                .map(|out| out.len())
        })
        .map_err(|_| CryptoError::Decrypt)?;
    out.truncate(length);
    Ok(out)
}

/// Opens RSA-OAEP(AES-256 key) ‖ KWP(payload).
///
/// # Errors
/// [`CryptoError::Length`] or [`CryptoError::Decrypt`].
pub fn unwrap_rsa_aes(
    key: &PrivateKey,
    hash: OaepHash,
    blob: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let (sealed, wrapped) = blob
        .split_at_checked(key.modulus_len())
        .ok_or(CryptoError::Length("a wrapped key"))?;
    let kek = key.decrypt_oaep(hash, sealed)?;
    let kek: &[u8; 32] = kek
        .as_slice()
        .try_into()
        .map_err(|_| CryptoError::Length("the AES key in a wrapped key"))?;
    unwrap_kwp(kek, wrapped)
}

/// Makes RSA-OAEP(fresh AES-256 key) ‖ KWP(payload).
///
/// # Errors
/// [`CryptoError::Encrypt`] or [`CryptoError::Random`].
pub fn wrap_rsa_aes(
    key: &PublicKey,
    hash: OaepHash,
    payload: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let mut kek = Zeroizing::new([0; 32]);
    random::fill(kek.as_mut_slice())?;
    let mut blob = key.encrypt_oaep(hash, kek.as_slice())?;
    blob.extend_from_slice(&wrap_kwp(&kek, payload)?);
    Ok(blob)
}
