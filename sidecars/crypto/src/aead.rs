//! AES-256-GCM.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::CryptoError;
use crate::digest::array;

/// Bytes that sealing adds.
pub const TAG: usize = 16;

/// AES-256-GCM under one key. The caller must never use a nonce twice under it.
pub struct Aes256Gcm(LessSafeKey);

impl Aes256Gcm {
    /// Schedules a key.
    ///
    /// # Errors
    /// [`CryptoError::Key`]; not met with 32 bytes.
    pub fn new(key: &[u8; 32]) -> Result<Self, CryptoError> {
        let key =
            UnboundKey::new(&AES_256_GCM, key).map_err(|_| CryptoError::Key("AES-256-GCM"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts `buffer` and appends the tag.
    ///
    /// # Errors
    /// [`CryptoError::Encrypt`] past GCM's limit of 64 GiB.
    pub fn seal_in_place(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), CryptoError> {
        let tag = self.seal_slice(nonce, aad, buffer)?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Encrypts `clear` into `sealed`, which is [`TAG`] bytes longer and ends with the tag; no copy is made.
    ///
    /// # Errors
    /// [`CryptoError::Length`] if the buffers do not fit; [`CryptoError::Encrypt`] past GCM's limit of 64 GiB.
    pub fn seal_to(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        clear: &[u8],
        sealed: &mut [u8],
    ) -> Result<(), CryptoError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let (cipher, tag) = sealed
            .split_last_chunk_mut::<TAG>()
            .filter(|(cipher, _)| cipher.len() == clear.len())
            .ok_or(CryptoError::Length("a buffer for sealed data"))?;
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), clear, cipher, &[], tag)
            .map_err(|_| CryptoError::Encrypt)
    }

    /// Checks `sealed`, which ends with its tag, and decrypts it into `clear`, which is [`TAG`] bytes shorter; no copy is
    /// made. On an error `clear` holds zeros.
    ///
    /// # Errors
    /// [`CryptoError::Length`] if the buffers do not fit; [`CryptoError::Decrypt`].
    pub fn open_to(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
        clear: &mut [u8],
    ) -> Result<(), CryptoError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = sealed
            .split_last_chunk::<TAG>()
            .filter(|(cipher, _)| cipher.len() == clear.len())
            .ok_or(CryptoError::Length("a buffer for opened data"))
            .and_then(|(cipher, tag)| {
                self.0
                    .open_separate_gather(nonce, Aad::from(aad), cipher, tag, clear)
                    .map_err(|_| CryptoError::Decrypt)
            });
        if opened.is_err() {
            // What the provider leaves there is unspecified.
            clear.fill(0);
        }
        opened
    }

    /// Encrypts `buffer` and returns the tag.
    ///
    /// # Errors
    /// [`CryptoError::Encrypt`] past GCM's limit of 64 GiB.
    pub fn seal_slice(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG], CryptoError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), buffer)
            .map_err(|_| CryptoError::Encrypt)?;
        Ok(array(tag.as_ref()))
    }

    /// Checks and decrypts `buffer`, and strips the tag. On an error the buffer is emptied.
    ///
    /// # Errors
    /// [`CryptoError::Decrypt`].
    pub fn open_in_place(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), CryptoError> {
        match self.open_slice(nonce, aad, buffer).map(|clear| clear.len()) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(())
            }
            Err(error) => {
                buffer.clear();
                Err(error)
            }
        }
    }

    /// Checks and decrypts cipher text with its tag behind it; returns the clear part of the buffer.
    ///
    /// # Errors
    /// [`CryptoError::Decrypt`].
    pub fn open_slice<'a>(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        buffer: &'a mut [u8],
    ) -> Result<&'a mut [u8], CryptoError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_in_place(nonce, Aad::from(aad), buffer)
            .map_err(|_| CryptoError::Decrypt)
    }
}

impl fmt::Debug for Aes256Gcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aes256Gcm(..)")
    }
}
