use std::fmt;
use std::sync::Arc;

use cleanroom_crypto::aead::Aes256Gcm;
use cleanroom_crypto::{Dek, Zeroizing, random};

use super::envelope::{self, Protocol};
use super::key::ContentKey;
use super::region::{NONCE, nonce};
use super::{RegionSize, seal};
use crate::FormatError;

/// What belongs into the blob's metadata, in the request that commits it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Metadata {
    /// Value of `encryptiondata`.
    pub encryption_data: String,
    /// Value of `cleanroomseal`.
    pub seal: String,
}

/// One version of a blob, written front to back under a fresh content key.
pub struct Draft {
    gcm: Arc<Aes256Gcm>,
    region: RegionSize,
    envelope: String,
    next: u64,
    length: u64,
}

impl Draft {
    /// Starts a blob whose content key is wrapped under the data key, which envelopes call `key_id`.
    ///
    /// # Errors
    /// [`FormatError::Crypto`] without random bytes.
    pub fn create(dek: &Dek, key_id: &str, region: RegionSize) -> Result<Self, FormatError> {
        let mut key = Zeroizing::new([0; 32]);
        random::fill(key.as_mut_slice())?;
        Self::with(dek, key_id, region, key)
    }

    pub(crate) fn with(
        dek: &Dek,
        key_id: &str,
        region: RegionSize,
        content_key: Zeroizing<[u8; 32]>,
    ) -> Result<Self, FormatError> {
        let key = ContentKey::new(content_key);
        let wrapped = key.wrap(dek, Protocol::V2_1)?;
        Ok(Self {
            gcm: Arc::new(Aes256Gcm::new(key.expose())?),
            region,
            envelope: envelope::write(Protocol::V2_1, region, key_id, wrapped)?,
            next: 0,
            length: 0,
        })
    }

    /// Clear length so far.
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Regions so far: the index of the next one.
    pub const fn regions(&self) -> u64 {
        self.next
    }

    /// Takes the right to seal the next region, which holds `clear` bytes. All regions but the last are full.
    ///
    /// # Errors
    /// [`FormatError::Buffer`] for no bytes, more than a region, or any behind a region that was not full;
    /// [`FormatError::TooLarge`].
    pub fn next_region(&mut self, clear: u64) -> Result<RegionTicket, FormatError> {
        let full = self.length.is_multiple_of(self.region.bytes());
        if clear == 0 || clear > self.region.bytes() || !full {
            return Err(FormatError::Buffer("of a clear region"));
        }
        let length = self.length + clear;
        self.region.blob_len(length)?;
        let index = self.next;
        self.next += 1;
        self.length = length;
        Ok(RegionTicket {
            gcm: Arc::clone(&self.gcm),
            index,
            clear,
        })
    }

    /// The metadata of the blob under its name, the path relative to the dataset's root.
    ///
    /// # Errors
    /// [`FormatError::Name`] for a name of 4 GiB or more.
    pub fn finish(self, dek: &Dek, name: &str) -> Result<Metadata, FormatError> {
        let seal = seal::write(dek, self.region, self.length, name, &self.envelope)?;
        Ok(Metadata {
            encryption_data: self.envelope,
            seal,
        })
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("region", &self.region)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// The right to seal one region once. Tickets may be used on other threads and in any order.
#[must_use = "the blob has a hole where a ticket is not used"]
pub struct RegionTicket {
    gcm: Arc<Aes256Gcm>,
    index: u64,
    clear: u64,
}

impl RegionTicket {
    /// Which region of the blob it is.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Seals the region into `sealed`, which has exactly [`RegionSize::sealed_len`] bytes.
    ///
    /// # Errors
    /// [`FormatError::Buffer`] for buffers of other lengths.
    pub fn seal(self, clear: &[u8], sealed: &mut [u8]) -> Result<(), FormatError> {
        if clear.len() as u64 != self.clear
            || sealed.len() as u64 != RegionSize::sealed_len(self.clear)
        {
            return Err(FormatError::Buffer("of a region"));
        }
        let (front, rest) = sealed
            .split_first_chunk_mut::<NONCE>()
            .ok_or(FormatError::Buffer("of a region"))?;
        *front = nonce(self.index);
        Ok(self.gcm.seal_to(front, &[], clear, rest)?)
    }
}

impl fmt::Debug for RegionTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionTicket")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
