use std::fmt;

use zeroize::Zeroizing;

use crate::{CryptoError, random};

/// A data encryption key: 32 bytes, wiped on drop, never printed.
pub struct Dek(Zeroizing<[u8; 32]>);

impl Dek {
    /// Takes the key's bytes.
    pub const fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Copies 32 bytes.
    ///
    /// # Errors
    /// [`CryptoError::Length`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        let bytes: [u8; 32] = bytes
            .try_into()
            .map_err(|_| CryptoError::Length("a data encryption key"))?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// A fresh random key.
    ///
    /// # Errors
    /// [`CryptoError::Random`].
    pub fn generate() -> Result<Self, CryptoError> {
        let mut bytes = Zeroizing::new([0; 32]);
        random::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// The key's bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Dek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dek(..)")
    }
}
