//! The certificate of a vault, for the signatures of its releases.
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::entra::jwt::SigningKey;
use crate::world::Authority;

/// An RSA key and the chain of certificates over it, leaf first.
#[derive(Debug)]
pub struct VaultSigner {
    key: SigningKey,
    chain: Vec<CertificateDer<'static>>,
}

impl VaultSigner {
    /// A fresh key with a leaf of `authority` for `host` (a name without port).
    ///
    /// # Errors
    /// No key or certificate could be made.
    pub fn issue(authority: &Authority, host: &str) -> anyhow::Result<Self> {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let key = SigningKey::from_pkcs8(&pair.serialize_der())?;
        let leaf = authority
            .leaf(&[host], &pair)
            .context("the vault's signing certificate")?;
        Ok(Self {
            key,
            chain: vec![leaf, authority.der()],
        })
    }

    /// Signs a release as the service does: RS256, the chain in the header.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn sign(&self, payload: &Value) -> anyhow::Result<String> {
        self.sign_with(&self.header(), payload)
    }

    /// The header of [`VaultSigner::sign`].
    #[must_use]
    pub fn header(&self) -> Value {
        let thumbprint = self.chain.first().map(|leaf| SigningKey::thumbprint(leaf));
        let x5c: Vec<_> = self.chain.iter().map(|der| STANDARD.encode(der)).collect();
        json!({"alg": "RS256", "kid": thumbprint, "x5t#S256": thumbprint, "x5c": x5c})
    }

    /// Signs under a header of the caller's making.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn sign_with(&self, header: &Value, payload: &Value) -> anyhow::Result<String> {
        self.key.sign_with(header, payload)
    }
}
