//! SHA-256 digests as images name them.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A SHA-256 digest; as text `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest([u8; 32]);

/// Not `sha256:` and 64 lower-case hex digits; other algorithms are not supported.
#[derive(Clone, Debug, Error)]
#[error("{0:?} is not a SHA-256 digest in lower case")]
pub struct NotADigest(String);

impl Digest {
    /// Of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Lower-case hex, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        parse(text.strip_prefix("sha256:"))
            .map(Self)
            .ok_or_else(|| NotADigest(clipped(text)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The dm-verity root hash of a layer; as text 64 lower-case hex digits, as policies have it.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RootHash([u8; 32]);

/// Not 64 lower-case hex digits.
#[derive(Clone, Debug, Error)]
#[error("{0:?} is not a root hash of 64 lower-case hex digits")]
pub struct NotARootHash(String);

impl From<[u8; 32]> for RootHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for RootHash {
    type Err = NotARootHash;

    fn from_str(text: &str) -> Result<Self, NotARootHash> {
        parse(Some(text))
            .map(Self)
            .ok_or_else(|| NotARootHash(clipped(text)))
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse(digits: Option<&str>) -> Option<[u8; 32]> {
    let digits = digits.filter(|digits| !digits.bytes().any(|byte| byte.is_ascii_uppercase()))?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

/// Hostile text is quoted in messages; not all of it.
fn clipped(text: &str) -> String {
    text.chars().take(100).collect()
}
