use std::fmt;
use std::str::FromStr;

use cleanroom_crypto::{digest, mac};

use crate::FormatError;

/// The keyed tree head of a manifest, as `protection.configuration` carries it in `manifestHmac`: 64 lower case
/// hexadecimal digits.
#[derive(Clone, Copy)]
pub struct ManifestHmac([u8; 32]);

impl ManifestHmac {
    pub(super) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// In constant time.
impl PartialEq for ManifestHmac {
    fn eq(&self, other: &Self) -> bool {
        mac::equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for ManifestHmac {}

impl FromStr for ManifestHmac {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let malformed =
            FormatError::Contract("manifestHmac is not 64 lower case hexadecimal digits");
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(malformed);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                return Err(malformed);
            };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for ManifestHmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ManifestHmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManifestHmac({self})")
    }
}

/// The hash of a leaf (RFC 6962 §2.1).
pub(super) fn leaf(entry: &[u8]) -> [u8; 32] {
    digest::sha256(&[&[0], entry].concat())
}

/// The tree head over leaf hashes: splits at the largest power of two below their number (RFC 6962 §2.1).
pub(super) fn tree(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => digest::sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            digest::sha256(&[&[1], &tree(left)[..], &tree(right)].concat())
        }
    }
}
