use std::fmt;

use base64::Engine as _;
use cleanroom_crypto::ec::EcPrivateKey;
use cleanroom_crypto::rsa::PrivateKey;
use cleanroom_crypto::{CryptoError, Zeroizing};

use crate::KeyVaultError;
use crate::wire::B64URL;

/// Longest symmetric key, in bytes; no vault imports a longer one.
const LONGEST_OCT: usize = 64;

/// A key out of a vault; wiped on drop, never printed.
pub struct ReleasedKey {
    kid: String,
    version: String,
    key_ops: Vec<String>,
    material: Material,
}

pub(crate) enum Material {
    Rsa(Box<PrivateKey>),
    Ec(Box<EcPrivateKey>),
    Oct(Zeroizing<Vec<u8>>),
}

impl Material {
    /// What was unwrapped must be a key of the type that the vault names.
    pub(crate) fn read(kty: &str, clear: Zeroizing<Vec<u8>>) -> Result<Self, KeyVaultError> {
        let not_of_type = |source| KeyVaultError::Material {
            kty: kty.to_owned(),
            source,
        };
        match kty {
            "RSA" | "RSA-HSM" => PrivateKey::from_pkcs8_der(&clear)
                .map(|key| Self::Rsa(Box::new(key)))
                .map_err(not_of_type),
            "EC" | "EC-HSM" => EcPrivateKey::from_pkcs8_der(&clear)
                .map(|key| Self::Ec(Box::new(key)))
                .map_err(|source| match source {
                    CryptoError::Curve(_) => KeyVaultError::Curve { source },
                    other => not_of_type(other),
                }),
            "oct" | "oct-HSM" if (1..=LONGEST_OCT).contains(&clear.len()) => Ok(Self::Oct(clear)),
            "oct" | "oct-HSM" => Err(not_of_type(CryptoError::Length("a symmetric key"))),
            _ => Err(KeyVaultError::KeyType {
                kty: kty.chars().take(100).collect(),
            }),
        }
    }
}

impl ReleasedKey {
    pub(crate) const fn new(
        kid: String,
        version: String,
        key_ops: Vec<String>,
        material: Material,
    ) -> Self {
        Self {
            kid,
            version,
            key_ops,
            material,
        }
    }

    /// The key's URL in its vault, with version.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The version that was released.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The key, if it is an RSA key.
    pub fn rsa(&self) -> Option<&PrivateKey> {
        match &self.material {
            Material::Rsa(key) => Some(key),
            Material::Ec(_) | Material::Oct(_) => None,
        }
    }

    /// The key, if it is an elliptic curve key.
    pub fn ec(&self) -> Option<&EcPrivateKey> {
        match &self.material {
            Material::Ec(key) => Some(key),
            Material::Rsa(_) | Material::Oct(_) => None,
        }
    }

    /// The key's bytes, if it is a symmetric key.
    pub fn symmetric(&self) -> Option<&[u8]> {
        match &self.material {
            Material::Oct(bytes) => Some(bytes),
            Material::Rsa(_) | Material::Ec(_) => None,
        }
    }

    /// The key as JWK with alphabetical members: `{"d","dp","dq","e","key_ops"?,"kty":"RSA","n","p","q","qi"}`,
    /// `{"crv","d","key_ops"?,"kty":"EC","x","y"}` or `{"k","key_ops"?,"kty":"oct"}`.
    pub fn to_jwk(&self) -> Zeroizing<String> {
        let plain = match &self.material {
            Material::Rsa(key) => key.to_jwk(),
            Material::Ec(key) => key.to_jwk(),
            Material::Oct(bytes) => oct_jwk(bytes),
        };
        with_key_ops(plain, &self.key_ops)
    }
}

impl fmt::Debug for ReleasedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReleasedKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// `{"k","kty":"oct"}`, in one buffer that never grows.
pub(crate) fn oct_jwk(key: &[u8]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(2 * key.len() + 32));
    out.push_str("{\"k\":\"");
    B64URL.encode_string(key, &mut out);
    out.push_str("\",\"kty\":\"oct\"}");
    out
}

/// Puts `key_ops` before `kty`, without a copy of the secret that is not wiped.
pub(crate) fn with_key_ops(jwk: Zeroizing<String>, key_ops: &[String]) -> Zeroizing<String> {
    let Some((before, after)) = jwk.split_once("\"kty\"").filter(|_| !key_ops.is_empty()) else {
        return jwk;
    };
    let ops = serde_json::Value::from(key_ops).to_string();
    let mut out = Zeroizing::new(String::with_capacity(jwk.len() + ops.len() + 16));
    for part in [before, "\"key_ops\":", &ops, ",\"kty\"", after] {
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ops_stand_before_the_type_and_only_if_there_are_any() {
        let jwk = || oct_jwk(&[0]);
        assert_eq!(*with_key_ops(jwk(), &[]), r#"{"k":"AA","kty":"oct"}"#);
        assert_eq!(
            *with_key_ops(jwk(), &["encrypt".to_owned(), "wrapKey".to_owned()]),
            r#"{"k":"AA","key_ops":["encrypt","wrapKey"],"kty":"oct"}"#
        );
    }
}
