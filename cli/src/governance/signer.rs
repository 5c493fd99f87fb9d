use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use cleanroom_crypto::digest::sha256;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::GovCliError;

/// A member's certificate with its P-384 key.
pub(crate) struct Signer {
    id: String,
    key: EcdsaKeyPair,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads certificate and key (PKCS#8 or SEC1) and checks that they belong together.
    pub(crate) fn of(cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, GovCliError> {
        let certificate = CertificateDer::from_pem_slice(cert_pem)
            .map_err(|_| bad("the certificate is not PEM"))?;
        let parsed = Certificate::from_der(&certificate)
            .map_err(|_| bad("the certificate cannot be read"))?;
        let private = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|_| bad("the key is not a PEM private key"))?;
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let key = match &private {
            PrivateKeyDer::Pkcs8(der) => {
                EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der())
            }
            PrivateKeyDer::Sec1(der) => {
                EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der())
            }
            _ => return Err(bad("the key is not an EC key")),
        };
        let key = key.map_err(|_| bad("the key is not on the curve P-384"))?;
        let public = parsed
            .tbs_certificate()
            .subject_public_key_info()
            .subject_public_key
            .as_bytes();
        if public != Some(key.public_key().as_ref()) {
            return Err(bad("the key is not that of the certificate"));
        }
        Ok(Self {
            id: hex::encode(sha256(&certificate)),
            key,
        })
    }

    /// The member id: SHA-256 of the certificate in lower-case hex.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// ECDSA with SHA-384, 96 bytes r ‖ s.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, GovCliError> {
        self.key
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| bad("the signature failed"))
    }

    #[cfg(test)]
    pub(crate) fn public(&self) -> Vec<u8> {
        self.key.public_key().as_ref().to_vec()
    }
}

fn bad(reason: &str) -> GovCliError {
    GovCliError::Key {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::keygen::identity;
    use super::*;

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (litware, fabrikam) = (identity("litware").unwrap(), identity("fabrikam").unwrap());
        Signer::of(litware.cert.as_bytes(), litware.key.as_bytes()).unwrap();
        let mixed = Signer::of(litware.cert.as_bytes(), fabrikam.key.as_bytes());
        assert!(
            mixed
                .unwrap_err()
                .to_string()
                .contains("not that of the certificate")
        );
    }
}
