//! The same operations by RustCrypto, so that neither provider is the only judge of its own output.
//!
//! Not used for production traffic: AES-GCM here is slower, and the `rsa` crate's private operation is not proven
//! constant-time.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey};
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use crate::CryptoError;

/// The hash of an OAEP padding; there is no SHA-1 in this provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OaepHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

/// AES-256-GCM: encrypts `buffer` and appends the tag.
///
/// # Errors
/// [`CryptoError::Encrypt`] past GCM's limit.
pub fn seal(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    Aes256Gcm::new(key.into())
        .encrypt_in_place(nonce.into(), aad, buffer)
        .map_err(|_| CryptoError::Encrypt)
}

/// AES-256-GCM: checks and decrypts `buffer`, and strips the tag.
///
/// # Errors
/// [`CryptoError::Decrypt`].
pub fn open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    Aes256Gcm::new(key.into())
        .decrypt_in_place(nonce.into(), aad, buffer)
        .map_err(|_| CryptoError::Decrypt)
}

/// RSA-OAEP under a public key in DER `SubjectPublicKeyInfo`.
///
/// # Errors
/// [`CryptoError::Key`] or [`CryptoError::Encrypt`].
pub fn encrypt_oaep(spki: &[u8], hash: OaepHash, clear: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let key =
        rsa::PublicKey::from_public_key_der(spki).map_err(|_| CryptoError::Key("not RSA SPKI"))?;
    match hash {
        OaepHash::Sha256 => key.oaep_encrypt::<Sha256>(clear),
        OaepHash::Sha384 => key.oaep_encrypt::<Sha384>(clear),
    }
    .map_err(|_| CryptoError::Encrypt)
}

/// RSA-OAEP under a private key in DER PKCS#8.
///
/// # Errors
/// [`CryptoError::Key`] or [`CryptoError::Decrypt`].
pub fn decrypt_oaep(
    pkcs8: &[u8],
    hash: OaepHash,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let key =
        rsa::PrivateKey::from_pkcs8_der(pkcs8).map_err(|_| CryptoError::Key("not RSA PKCS#8"))?;
    match hash {
        OaepHash::Sha256 => key.oaep_decrypt::<Sha256>(sealed),
        OaepHash::Sha384 => key.oaep_decrypt::<Sha384>(sealed),
    }
    .map(Zeroizing::new)
    .map_err(|_| CryptoError::Decrypt)
}
