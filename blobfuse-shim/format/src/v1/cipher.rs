use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use cleanroom_crypto::aead::{Aes256Gcm, TAG};
use cleanroom_crypto::{Dek, random};

use super::BlockSize;
use super::size::NONCE;
use crate::FormatError;

/// With random nonces of 96 bits a key must not seal more (NIST SP 800-38D, 8.3). Rewrites count.
const MOST_SEALS: u64 = 1 << 32;

/// Seals and opens the chunks of all files of a dataset, which share one key.
///
/// One per process and data key: it counts what it seals.
pub struct BlockCipher {
    gcm: Aes256Gcm,
    size: BlockSize,
    seals: AtomicU64,
}

impl BlockCipher {
    /// Schedules the data key.
    ///
    /// # Errors
    /// [`FormatError::Crypto`].
    pub fn new(dek: &Dek, size: BlockSize) -> Result<Self, FormatError> {
        Ok(Self {
            gcm: Aes256Gcm::new(dek.expose())?,
            size,
            seals: AtomicU64::new(0),
        })
    }

    /// The block size.
    pub const fn size(&self) -> BlockSize {
        self.size
    }

    /// Seals 1 to [`BlockSize::bytes`] bytes, padded with zeros, into `sealed`, which has [`BlockSize::sealed`] bytes. Only
    /// the last block of a file may be padded.
    ///
    /// # Errors
    /// [`FormatError::Buffer`] for buffers of other lengths; [`FormatError::KeyWorn`]; [`FormatError::Crypto`].
    pub fn seal(&self, clear: &[u8], sealed: &mut [u8]) -> Result<(), FormatError> {
        if self.seals.fetch_add(1, Ordering::Relaxed) >= MOST_SEALS {
            // Stay there: the counter must not run around.
            self.seals.store(MOST_SEALS, Ordering::Relaxed);
            return Err(FormatError::KeyWorn);
        }
        self.seal_with(random::bytes()?, clear, sealed)
    }

    pub(crate) fn seal_with(
        &self,
        nonce: [u8; NONCE],
        clear: &[u8],
        sealed: &mut [u8],
    ) -> Result<(), FormatError> {
        let size = self.size.size();
        if clear.is_empty() || clear.len() > size {
            return Err(FormatError::Buffer("of a clear block"));
        }
        let wrong = FormatError::Buffer("for a sealed block");
        let Some((front, rest)) = sealed.split_first_chunk_mut() else {
            return Err(wrong);
        };
        let Some((block, tag)) = rest
            .split_last_chunk_mut::<TAG>()
            .filter(|(block, _)| block.len() == size)
        else {
            return Err(wrong);
        };
        *front = nonce;
        if clear.len() == size {
            return Ok(self.gcm.seal_to(&nonce, &[], clear, rest)?);
        }
        let (content, padding) = block.split_at_mut(clear.len());
        content.copy_from_slice(clear);
        padding.fill(0);
        *tag = self.gcm.seal_slice(&nonce, &[], block)?;
        Ok(())
    }

    /// Opens a whole chunk into a buffer of a whole block.
    pub(super) fn open(
        &self,
        index: u64,
        sealed: &[u8],
        clear: &mut [u8],
    ) -> Result<(), FormatError> {
        let (nonce, sealed) = sealed
            .split_first_chunk()
            .ok_or(FormatError::Buffer("of a sealed block"))?;
        self.gcm
            .open_to(nonce, &[], sealed, clear)
            .map_err(|_| FormatError::Block { index })
    }

    #[cfg(test)]
    pub(crate) fn wear_out(&self) {
        self.seals.store(MOST_SEALS, Ordering::Relaxed);
    }
}

impl fmt::Debug for BlockCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCipher")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
