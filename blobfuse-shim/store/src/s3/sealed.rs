//! Credentials in a contract: sealed under the dataset's key, so that only who may have the data can use them.
//!
//! `base64(nonce ‖ AES-256-GCM(JSON) ‖ tag)`. The key is HKDF-SHA-256 of the data encryption key for this use alone, and
//! the additional data are endpoint, bucket and region: elsewhere they do not open.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cleanroom_crypto::aead::Aes256Gcm;
use cleanroom_crypto::{CryptoError, Dek, kdf, random};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::{Zeroize, Zeroizing};

use super::S3Credentials;
use crate::StoreError;

const LABEL: &[u8] = b"cleanroom/s3-credentials/v1";
const NONCE: usize = 12;
/// Longest sealed text, bytes; a session token has about 1 KiB.
const LONGEST: usize = 16 << 10;

/// An access key as the owner has it; wiped on drop.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessKey {
    /// Its name.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Of a temporary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
}

impl Drop for AccessKey {
    fn drop(&mut self) {
        self.secret_access_key.zeroize();
        self.session_token.zeroize();
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(..)")
    }
}

fn key(dek: &Dek) -> Result<Aes256Gcm, CryptoError> {
    let prk = kdf::hkdf_extract_sha256(&[], dek.expose());
    let mut key = Zeroizing::new([0; 32]);
    kdf::hkdf_expand_sha256(&prk, &[LABEL], &mut *key)?;
    Aes256Gcm::new(&key)
}

/// Parts that cannot run into each other: none of them holds a line break.
fn place(endpoint: &Url, bucket: &str, region: &str) -> String {
    format!(
        "{}\n{bucket}\n{region}",
        endpoint.as_str().trim_end_matches('/')
    )
}

impl S3Credentials {
    /// Seals an access key for one bucket.
    ///
    /// # Errors
    /// No random bytes.
    pub fn seal(
        access: &AccessKey,
        dek: &Dek,
        (endpoint, bucket, region): (&Url, &str, &str),
    ) -> Result<String, CryptoError> {
        let clear = serde_json::to_vec(access).map(Zeroizing::new);
        let mut clear = clear.map_err(|_| CryptoError::Encrypt)?;
        let nonce: [u8; NONCE] = random::bytes()?;
        let aad = place(endpoint, bucket, region);
        let tag = key(dek)?.seal_slice(&nonce, aad.as_bytes(), &mut clear)?;
        Ok(STANDARD.encode([&nonce[..], &clear, &tag].concat()))
    }

    /// Opens what [`S3Credentials::seal`] made for the same bucket under the same key.
    ///
    /// # Errors
    /// [`StoreError::Credentials`].
    pub fn open(
        sealed: &str,
        dek: &Dek,
        (endpoint, bucket, region): (&Url, &str, &str),
    ) -> Result<Self, StoreError> {
        let unusable = || StoreError::Credentials;
        if sealed.len() > LONGEST {
            return Err(unusable());
        }
        let bytes = STANDARD.decode(sealed.trim()).map_err(|_| unusable())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or_else(unusable)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let aad = place(endpoint, bucket, region);
        let opened = key(dek).and_then(|key| {
            let clear = key.open_slice(nonce, aad.as_bytes(), &mut buffer)?;
            serde_json::from_slice::<AccessKey>(clear).map_err(|_| CryptoError::Decrypt)
        });
        let access = opened.map_err(|_| unusable())?;
        let secret = Zeroizing::new(access.secret_access_key.clone());
        let session = access.session_token.clone().map(Zeroizing::new);
        Ok(Self::new(&access.access_key_id, &secret, session.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_open_only_for_their_bucket_under_their_key() {
        let dek = |byte| Dek::from_slice(&[byte; 32]).unwrap();
        let url = |text| Url::parse(text).unwrap();
        let at = url("https://s3.example");
        let access = AccessKey {
            access_key_id: "AKIA".to_owned(),
            secret_access_key: "hush".to_owned(),
            session_token: None,
        };
        let here = (&at, "data", "eu-north-1");
        let sealed = S3Credentials::seal(&access, &dek(1), here).unwrap();
        assert!(S3Credentials::open(&sealed, &dek(1), here).is_ok());
        let other = url("https://s3.example.net");
        for (key, place) in [
            (2, here),
            (1, (&other, "data", "eu-north-1")),
            (1, (&at, "other", "eu-north-1")),
            (1, (&at, "data", "eu-west-1")),
        ] {
            let refused = S3Credentials::open(&sealed, &dek(key), place);
            assert!(matches!(refused, Err(StoreError::Credentials)));
        }
        let long = "A".repeat(LONGEST + 4);
        for text in ["", "AAAA", "!", &sealed[4..], &long] {
            assert!(S3Credentials::open(text, &dek(1), here).is_err());
        }
    }
}
