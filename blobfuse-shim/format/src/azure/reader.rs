use std::fmt;
use std::ops::Range;

use cleanroom_crypto::Dek;
use cleanroom_crypto::aead::Aes256Gcm;

use super::key::ContentKey;
use super::region::{NONCE, is_nonce_of};
use super::{Envelope, Integrity, KeyEncryptionKey, RegionSize, seal};
use crate::reader::units;
use crate::{FormatError, Plan, Reader};

/// What storage says of a blob: all that is known before a byte of it is fetched.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Length in bytes.
    pub blob_len: u64,
    /// Metadata `encryptiondata`.
    pub encryption_data: Option<&'a str>,
    /// Metadata `cleanroomseal`.
    pub seal: Option<&'a str>,
}

/// One version of one blob, opened for reading.
pub struct FileAzure {
    gcm: Aes256Gcm,
    region: RegionSize,
    length: u64,
    authenticator: Option<[u8; 32]>,
}

impl FileAzure {
    /// Opens a blob with the data key, which wraps the content key under the name `key_id`. `name` is the blob's path
    /// relative to the dataset's root.
    ///
    /// # Errors
    /// As [`Envelope::parse`]; [`FormatError::WrongKey`]; [`FormatError::Length`], [`FormatError::TooLarge`]; with
    /// [`Integrity::Sealed`] also [`FormatError::Unsealed`], [`FormatError::Seal`], [`FormatError::Truncated`].
    pub fn open(
        dek: &Dek,
        key_id: &str,
        name: &str,
        stored: &Stored<'_>,
        integrity: Integrity,
    ) -> Result<Self, FormatError> {
        let kek = KeyEncryptionKey::Symmetric { id: key_id, dek };
        let mut file = Self::open_with(&kek, stored)?;
        let envelope = stored.encryption_data.unwrap_or_default();
        let (region, length) = (file.region, file.length);
        if integrity == Integrity::Sealed {
            seal::check(stored.seal, dek, region, length, name, envelope)?;
        }
        let mac = seal::authenticate(dek, region, length, name, envelope)?;
        file.authenticator = Some(mac);
        Ok(file)
    }

    /// Opens a blob of an SDK with the key that the caller chose; its length and name are the storage service's word.
    ///
    /// # Errors
    /// As [`FileAzure::open`] with [`Integrity::Foreign`].
    pub fn open_with(kek: &KeyEncryptionKey<'_>, stored: &Stored<'_>) -> Result<Self, FormatError> {
        let envelope = Envelope::parse(stored.encryption_data)?;
        let region = envelope.region();
        let length = region.clear_len(stored.blob_len)?;
        let key = ContentKey::unwrap(&envelope, kek)?;
        Ok(Self {
            gcm: Aes256Gcm::new(key.expose())?,
            region,
            length,
            authenticator: None,
        })
    }

    /// Clear bytes of a region of this blob.
    pub const fn region(&self) -> RegionSize {
        self.region
    }

    /// What names this version in a manifest; none without the data key.
    pub const fn authenticator(&self) -> Option<&[u8; 32]> {
        self.authenticator.as_ref()
    }

    fn open_region(&self, index: u64, sealed: &[u8], clear: &mut [u8]) -> Result<(), FormatError> {
        let (nonce, sealed) = sealed
            .split_first_chunk::<NONCE>()
            .ok_or(FormatError::Buffer("of a sealed region"))?;
        if !is_nonce_of(index, nonce) {
            return Err(FormatError::RegionOrder { index });
        }
        self.gcm
            .open_to(nonce, &[], sealed, clear)
            .map_err(|_| FormatError::Region { index })
    }
}

impl Reader for FileAzure {
    fn len(&self) -> u64 {
        self.length
    }

    fn unit(&self) -> u64 {
        self.region.bytes()
    }

    fn plan(&self, clear: Range<u64>) -> Option<Plan> {
        let size = self.region;
        let regions = units(&clear, self.length, size.bytes())?;
        let last = regions.end - 1;
        Some(Plan {
            sealed: regions.start * size.sealed()..size.sealed_range(last, self.length).end,
            clear: regions.start * size.bytes()..(regions.end * size.bytes()).min(self.length),
        })
    }

    fn open(&self, plan: &Plan, sealed: &[u8], clear: &mut [u8]) -> Result<(), FormatError> {
        plan.check(sealed, clear)?;
        let size = self.region;
        if sealed.chunks(size.chunk()).len() != clear.chunks(size.size()).len() {
            return Err(FormatError::Buffer("for opened regions"));
        }
        let first = plan.clear.start / size.bytes();
        let opened = (first..)
            .zip(
                sealed
                    .chunks(size.chunk())
                    .zip(clear.chunks_mut(size.size())),
            )
            .try_for_each(|(index, (sealed, clear))| self.open_region(index, sealed, clear));
        if opened.is_err() {
            clear.fill(0);
        }
        opened
    }
}

impl fmt::Debug for FileAzure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileAzure")
            .field("region", &self.region)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
