use cleanroom_crypto::mac;

use crate::FormatError;
use crate::azure::FileAzure;
use crate::bytes::Cursor;
use crate::v2::View;

const LONGEST_PATH: usize = 4096;
/// Bytes of an entry without its path.
const FIXED: usize = 4 + 8 + 16 + 8 + 32;

/// One file of a dataset: one version of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Path relative to the dataset's root.
    pub path: String,
    /// Clear length in bytes.
    pub length: u64,
    /// File id; zeros for content that is not in format v2.
    pub file_id: [u8; 16],
    /// Generation; 0 for content that is not in format v2.
    pub generation: u64,
    /// What names the version: the commit MAC of format v2, the seal's MAC of an Azure client-side encrypted blob, or the
    /// SHA-256 of the bytes that a GET returns.
    pub authenticator: [u8; 32],
}

impl Entry {
    /// Fewest bytes that an entry takes.
    pub(super) const SHORTEST: usize = FIXED + 1;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.path.len() + FIXED);
        let length = u32::try_from(self.path.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(self.path.as_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.file_id);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.authenticator);
        out
    }

    pub(super) fn decode(bytes: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let cut = FormatError::Manifest("cut off");
        let mut read = || -> Option<(&[u8], Self)> {
            let length = usize::try_from(u32::from_le_bytes(bytes.array()?)).ok()?;
            let path = bytes.slice(length)?;
            let rest = Self {
                path: String::new(),
                length: u64::from_le_bytes(bytes.array()?),
                file_id: bytes.array()?,
                generation: u64::from_le_bytes(bytes.array()?),
                authenticator: bytes.array()?,
            };
            Some((path, rest))
        };
        let (path, entry) = read().ok_or(cut)?;
        check_path(path)?;
        let path = str::from_utf8(path).map_err(|_| FormatError::Manifest("text of a path"))?;
        Ok(Self {
            path: path.to_owned(),
            ..entry
        })
    }

    /// Checks that a file of format v2 is the version that is listed.
    ///
    /// # Errors
    /// [`FormatError::RolledBack`] for another commit of the same file; [`FormatError::Replaced`].
    pub fn admit(&self, file: &View) -> Result<(), FormatError> {
        let footer = file.footer();
        if footer.header.file_id != self.file_id {
            return Err(FormatError::Replaced);
        }
        if footer.generation != self.generation {
            return Err(FormatError::RolledBack {
                listed: self.generation,
                found: footer.generation,
            });
        }
        self.admit_version(file.len(), &footer.mac)
    }

    /// Checks that an Azure client-side encrypted blob is the version that is listed: each has its own content key, which
    /// the seal's MAC binds together with length and name.
    ///
    /// # Errors
    /// [`FormatError::Replaced`].
    pub fn admit_azure(&self, file: &FileAzure) -> Result<(), FormatError> {
        let authenticator = file.authenticator().ok_or(FormatError::Replaced)?;
        self.admit_plain(crate::Reader::len(file), authenticator)
    }

    /// Checks the length and SHA-256 of content in another layout, taken over all of its bytes.
    ///
    /// # Errors
    /// [`FormatError::Replaced`].
    pub fn admit_plain(&self, length: u64, sha256: &[u8; 32]) -> Result<(), FormatError> {
        if self.file_id != [0; 16] || self.generation != 0 {
            return Err(FormatError::Replaced);
        }
        self.admit_version(length, sha256)
    }

    fn admit_version(&self, length: u64, authenticator: &[u8; 32]) -> Result<(), FormatError> {
        if length != self.length || mac::equal(authenticator, &self.authenticator).is_err() {
            return Err(FormatError::Replaced);
        }
        Ok(())
    }
}

pub(super) const fn check_path(path: &[u8]) -> Result<(), FormatError> {
    if path.is_empty() || path.len() > LONGEST_PATH {
        return Err(FormatError::Manifest("length of a path"));
    }
    Ok(())
}
