use std::fmt;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
use rsa::pkcs8::der::Decode;
use rsa::pkcs8::spki::SubjectPublicKeyInfoRef;

use super::{Curve, EC_PUBLIC_KEY};
use crate::CryptoError;

const BAD: CryptoError = CryptoError::Key("not a public key on P-384, uncompressed");
const POINT: usize = 97;

/// A public key on P-384, for signatures over SHA-384.
#[derive(Clone)]
pub struct P384PublicKey {
    point: [u8; POINT],
    fixed: ParsedPublicKey,
    asn1: ParsedPublicKey,
}

impl P384PublicKey {
    /// Reads an uncompressed point: 4, then 48 bytes of x and 48 of y. The point must be on the curve.
    ///
    /// # Errors
    /// [`CryptoError::Key`].
    pub fn from_point(point: &[u8]) -> Result<Self, CryptoError> {
        let point: [u8; POINT] = point.try_into().map_err(|_| BAD)?;
        if point.first() != Some(&4) {
            return Err(BAD);
        }
        Ok(Self {
            fixed: ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).map_err(|_| BAD)?,
            asn1: ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point).map_err(|_| BAD)?,
            point,
        })
    }

    /// Reads a DER `SubjectPublicKeyInfo` with the curve by its name.
    ///
    /// # Errors
    /// [`CryptoError::Key`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, CryptoError> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| BAD)?;
        info.algorithm
            .assert_oids(EC_PUBLIC_KEY, Curve::P384.oid())
            .map_err(|_| BAD)?;
        Self::from_point(info.subject_public_key.as_bytes().ok_or(BAD)?)
    }

    /// The uncompressed point.
    pub const fn point(&self) -> &[u8; POINT] {
        &self.point
    }

    /// Checks a signature of 48 bytes of r and 48 of s, big-endian.
    ///
    /// # Errors
    /// [`CryptoError::Mismatch`].
    pub fn verify_sha384(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.fixed
            .verify_sig(message, signature)
            .map_err(|_| CryptoError::Mismatch)
    }

    /// Checks a signature in DER.
    ///
    /// # Errors
    /// [`CryptoError::Mismatch`].
    pub fn verify_sha384_der(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.asn1
            .verify_sig(message, signature)
            .map_err(|_| CryptoError::Mismatch)
    }
}

impl PartialEq for P384PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

impl Eq for P384PublicKey {}

impl fmt::Debug for P384PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("P384PublicKey").finish_non_exhaustive()
    }
}
