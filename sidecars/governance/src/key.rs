use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::keywrap::unwrap_rsa_aes;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use zeroize::Zeroizing;

use crate::GovError;

const BITS: usize = 2048;

/// The clean room's key towards CGS: made at start, never written anywhere, bound into the attestation report.
///
/// One key both signs and decrypts: CGS compares the report with `encrypt.publicKey` on some calls and with
/// `sign.publicKey` on others, so only the same key in both places is bound on all of them.
#[derive(Debug)]
pub struct RoomKey {
    key: PrivateKey,
    pub(crate) public: String,
}

impl RoomKey {
    /// Makes an RSA-2048 key. Takes a noticeable moment of CPU.
    ///
    /// # Errors
    /// [`GovError::Crypto`].
    pub fn generate() -> Result<Self, GovError> {
        Ok(Self::of(PrivateKey::generate(BITS)?))
    }

    /// Takes a key.
    pub fn of(key: PrivateKey) -> Self {
        let public = BASE64_STANDARD.encode(key.public_key().to_spki_pem());
        Self { key, public }
    }

    /// Base64 of the public PEM: the text that goes over the wire and that the binding covers.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The first 32 bytes of the report's data: SHA-256 over base64(PEM), the rule of release 4.
    pub fn binding(&self) -> [u8; 32] {
        binding_of(&self.public)
    }

    /// RSA-PSS, SHA-256, salt of 32 bytes.
    ///
    /// # Errors
    /// [`GovError::Crypto`].
    pub fn sign(&self, data: &[u8]) -> Result<Vec<u8>, GovError> {
        Ok(self.key.sign_pss_sha256(data)?)
    }

    /// Opens what CGS wrapped for this key (RSA-OAEP-AES-KWP).
    ///
    /// # Errors
    /// [`GovError::Answer`] without saying which step failed.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, GovError> {
        unwrap_rsa_aes(&self.key, OaepHash::Sha256, wrapped).map_err(|_| GovError::Answer {
            what: "a value that is not wrapped for this clean room",
        })
    }
}

fn binding_of(public: &str) -> [u8; 32] {
    sha256(public.as_bytes())
}

#[cfg(test)]
mod tests {
    use cleanroom_crypto::keywrap::wrap_rsa_aes;
    use cleanroom_crypto::rsa::PublicKey;

    use super::*;

    /// Public half of a published sample of release 4, and the data of the genuine report that binds it.
    const SAMPLE: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAv/I3ZLd8Y51my9uTqFn1
bpoHm3yporceg0VyhKWqjD67/WMTKLjJ9q3BdrKYdKT3KoZUdG9lqKdqW0zPshXG
N/MNh0i4zq2AESNn33kNloWDfUaJOjhAElI8mds18a+jIi8kZaT/B4Q2fMEuqVCV
Ni10zVLwQeAsyEUfW2ChHOrnaCZm9CFWLPi1HF3al4AGq49gJX7YcUVHkqxzPNx5
Q1EViGeUO0H6h3Iwv47GfvEo6tX2jFEiLkKeRXTIJUd+fsdXD5cMC4R18+1cpN5k
BWADRBu4Kj2X6Rzkmxp2eVzZi4lQlvzF0/x0UXjFHMdn89wiphRDwI5UTzQnGB4D
KwIDAQAB
-----END PUBLIC KEY-----
";
    const SAMPLE_BINDING: &str = "7fc42611b5d844df398c431cb6e7fe5dae3a9fc2de1a68638f0ebc2b9fb240a8";

    #[test]
    fn the_binding_is_that_of_a_published_report() {
        let binding = |pem: &str| hex::encode(binding_of(&BASE64_STANDARD.encode(pem)));
        assert_eq!(binding(SAMPLE), SAMPLE_BINDING);
        assert_ne!(binding(SAMPLE.trim_end()), SAMPLE_BINDING);
    }

    #[test]
    fn the_public_text_is_one_pem_everywhere() {
        let key = RoomKey::generate().unwrap();
        let pem = String::from_utf8(BASE64_STANDARD.decode(key.public()).unwrap()).unwrap();
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
        assert!(pem.ends_with("-----END PUBLIC KEY-----"));
        assert!(!pem.contains('\r') && pem.lines().all(|line| line.len() <= 64));
        assert_eq!(key.binding(), binding_of(key.public()));
    }

    #[test]
    fn what_is_wrapped_for_the_public_key_opens_and_one_changed_byte_does_not() {
        let key = RoomKey::generate().unwrap();
        let pem = String::from_utf8(BASE64_STANDARD.decode(key.public()).unwrap()).unwrap();
        let public = PublicKey::from_spki_pem(&pem).unwrap();
        let wrapped = wrap_rsa_aes(&public, OaepHash::Sha256, b"token").unwrap();
        assert_eq!(key.unwrap(&wrapped).unwrap().as_slice(), b"token");
        for at in [0, 255, 256, wrapped.len() - 1] {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            let error = key.unwrap(&changed).unwrap_err();
            assert!(matches!(error, GovError::Answer { .. }), "{at}");
        }
        assert!(key.unwrap(&wrapped[..100]).is_err());
    }
}
