//! The list of a dataset's files and its tree head (RFC 6962 shape): what makes a missing, added, exchanged or rolled
//! back file visible.

use cleanroom_crypto::{Dek, digest, kdf, mac};

use crate::FormatError;

const MAGIC: [u8; 8] = *b"CRMF1\0\r\n";
const MOST_ENTRIES: u64 = 10_000_000;
const LONGEST_PATH: usize = 4096;

/// Where a manifest lies, relative to the dataset's root.
pub const PATH: &str = ".cleanroom/manifest";

/// One file of a dataset.
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
    /// The commit MAC, or the SHA-256 of content that is not in format v2.
    pub authenticator: [u8; 32],
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.path.len() + 68);
        let length = u32::try_from(self.path.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(self.path.as_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.file_id);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.authenticator);
        out
    }
}

/// A sorted list of files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Manifest {
    entries: Vec<Entry>,
}

impl Manifest {
    /// Sorts the entries by the bytes of their paths.
    ///
    /// # Errors
    /// [`FormatError::Manifest`] if a path occurs twice or is too long.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, FormatError> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        check(&entries)?;
        Ok(Self { entries })
    }

    /// The entries, sorted.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Sum of the clear lengths in bytes.
    pub fn bytes(&self) -> u64 {
        self.entries
            .iter()
            .fold(0, |sum, entry| sum.saturating_add(entry.length))
    }

    /// The manifest's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for entry in &self.entries {
            out.extend_from_slice(&entry.encode());
        }
        out
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`FormatError::Manifest`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut rest = Bytes(bytes);
        if rest.take::<8>()? != MAGIC {
            return Err(FormatError::Manifest("mark"));
        }
        let count = u64::from_le_bytes(rest.take()?);
        if count > MOST_ENTRIES {
            return Err(FormatError::Manifest("number of entries"));
        }
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(Entry {
                path: rest.text()?,
                length: u64::from_le_bytes(rest.take()?),
                file_id: rest.take()?,
                generation: u64::from_le_bytes(rest.take()?),
                authenticator: rest.take()?,
            });
        }
        if !rest.0.is_empty() {
            return Err(FormatError::Manifest("bytes behind the last entry"));
        }
        check(&entries)?;
        Ok(Self { entries })
    }

    /// The tree head: SHA-256 of the empty string for no entry, else the root over the leaf hashes.
    pub fn head(&self) -> [u8; 32] {
        let leaves: Vec<_> = self
            .entries
            .iter()
            .map(|entry| digest::sha256(&[&[0], &*entry.encode()].concat()))
            .collect();
        tree(&leaves)
    }

    /// What a contract may show of the tree head: without the key nobody can test guesses about the files.
    ///
    /// # Errors
    /// [`FormatError::Crypto`].
    pub fn keyed_root(&self, dek: &Dek) -> Result<[u8; 32], FormatError> {
        let prk = kdf::hkdf_extract_sha256(&[], dek.expose());
        let mut key = cleanroom_crypto::Zeroizing::new([0; 32]);
        kdf::hkdf_expand_sha256(&prk, &[b"manifest"], key.as_mut_slice())?;
        Ok(mac::hmac_sha256(key.as_slice(), &self.head()))
    }
}

fn check(entries: &[Entry]) -> Result<(), FormatError> {
    let mut last: Option<&str> = None;
    for entry in entries {
        if entry.path.len() > LONGEST_PATH || entry.path.is_empty() {
            return Err(FormatError::Manifest("length of a path"));
        }
        if last.is_some_and(|last| last >= entry.path.as_str()) {
            return Err(FormatError::Manifest("order of the entries"));
        }
        last = Some(&entry.path);
    }
    Ok(())
}

/// Splits at the largest power of two below the number of leaves (RFC 6962 §2.1).
fn tree(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => digest::sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            digest::sha256(&[&[1], &tree(left)[..], &tree(right)].concat())
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (field, rest) = self
            .0
            .split_first_chunk()
            .ok_or(FormatError::Manifest("cut off"))?;
        self.0 = rest;
        Ok(*field)
    }

    fn text(&mut self) -> Result<String, FormatError> {
        let length = usize::try_from(u32::from_le_bytes(self.take()?))
            .ok()
            .filter(|length| *length <= LONGEST_PATH)
            .ok_or(FormatError::Manifest("length of a path"))?;
        let (text, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(FormatError::Manifest("cut off"))?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| FormatError::Manifest("text of a path"))
    }
}
