use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RsaParameters, RsaPublicKeyComponents,
};
use rsa::pkcs8::DecodePublicKey;
use rsa::pkcs8::der::Document;
use rsa::pkcs8::der::pem::LineEnding;
use rsa::traits::PublicKeyParts;

use super::OaepHash;
use crate::CryptoError;

const BAD: CryptoError = CryptoError::Key("not an RSA public key of 2048 to 8192 bits");

/// An RSA public key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    spki: Vec<u8>,
    n: Vec<u8>,
    e: Vec<u8>,
    encrypting: PublicEncryptingKey,
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`CryptoError::Key`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, CryptoError> {
        let numbers = rsa::PublicKey::from_public_key_der(der).map_err(|_| BAD)?;
        Self::from_n_e(
            &numbers.n().to_be_bytes_trimmed_vartime(),
            &numbers.e().to_be_bytes_trimmed_vartime(),
        )
    }

    /// Reads a PEM `PUBLIC KEY`.
    ///
    /// # Errors
    /// [`CryptoError::Key`].
    pub fn from_spki_pem(pem: &str) -> Result<Self, CryptoError> {
        match Document::from_pem(pem).map_err(|_| BAD)? {
            ("PUBLIC KEY", der) => Self::from_spki_der(der.as_bytes()),
            _ => Err(BAD),
        }
    }

    /// Takes modulus and exponent, big-endian; leading zeros are dropped.
    ///
    /// # Errors
    /// [`CryptoError::Key`].
    pub fn from_n_e(n: &[u8], e: &[u8]) -> Result<Self, CryptoError> {
        let (n, e) = (trim(n), trim(e));
        let components = RsaPublicKeyComponents { n: &n, e: &e };
        let encrypting: PublicEncryptingKey = components.try_into().map_err(|_| BAD)?;
        let spki = encrypting.as_der().map_err(|_| BAD)?.as_ref().to_vec();
        Ok(Self {
            spki,
            n,
            e,
            encrypting,
        })
    }

    /// The key as DER `SubjectPublicKeyInfo`.
    pub fn to_spki_der(&self) -> Vec<u8> {
        self.spki.clone()
    }

    /// The key as PEM `PUBLIC KEY`: 64 columns, LF, no newline behind the last line.
    pub fn to_spki_pem(&self) -> String {
        let pem = Document::try_from(self.spki.as_slice())
            .and_then(|document| document.to_pem("PUBLIC KEY", LineEnding::LF))
            .unwrap_or_default();
        pem.trim_end().to_owned()
    }

    /// The modulus, big-endian, without leading zeros.
    pub fn n_be(&self) -> &[u8] {
        &self.n
    }

    /// The exponent, big-endian, without leading zeros.
    pub fn e_be(&self) -> &[u8] {
        &self.e
    }

    /// Encrypts with OAEP and an empty label.
    ///
    /// # Errors
    /// [`CryptoError::Encrypt`] if the plain text is too long for the key.
    pub fn encrypt_oaep(&self, hash: OaepHash, clear: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let key = OaepPublicEncryptingKey::new(self.encrypting.clone()).map_err(|_| BAD)?;
        let mut out = vec![0; key.ciphertext_size()];
        let length = key
            .encrypt(hash.algorithm(), clear, &mut out, None)
            .map_err(|_| CryptoError::Encrypt)?
            .len();
        out.truncate(length);
        Ok(out)
    }

    /// Checks a PSS signature with SHA-256 and a salt of 32 bytes.
    ///
    /// # Errors
    /// [`CryptoError::Mismatch`].
    pub fn verify_pss_sha256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
    }

    /// Checks a PSS signature with SHA-384 (for MGF1 as well) and a salt of 48 bytes, as AMD's certificates and `PS384` are.
    ///
    /// # Errors
    /// [`CryptoError::Mismatch`].
    pub fn verify_pss_sha384(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.verify(&RSA_PSS_2048_8192_SHA384, message, signature)
    }

    /// Checks a PKCS#1 v1.5 signature with SHA-384, as Microsoft's intermediate certificates are.
    ///
    /// # Errors
    /// [`CryptoError::Mismatch`].
    pub fn verify_pkcs1_sha384(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.verify(&RSA_PKCS1_2048_8192_SHA384, message, signature)
    }

    /// Checks a PKCS#1 v1.5 signature with SHA-256.
    ///
    /// # Errors
    /// [`CryptoError::Mismatch`].
    pub fn verify_pkcs1_sha256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
    }

    fn verify(
        &self,
        parameters: &'static RsaParameters,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        RsaPublicKeyComponents {
            n: &self.n,
            e: &self.e,
        }
        .verify(parameters, message, signature)
        .map_err(|_| CryptoError::Mismatch)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

fn trim(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.iter().skip(zeros).copied().collect()
}
