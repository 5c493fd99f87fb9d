use std::fmt;

use cleanroom_crypto::aead::Aes256Gcm;
use cleanroom_crypto::mac::{self, HmacSha256};
use cleanroom_crypto::{Dek, Zeroizing, kdf};

use super::{Footer, Header};
use crate::FormatError;

/// Names a key without revealing it.
pub(crate) fn key_id(dek: &Dek) -> Result<[u8; 16], FormatError> {
    let mut id = [0; 16];
    let prk = kdf::hkdf_extract_sha256(&[], dek.expose());
    kdf::hkdf_expand_sha256(&prk, &[b"crbf2/key-id"], &mut id)?;
    Ok(id)
}

/// The keys of one file id, from the data encryption key and the header; wiped on drop.
pub(crate) struct FileKeys {
    pub(crate) extents: Zeroizing<[u8; 32]>,
    pub(crate) commit: Zeroizing<[u8; 32]>,
    name: Zeroizing<[u8; 32]>,
}

impl FileKeys {
    pub(crate) fn derive(dek: &Dek, header: &Header) -> Result<Self, FormatError> {
        let prk = kdf::hkdf_extract_sha256(&header.file_id, dek.expose());
        let header = header.encode();
        let derive = |label: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            kdf::hkdf_expand_sha256(&prk, &[label, &header], key.as_mut_slice()).map(|()| key)
        };
        Ok(Self {
            extents: derive(b"crbf2/extent-root")?,
            commit: derive(b"crbf2/commit")?,
            name: derive(b"crbf2/name")?,
        })
    }

    /// The cipher of one extent. A salt must be fresh each time an extent is sealed.
    pub(super) fn extent(&self, index: u64, salt: &[u8; 16]) -> Result<ExtentCipher, FormatError> {
        Ok(ExtentCipher(Aes256Gcm::new(
            &*self.extent_key(index, salt)?,
        )?))
    }

    pub(crate) fn extent_key(
        &self,
        index: u64,
        salt: &[u8; 16],
    ) -> Result<Zeroizing<[u8; 32]>, FormatError> {
        let mut key = Zeroizing::new([0; 32]);
        let info: [&[u8]; 3] = [b"crbf2/extent", &index.to_le_bytes(), salt];
        kdf::hkdf_expand_sha256(&self.extents, &info, key.as_mut_slice())?;
        Ok(key)
    }

    /// The MAC over the salts and the covered part of the footer.
    pub(super) fn commit_mac<'a>(
        &self,
        salts: impl IntoIterator<Item = &'a [u8; 16]>,
        footer: &Footer,
    ) -> [u8; 32] {
        let mut mac = HmacSha256::new(self.commit.as_slice());
        for salt in salts {
            mac.update(salt);
        }
        mac.update(&footer.covered());
        mac.finish()
    }

    /// The tag that binds a path, relative to the dataset's root.
    pub(super) fn name_tag(&self, path: &str) -> [u8; 16] {
        let mac = mac::hmac_sha256(self.name.as_slice(), path.as_bytes());
        let mut tag = [0; 16];
        for (to, from) in tag.iter_mut().zip(mac) {
            *to = from;
        }
        tag
    }
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKeys(..)")
    }
}

/// Seals and opens the segments of one extent.
#[derive(Debug)]
pub(super) struct ExtentCipher(Aes256Gcm);

impl ExtentCipher {
    pub(super) fn seal(
        &self,
        segment: u64,
        clear: &[u8],
        sealed: &mut [u8],
    ) -> Result<(), FormatError> {
        Ok(self.0.seal_to(&nonce(segment), &[], clear, sealed)?)
    }

    pub(super) fn open(
        &self,
        segment: u64,
        sealed: &[u8],
        clear: &mut [u8],
    ) -> Result<(), FormatError> {
        Ok(self.0.open_to(&nonce(segment), &[], sealed, clear)?)
    }
}

/// The segment's index as a 96-bit big-endian number.
fn nonce(segment: u64) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = segment.to_be_bytes();
    [0, 0, 0, 0, a, b, c, d, e, f, g, h]
}
