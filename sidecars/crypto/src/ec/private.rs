use std::fmt;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::{Curve, EC_PUBLIC_KEY};
use crate::CryptoError;

const BAD: CryptoError = CryptoError::Key("not an elliptic curve private key in PKCS#8 form");
const OTHER_CURVE: CryptoError = CryptoError::Curve("another than P-256, P-384 or P-521");
const P256K: CryptoError = CryptoError::Curve("P-256K (secp256k1)");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");

/// An elliptic curve private key, as a vault releases it; wiped on drop, never printed.
pub struct EcPrivateKey {
    curve: Curve,
    pkcs8: Zeroizing<Vec<u8>>,
    d: Zeroizing<Vec<u8>>,
    point: Vec<u8>,
}

impl Curve {
    const fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }
}

impl EcPrivateKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`CryptoError::Random`].
    pub fn generate(curve: Curve) -> Result<Self, CryptoError> {
        let pair = EcdsaKeyPair::generate(curve.signing()).map_err(|_| CryptoError::Random)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| BAD)?;
        Self::from_pkcs8_der(pkcs8.as_ref())
    }

    /// Reads PKCS#8 DER. The public half is computed where it is absent, and checked where it is not.
    ///
    /// # Errors
    /// [`CryptoError::Curve`] names a curve that is not handled; [`CryptoError::Key`] otherwise.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, CryptoError> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| BAD)?;
        let (algorithm, curve) = info.algorithm.oids().map_err(|_| BAD)?;
        if algorithm != EC_PUBLIC_KEY {
            return Err(BAD);
        }
        let curve = match curve {
            Some(SECP256K1) => return Err(P256K),
            Some(oid) => Curve::of(oid).ok_or(OTHER_CURVE)?,
            None => return Err(BAD),
        };
        let pair = EcdsaKeyPair::from_pkcs8(curve.signing(), der).map_err(|_| BAD)?;
        let d = pair.private_key().as_be_bytes().map_err(|_| BAD)?;
        Ok(Self {
            curve,
            pkcs8: Zeroizing::new(der.to_vec()),
            d: Zeroizing::new(d.as_ref().to_vec()),
            point: pair.public_key().as_ref().to_vec(),
        })
    }

    /// The curve.
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The key as PKCS#8 DER, as it was read.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    /// The public half: an uncompressed point.
    pub fn public_point(&self) -> &[u8] {
        &self.point
    }

    /// The key as JWK, `{"crv","d","kty":"EC","x","y"}`, every number at the full width of the curve.
    pub fn to_jwk(&self) -> Zeroizing<String> {
        let (x, y) = self
            .point
            .get(1..)
            .unwrap_or_default()
            .split_at_checked(self.curve.coordinate_len())
            .unwrap_or_default();
        // Room for everything at once: a growing string would leave copies of the key behind.
        let mut out = Zeroizing::new(String::with_capacity(6 * self.curve.coordinate_len() + 64));
        out.push_str("{\"crv\":\"");
        out.push_str(self.curve.name());
        out.push_str("\",\"d\":\"");
        URL_SAFE_NO_PAD.encode_string(self.d.as_slice(), &mut out);
        out.push_str("\",\"kty\":\"EC\",\"x\":\"");
        URL_SAFE_NO_PAD.encode_string(x, &mut out);
        out.push_str("\",\"y\":\"");
        URL_SAFE_NO_PAD.encode_string(y, &mut out);
        out.push_str("\"}");
        out
    }
}

impl fmt::Debug for EcPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcPrivateKey(..)")
    }
}
