//! What the SDKs' format lacks: a MAC over length and name, in a second metadata value that they ignore.
//!
//! ```text
//! value := base64( length(8, little-endian) || MAC(32) )
//! MAC   := HMAC-SHA-256(K, regions(8) || length(8) || name length(4) || name || encryptiondata)    integers little-endian
//! K     := HKDF-SHA-256(data key, no salt, "crbf2/cse-seal")
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cleanroom_crypto::mac::{self, HmacSha256};
use cleanroom_crypto::{Dek, Zeroizing, kdf};

use super::{Envelope, RegionSize, Stored};
use crate::FormatError;
use crate::bytes::Cursor;

/// Name of the metadata that holds the seal.
pub const SEAL: &str = "cleanroomseal";

/// What a dataset in this format can promise. The contract says which, never the blob.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Integrity {
    /// Files of any SDK: length and name are the storage service's word.
    Foreign,
    /// Files written by us: every file must carry a seal, and length and name are checked against it.
    Sealed,
}

pub(super) fn write(
    dek: &Dek,
    region: RegionSize,
    length: u64,
    name: &str,
    envelope: &str,
) -> Result<String, FormatError> {
    let mac = authenticate(dek, region, length, name, envelope)?;
    Ok(STANDARD.encode([length.to_le_bytes().as_slice(), &mac].concat()))
}

/// Checks a seal against the length that the blob shows.
pub(super) fn check(
    value: Option<&str>,
    dek: &Dek,
    region: RegionSize,
    length: u64,
    name: &str,
    envelope: &str,
) -> Result<(), FormatError> {
    let sealed = verify(value, dek, region, name, envelope)?;
    if sealed != length {
        return Err(FormatError::Truncated { sealed, length });
    }
    Ok(())
}

/// The seal of a blob that is copied to another name with its `encryptiondata` as it is.
///
/// # Errors
/// [`FormatError::Unsealed`], [`FormatError::Seal`] and as [`Envelope::parse`], if the blob is not what it was at `from`.
pub fn renamed(
    dek: &Dek,
    stored: &Stored<'_>,
    from: &str,
    to: &str,
) -> Result<String, FormatError> {
    let region = Envelope::parse(stored.encryption_data)?.region();
    let envelope = stored.encryption_data.unwrap_or_default();
    let length = verify(stored.seal, dek, region, from, envelope)?;
    write(dek, region, length, to, envelope)
}

/// The MAC in a seal that was just written: what names its version in a manifest.
///
/// # Errors
/// [`FormatError::Seal`] for a text that is no seal.
pub fn sealed_mac(value: &str) -> Result<[u8; 32], FormatError> {
    parse(value).map(|(_, mac)| mac)
}

/// The length and the MAC in a seal.
fn parse(value: &str) -> Result<(u64, [u8; 32]), FormatError> {
    let bytes = STANDARD.decode(value).map_err(|_| FormatError::Seal)?;
    let mut fields = Cursor::new(&bytes);
    let length = fields.array().map(u64::from_le_bytes);
    match (length, fields.array(), fields.rest()) {
        (Some(length), Some(mac), []) => Ok((length, mac)),
        _ => Err(FormatError::Seal),
    }
}

/// The length that a seal vouches for.
fn verify(
    value: Option<&str>,
    dek: &Dek,
    region: RegionSize,
    name: &str,
    envelope: &str,
) -> Result<u64, FormatError> {
    let value = value.ok_or(FormatError::Unsealed)?;
    let (length, found) = parse(value)?;
    let expected = authenticate(dek, region, length, name, envelope)?;
    mac::equal(&expected, &found).map_err(|_| FormatError::Seal)?;
    Ok(length)
}

/// The MAC in the seal. It names one version of one blob, also of one that an SDK wrote without a seal.
pub(super) fn authenticate(
    dek: &Dek,
    region: RegionSize,
    length: u64,
    name: &str,
    envelope: &str,
) -> Result<[u8; 32], FormatError> {
    let mut key = Zeroizing::new([0; 32]);
    let prk = kdf::hkdf_extract_sha256(&[], dek.expose());
    kdf::hkdf_expand_sha256(&prk, &[b"crbf2/cse-seal"], key.as_mut_slice())?;
    let name_len = u32::try_from(name.len()).map_err(|_| FormatError::Name)?;
    let mut mac = HmacSha256::new(key.as_slice());
    mac.update(&region.regions(length).to_le_bytes());
    mac.update(&length.to_le_bytes());
    mac.update(&name_len.to_le_bytes());
    mac.update(name.as_bytes());
    mac.update(envelope.as_bytes());
    Ok(mac.finish())
}
