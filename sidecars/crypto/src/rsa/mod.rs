//! RSA keys of 2048 to 8192 bits: OAEP, PSS and PKCS#1 v1.5 signatures, and the encodings they travel in.

mod jwk;
mod private;
mod public;

pub use private::PrivateKey;
pub use public::PublicKey;

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepAlgorithm,
};

/// The hash of an OAEP padding; MGF1 uses the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OaepHash {
    /// SHA-1: `CKM_RSA_AES_KEY_WRAP` and `RSA-OAEP`.
    Sha1,
    /// SHA-256: `RSA_AES_KEY_WRAP_256` and `RSA-OAEP-256`.
    Sha256,
    /// SHA-384: `RSA_AES_KEY_WRAP_384`.
    Sha384,
}

impl OaepHash {
    const fn algorithm(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Self::Sha384 => &OAEP_SHA384_MGF1SHA384,
        }
    }
}
