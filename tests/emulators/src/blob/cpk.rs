//! Customer-provided keys. The service keeps the hash of a key, never the key, and refuses everyone without it.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::fault::{BlobFault, bad_header};
use super::request::Call;

/// Base64 of the SHA-256 of a key.
pub(super) type KeyHash = String;

/// The key of this request; all three headers or none.
pub(super) fn of(call: &Call) -> Result<Option<KeyHash>, BlobFault> {
    let key = call.bytes_header::<32>("x-ms-encryption-key")?;
    let hash = call.bytes_header::<32>("x-ms-encryption-key-sha256")?;
    let algorithm = call.header("x-ms-encryption-algorithm");
    match (key, hash, algorithm) {
        (None, None, None) => Ok(None),
        (Some(key), Some(hash), Some("AES256")) => {
            if Sha256::digest(key).as_slice() != hash {
                return Err(bad_header("x-ms-encryption-key-sha256"));
            }
            Ok(Some(STANDARD.encode(hash)))
        }
        (Some(_), Some(_), Some(_)) => Err(bad_header("x-ms-encryption-algorithm")),
        (None, ..) => Err(missing("x-ms-encryption-key")),
        (_, None, _) => Err(missing("x-ms-encryption-key-sha256")),
        (.., None) => Err(missing("x-ms-encryption-algorithm")),
    }
}

fn missing(name: &str) -> BlobFault {
    BlobFault::new(
        400,
        "MissingRequiredHeader",
        format!("Header {name} is missing."),
    )
}

/// The key sent must be the key stored.
pub(super) fn require(stored: Option<&KeyHash>, sent: Option<&KeyHash>) -> Result<(), BlobFault> {
    match (stored, sent) {
        (stored, sent) if stored == sent => Ok(()),
        (None, Some(_)) => Err(BlobFault::new(
            409,
            "BlobDoesNotUseCustomerSpecifiedEncryption",
            "The blob is not encrypted with customer specified encryption.",
        )),
        (Some(_), Some(_)) => Err(BlobFault::new(
            409,
            "BlobCustomerSpecifiedEncryptionMismatch",
            "The given customer specified encryption does not match the encryption used to encrypt the blob.",
        )),
        _ => Err(BlobFault::new(
            409,
            "BlobUsesCustomerSpecifiedEncryption",
            "The blob is encrypted with customer specified encryption, and the key is missing.",
        )),
    }
}

/// What an answer says of the encryption of what was `read` or written.
pub(super) fn describe(headers: &mut HeaderMap, name: &'static str, hash: Option<&KeyHash>) {
    headers.insert(name, HeaderValue::from_static("true"));
    if let Some(value) = hash.and_then(|hash| HeaderValue::from_str(hash).ok()) {
        headers.insert("x-ms-encryption-key-sha256", value);
    }
}
