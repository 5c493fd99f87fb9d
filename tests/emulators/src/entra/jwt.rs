//! Compact JWS with RSA, by hand: a second implementation beside the product's, tolerant where the services are.
use anyhow::anyhow;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode as _, Encode as _, Reader as _, SliceReader};

/// A token taken apart; nothing of it is verified.
#[derive(Clone, Debug)]
pub struct Jwt {
    header: Value,
    claims: Value,
    signed: String,
    signature: Vec<u8>,
}

impl Jwt {
    /// Takes a compact JWS with JSON payload apart.
    ///
    /// # Errors
    /// What is malformed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("not a compact JWS".to_owned());
        };
        let bytes = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|e| format!("not base64url: {e}"))
        };
        let json = |part: &str| -> Result<Value, String> {
            serde_json::from_slice(&bytes(part)?).map_err(|e| format!("not JSON: {e}"))
        };
        Ok(Self {
            header: json(header)?,
            claims: json(claims)?,
            signed: format!("{header}.{claims}"),
            signature: bytes(signature)?,
        })
    }

    /// A text member of the header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    /// All claims.
    #[must_use]
    pub const fn claims(&self) -> &Value {
        &self.claims
    }

    /// One claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// A date in seconds, also where it is written as a string, as CGS does.
    #[must_use]
    pub fn date(&self, name: &str) -> Option<i64> {
        let value = self.claim(name)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }
}

/// An RSA public key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey {
    pub(crate) n: Vec<u8>,
    pub(crate) e: Vec<u8>,
}

impl PublicKey {
    /// From a JWK with `n` and `e`, or with `x5c`.
    ///
    /// # Errors
    /// What is missing.
    pub fn from_jwk(jwk: &Value) -> Result<Self, String> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |text: &str| {
            URL_SAFE_NO_PAD
                .decode(text.trim_end_matches('='))
                .map_err(|e| e.to_string())
        };
        if let (Some(n), Some(e)) = (text("n"), text("e")) {
            return Ok(Self {
                n: bytes(n)?,
                e: bytes(e)?,
            });
        }
        let leaf = jwk
            .pointer("/x5c/0")
            .and_then(Value::as_str)
            .ok_or("neither n and e nor x5c")?;
        Self::from_certificate(&STANDARD.decode(leaf).map_err(|e| e.to_string())?)
    }

    /// From an X.509 certificate, DER.
    ///
    /// # Errors
    /// What is not readable.
    pub fn from_certificate(der: &[u8]) -> Result<Self, String> {
        let unreadable = |e: x509_cert::der::Error| format!("unreadable certificate: {e}");
        let certificate = Certificate::from_der(der).map_err(unreadable)?;
        let spki = certificate.tbs_certificate().subject_public_key_info();
        let key = spki.subject_public_key.raw_bytes();
        let mut reader = SliceReader::new(key).map_err(unreadable)?;
        reader
            .sequence(|inner| {
                let n = inner.decode::<UintRef<'_>>()?.as_bytes().to_vec();
                let e = inner.decode::<UintRef<'_>>()?.as_bytes().to_vec();
                Ok::<_, x509_cert::der::Error>(Self { n, e })
            })
            .map_err(unreadable)
    }

    /// Whether this key made the token's signature, RS256 or PS256 as the header says.
    #[must_use]
    pub fn verifies(&self, jwt: &Jwt) -> bool {
        let algorithm = match jwt.header("alg") {
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            Some("PS256") => &RSA_PSS_2048_8192_SHA256,
            _ => return false,
        };
        let key = RsaPublicKeyComponents {
            n: &self.n,
            e: &self.e,
        };
        key.verify(algorithm, jwt.signed.as_bytes(), &jwt.signature)
            .is_ok()
    }
}

/// A signing key with its kid.
#[derive(Debug)]
pub struct SigningKey {
    key: RsaKeyPair,
    public: PublicKey,
    kid: String,
}

impl SigningKey {
    /// A fresh RSA-2048 key.
    ///
    /// # Errors
    /// No key could be made.
    pub fn generate() -> anyhow::Result<Self> {
        let key =
            PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key"))?;
        let der = key
            .as_der()
            .map_err(|_| anyhow!("the RSA key is not serialisable"))?;
        Self::from_pkcs8(der.as_ref())
    }

    /// From PKCS#8 DER.
    ///
    /// # Errors
    /// It is no RSA key.
    pub fn from_pkcs8(der: &[u8]) -> anyhow::Result<Self> {
        let key = RsaKeyPair::from_pkcs8(der).map_err(|e| anyhow!("not an RSA key: {e}"))?;
        let numbers = key.public_key();
        let public = PublicKey {
            n: numbers.modulus().big_endian_without_leading_zero().to_vec(),
            e: numbers
                .exponent()
                .big_endian_without_leading_zero()
                .to_vec(),
        };
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(&public.n));
        Ok(Self { key, public, kid })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public half as JWK for a JWKS.
    #[must_use]
    pub fn jwk(&self) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(&self.public.n), "e": URL_SAFE_NO_PAD.encode(&self.public.e),
        })
    }

    /// Signs claims: `alg` is `RS256` or `PS256`.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn sign(&self, alg: &str, claims: &Value) -> anyhow::Result<String> {
        self.sign_with(&json!({"alg": alg, "typ": "JWT", "kid": self.kid}), claims)
    }

    /// Signs claims under a header of the caller's making; PSS exactly if its `alg` is `PS256`.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let padding = match header.get("alg").and_then(Value::as_str) {
            Some("PS256") => &RSA_PSS_SHA256,
            _ => &RSA_PKCS1_SHA256,
        };
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                padding,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| anyhow!("the token cannot be signed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// SHA-256 of a certificate as `x5t#S256`.
    #[must_use]
    pub fn thumbprint(der: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(der))
    }
}

/// PKCS#8 DER of an RSA private key from the numbers of its JWK, in the order n, e, d, p, q, dp, dq, qi.
pub(crate) fn pkcs8(numbers: [&[u8]; 8]) -> Result<Vec<u8>, String> {
    let bad = |e: x509_cert::der::Error| format!("the numbers of the key: {e}");
    let mut inner = vec![0x02, 0x01, 0x00];
    for number in numbers {
        UintRef::new(number)
            .and_then(|n| n.encode_to_vec(&mut inner))
            .map_err(bad)?;
    }
    // rsaEncryption with NULL parameters.
    const ALGORITHM: [u8; 15] = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let key = tlv(0x04, &tlv(0x30, &inner));
    Ok(tlv(
        0x30,
        &[&[0x02, 0x01, 0x00], &ALGORITHM[..], &key].concat(),
    ))
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 0x80 => out.push(short),
        (Ok(short), _) => out.extend([0x81, short]),
        (_, Ok(long)) => {
            out.push(0x82);
            out.extend(long.to_be_bytes());
        }
        // No RSA key of this world is so large; the reader refuses the truncated length.
        _ => out.push(0x80),
    }
    out.extend_from_slice(content);
    out
}
