use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use rsa::pkcs8::der::SecretDocument;
use zeroize::Zeroizing;

use super::{OaepHash, PublicKey, jwk};
use crate::CryptoError;

const BAD: CryptoError = CryptoError::Key("not an RSA private key of 2048 to 8192 bits");

/// An RSA private key; wiped on drop, never printed.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    decrypting: OaepPrivateDecryptingKey,
    signing: RsaKeyPair,
    public: PublicKey,
    modulus_len: usize,
}

impl PrivateKey {
    /// Makes a key of 2048, 3072 or 4096 bits.
    ///
    /// # Errors
    /// [`CryptoError::Key`] for another size.
    pub fn generate(bits: usize) -> Result<Self, CryptoError> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            _ => return Err(CryptoError::Key("RSA keys have 2048, 3072 or 4096 bits")),
        };
        let key = PrivateDecryptingKey::generate(size).map_err(|_| CryptoError::Random)?;
        let der = key
            .as_der()
            .map_err(|_| CryptoError::Key("not serialisable"))?;
        Self::from_pkcs8_der(der.as_ref())
    }

    /// Reads PKCS#8 DER; the numbers are checked against each other.
    ///
    /// Two libraries must read the same key in it: one takes structures that the other refuses, and whoever released such
    /// a key as JWK would hand out nothing.
    ///
    /// # Errors
    /// [`CryptoError::Key`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, CryptoError> {
        PrivateDecryptingKey::from_pkcs8(der).map_err(|_| BAD)?;
        Self::from_jwk(&jwk::from_pkcs8(der)?)
    }

    /// Reads PEM: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
    ///
    /// # Errors
    /// [`CryptoError::Key`].
    pub fn from_pem(pem: &str) -> Result<Self, CryptoError> {
        let (label, der) = SecretDocument::from_pem(pem).map_err(|_| BAD)?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8_der(der.as_bytes()),
            "RSA PRIVATE KEY" => {
                let key = rsa::PrivateKey::from_pkcs1_der(der.as_bytes()).map_err(|_| BAD)?;
                Self::from_pkcs8_der(key.to_pkcs8_der().map_err(|_| BAD)?.as_bytes())
            }
            _ => Err(BAD),
        }
    }

    /// Reads a JWK of type `RSA` or `RSA-HSM` with `n`, `e`, `d`, `p` and `q`.
    ///
    /// # Errors
    /// [`CryptoError::Key`].
    pub fn from_jwk(jwk: &str) -> Result<Self, CryptoError> {
        let pkcs8 = jwk::to_pkcs8(jwk)?;
        let key = PrivateDecryptingKey::from_pkcs8(&pkcs8).map_err(|_| BAD)?;
        let signing = RsaKeyPair::from_pkcs8(&pkcs8).map_err(|_| BAD)?;
        let spki = key.public_key().as_der().map_err(|_| BAD)?;
        Ok(Self {
            public: PublicKey::from_spki_der(spki.as_ref())?,
            modulus_len: key.key_size_bytes(),
            decrypting: OaepPrivateDecryptingKey::new(key).map_err(|_| BAD)?,
            signing,
            pkcs8,
        })
    }

    /// The key as JWK: `{"d","dp","dq","e","kty":"RSA","n","p","q","qi"}`. Empty should the stored DER not parse, which
    /// cannot happen: it was written from a JWK.
    pub fn to_jwk(&self) -> Zeroizing<String> {
        jwk::from_pkcs8(&self.pkcs8).unwrap_or_default()
    }

    /// The key as PKCS#8 DER, written anew: what was read may have had other parts.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        self.public.clone()
    }

    /// Bytes of the modulus.
    pub const fn modulus_len(&self) -> usize {
        self.modulus_len
    }

    /// Opens an OAEP cipher text with an empty label.
    ///
    /// # Errors
    /// [`CryptoError::Decrypt`], whatever the reason.
    pub fn decrypt_oaep(
        &self,
        hash: OaepHash,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let mut out = Zeroizing::new(vec![0; self.decrypting.min_output_size()]);
        let length = self
            .decrypting
            .decrypt(hash.algorithm(), sealed, &mut out, None)
            .map_err(|_| CryptoError::Decrypt)?
            .len();
        out.truncate(length);
        Ok(out)
    }

    /// Signs a message: PSS, SHA-256, salt of 32 bytes.
    ///
    /// # Errors
    /// [`CryptoError::Sign`].
    pub fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.sign(&RSA_PSS_SHA256, message)
    }

    /// Signs a message: PKCS#1 v1.5, SHA-256.
    ///
    /// # Errors
    /// [`CryptoError::Sign`].
    pub fn sign_pkcs1_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.sign(&RSA_PKCS1_SHA256, message)
    }

    fn sign(
        &self,
        padding: &'static dyn RsaEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let mut signature = vec![0; self.modulus_len];
        self.signing
            .sign(padding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| CryptoError::Sign)?;
        Ok(signature)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}
