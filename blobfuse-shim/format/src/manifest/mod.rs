//! The list of a dataset's files, one version of each, and its keyed tree head: what makes a missing, added, exchanged or
//! rolled back file visible.
//!
//! The list itself lies in storage, encrypted as a file of format v2 bound to [`PATH`]. An old list is as good a file as a
//! new one, so the contract of a source pins the head ([`ManifestHmac`]), and readers go by the [`Pinned`] list alone. The
//! head is keyed from the data key: without it nobody can test guesses about the files.

mod entry;
mod pinned;
mod root;

use cleanroom_crypto::{Dek, Zeroizing, kdf, mac};

use crate::FormatError;
use crate::bytes::Cursor;
use crate::v2::{Attributes, Params, View, Writer};

pub use entry::Entry;
pub use pinned::{Found, Pinned};
pub use root::ManifestHmac;

const MAGIC: [u8; 8] = *b"CRMF1\0\r\n";
const MOST_ENTRIES: u64 = 10_000_000;
/// A reader holds all of it in memory.
const LONGEST: usize = 1 << 30;

/// Where a manifest lies, relative to the dataset's root.
pub const PATH: &str = ".cleanroom/manifest";

/// A sorted list of files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Manifest {
    entries: Vec<Entry>,
}

impl Manifest {
    /// Sorts the entries by the bytes of their paths.
    ///
    /// # Errors
    /// [`FormatError::Manifest`] if a path occurs twice, is empty or longer than 4096 bytes, or if there are more than
    /// 10 000 000.
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

    /// The manifest's bytes: there is one encoding of a list.
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
        if bytes.len() > LONGEST {
            return Err(FormatError::Manifest("length"));
        }
        let mut rest = Cursor::new(bytes);
        if rest.array() != Some(MAGIC) {
            return Err(FormatError::Manifest("mark"));
        }
        let count = rest.array().map(u64::from_le_bytes);
        let count = count.ok_or(FormatError::Manifest("cut off"))?;
        if count > MOST_ENTRIES.min((rest.rest().len() / Entry::SHORTEST) as u64) {
            return Err(FormatError::Manifest("number of entries"));
        }
        let entries = (0..count)
            .map(|_| Entry::decode(&mut rest))
            .collect::<Result<Vec<_>, _>>()?;
        if !rest.rest().is_empty() {
            return Err(FormatError::Manifest("bytes behind the last entry"));
        }
        check(&entries)?;
        Ok(Self { entries })
    }

    /// The blob that holds the manifest.
    ///
    /// # Errors
    /// [`FormatError::Crypto`].
    pub fn seal(&self, dek: &Dek) -> Result<Vec<u8>, FormatError> {
        let mut writer = Writer::create(dek, Params::default(), Some(PATH))?;
        let mut blob = writer.write(0, &self.encode())?.concat();
        blob.append(&mut writer.commit(Attributes::default())?.tail);
        Ok(blob)
    }

    /// Reads the blob that holds a manifest. That it is the right one shows [`Manifest::pin`].
    ///
    /// # Errors
    /// As [`View::open`] and [`Manifest::decode`].
    pub fn unseal(dek: &Dek, blob: &[u8]) -> Result<Self, FormatError> {
        let view = View::open(dek, blob.len() as u64, blob, Some(PATH))?;
        let Some(plan) = view.plan(0..view.len()) else {
            return Self::decode(&[]);
        };
        let sealed = usize::try_from(plan.sealed.end)
            .ok()
            .and_then(|end| blob.get(..end))
            .ok_or(FormatError::TooLarge)?;
        Self::decode(&view.decrypt(&plan, sealed.to_vec())?)
    }

    /// The tree head: SHA-256 of the empty string for no entry, else the root over the leaf hashes (RFC 6962 §2.1).
    pub fn head(&self) -> [u8; 32] {
        let leaves: Vec<_> = self
            .entries
            .iter()
            .map(|entry| root::leaf(&entry.encode()))
            .collect();
        root::tree(&leaves)
    }

    /// What a contract may show of the tree head: without the key nobody can test guesses about the files.
    ///
    /// # Errors
    /// [`FormatError::Crypto`].
    pub fn keyed_root(&self, dek: &Dek) -> Result<[u8; 32], FormatError> {
        let prk = kdf::hkdf_extract_sha256(&[], dek.expose());
        let mut key = Zeroizing::new([0; 32]);
        kdf::hkdf_expand_sha256(&prk, &[b"manifest"], key.as_mut_slice())?;
        Ok(mac::hmac_sha256(key.as_slice(), &self.head()))
    }

    /// The keyed root as the contract carries it.
    ///
    /// # Errors
    /// [`FormatError::Crypto`].
    pub fn hmac(&self, dek: &Dek) -> Result<ManifestHmac, FormatError> {
        self.keyed_root(dek).map(ManifestHmac::new)
    }
}

fn check(entries: &[Entry]) -> Result<(), FormatError> {
    if entries.len() as u64 > MOST_ENTRIES {
        return Err(FormatError::Manifest("number of entries"));
    }
    let mut last: Option<&str> = None;
    for entry in entries {
        entry::check_path(entry.path.as_bytes())?;
        if last.is_some_and(|last| last >= entry.path.as_str()) {
            return Err(FormatError::Manifest("order of the entries"));
        }
        last = Some(&entry.path);
    }
    Ok(())
}
