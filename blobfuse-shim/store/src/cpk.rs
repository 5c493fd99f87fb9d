//! Customer-provided keys: three headers with every data request, and the proof that they were used.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cleanroom_crypto::{Dek, digest};
use http::HeaderName;
use sidecar_http::{Request, Response};
use zeroize::Zeroizing;

use crate::StoreError;

const KEY: HeaderName = HeaderName::from_static("x-ms-encryption-key");
const KEY_SHA256: HeaderName = HeaderName::from_static("x-ms-encryption-key-sha256");
const ALGORITHM: HeaderName = HeaderName::from_static("x-ms-encryption-algorithm");

/// A key that the service uses for one account's blobs and does not keep; wiped on drop, never printed.
pub struct CustomerKey {
    key: Zeroizing<String>,
    sha256: String,
}

impl CustomerKey {
    /// The headers' values of a data encryption key.
    pub fn new(dek: &Dek) -> Self {
        let mut key = Zeroizing::new(String::with_capacity(48));
        STANDARD.encode_string(dek.expose(), &mut key);
        Self {
            key,
            sha256: STANDARD.encode(digest::sha256(dek.expose())),
        }
    }

    /// Base64 of the key's SHA-256, as the service shows it.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn put_on(&self, request: Request) -> Request {
        request
            .secret_header(KEY, &self.key)
            .header(KEY_SHA256, &self.sha256)
            .header(ALGORITHM, "AES256")
    }

    /// Some services ignore the headers silently: without their echo the data is as good as unencrypted.
    pub(crate) fn check_used(&self, response: &Response) -> Result<(), StoreError> {
        match response.header(KEY_SHA256.as_str()) {
            Some(used) if used == self.sha256 => Ok(()),
            _ => Err(StoreError::KeyNotUsed),
        }
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerKey(sha256 {})", self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_the_recorded_ones() {
        let bytes: Vec<u8> = (0..32).collect();
        let key = CustomerKey::new(&Dek::from_slice(&bytes).unwrap());
        assert_eq!(*key.key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        assert_eq!(key.sha256(), "Yw3NKWbEM2aRElRIu7JbT/QSpJxzLbLIq8G4WBvXEN0=");
        assert!(!format!("{key:?}").contains("AAEC"));
    }

    #[test]
    fn an_answer_without_proof_of_the_key_is_refused() {
        let key = |byte| CustomerKey::new(&Dek::from_slice(&[byte; 32]).unwrap());
        let answer = |shown: Option<&CustomerKey>| {
            let mut headers = http::HeaderMap::new();
            if let Some(shown) = shown {
                headers.insert(KEY_SHA256, shown.sha256().parse().unwrap());
            }
            Response {
                status: http::StatusCode::CREATED,
                headers,
                body: bytes::Bytes::new(),
            }
        };
        let mine = key(1);
        assert!(mine.check_used(&answer(Some(&mine))).is_ok());
        for shown in [None, Some(&key(2))] {
            let refused = mine.check_used(&answer(shown));
            assert!(matches!(refused, Err(StoreError::KeyNotUsed)));
        }
    }
}
