use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rsa::pkcs1::RsaPrivateKey;
use rsa::pkcs1::der::{Decode, asn1::UintRef};
use rsa::pkcs8::{EncodePrivateKey, PrivateKeyInfoRef};
use rsa::{BoxedUint, PrivateKey as Numbers};
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::CryptoError;

// Writers of keys disagree on padding; nothing depends on it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const BAD: CryptoError = CryptoError::Key("not a private RSA key in JWK form");

/// The members of RFC 7518 §6.3 from which the rest follows.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Jwk {
    kty: String,
    n: String,
    e: String,
    d: String,
    p: String,
    q: String,
}

/// PKCS#8 DER of a JWK. The CRT values are computed, not believed.
pub(super) fn to_pkcs8(text: &str) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| BAD)?;
    if !matches!(jwk.kty.as_str(), "RSA" | "RSA-HSM") {
        return Err(BAD);
    }
    let n = octets(&jwk.n)?;
    let wide = n.len();
    let key = Numbers::from_components(
        number(&n, wide)?,
        number(&octets(&jwk.e)?, 8)?,
        number(&octets(&jwk.d)?, wide)?,
        vec![
            number(&octets(&jwk.p)?, wide)?,
            number(&octets(&jwk.q)?, wide)?,
        ],
    )
    .map_err(|_| BAD)?;
    let der = key.to_pkcs8_der().map_err(|_| BAD)?;
    Ok(Zeroizing::new(der.as_bytes().to_vec()))
}

/// The JWK of a PKCS#8 DER, members in alphabetical order, numbers in the fewest octets.
pub(super) fn from_pkcs8(der: &[u8]) -> Result<Zeroizing<String>, CryptoError> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| BAD)?;
    let key =
        RsaPrivateKey::<UintRef<'_>>::from_der(info.private_key.as_bytes()).map_err(|_| BAD)?;
    // Room for everything at once: a growing string would leave copies of the key behind.
    let mut out = Zeroizing::new(String::with_capacity(
        8 * key.modulus.as_bytes().len() + 128,
    ));
    let members = [
        ("{\"d\":\"", key.private_exponent),
        ("\",\"dp\":\"", key.exponent1),
        ("\",\"dq\":\"", key.exponent2),
        ("\",\"e\":\"", key.public_exponent),
        ("\",\"kty\":\"RSA\",\"n\":\"", key.modulus),
        ("\",\"p\":\"", key.prime1),
        ("\",\"q\":\"", key.prime2),
        ("\",\"qi\":\"", key.coefficient),
    ];
    for (name, value) in members {
        out.push_str(name);
        BASE64.encode_string(value.as_bytes(), &mut out);
    }
    out.push_str("\"}");
    Ok(out)
}

fn octets(text: &str) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| BAD)?);
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    // The largest modulus the provider takes has 8192 bits.
    if bytes.is_empty() || bytes.len() > 1024 {
        return Err(BAD);
    }
    Ok(bytes)
}

fn number(bytes: &[u8], width: usize) -> Result<BoxedUint, CryptoError> {
    let bits = u32::try_from(width * 8).map_err(|_| BAD)?;
    BoxedUint::from_be_slice(bytes, bits).map_err(|_| BAD)
}
