use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::rsa::PublicKey;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};

use crate::KeyVaultError;
use crate::wire::B64URL;

const MAX_CERTIFICATES: usize = 8;

/// Certificates in standard base64; padding is tolerated, not demanded.
const B64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a signed answer cannot be judged.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum JwsFlaw {
    /// Not header, payload and signature.
    #[error("not three parts")]
    Parts,
    /// A part is not base64url, or has bits behind its last byte.
    #[error("its {0} is not base64url")]
    Base64(&'static str),
    /// A part is not the JSON expected there, or names a member twice.
    #[error("its {0} is not the expected JSON")]
    Json(&'static str),
    /// Another algorithm than the one accepted.
    #[error("its algorithm is not RS256")]
    Algorithm,
    /// RFC 7515 §4.1.11: whoever does not know a critical extension must refuse.
    #[error("its header holds a critical extension")]
    Critical,
    /// No certificate at all.
    #[error("it holds no certificate")]
    NoCertificate,
    /// More certificates than any chain has.
    #[error("it holds more than 8 certificates")]
    ManyCertificates,
    /// A certificate is not base64.
    #[error("a certificate is not base64")]
    CertificateBase64,
    /// The leaf's key cannot have made the signature.
    #[error("its certificate holds no RSA key of 2048 to 8192 bits")]
    LeafKey,
    /// `x5t#S256` is not the digest of the leaf.
    #[error("x5t#S256 is not the digest of its certificate")]
    Thumbprint,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    x5c: Vec<String>,
    #[serde(default, rename = "x5t#S256")]
    thumbprint: Option<String>,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// Reads the payload of a JWS that the vault at `host` signed: RS256, by a leaf certificate that names the host and
/// chains to `anchors` at `now`.
///
/// # Errors
/// [`KeyVaultError::Jws`], [`KeyVaultError::Certificate`] or [`KeyVaultError::Signature`].
pub(crate) fn verify<T: DeserializeOwned>(
    jws: &str,
    host: &str,
    anchors: &[TrustAnchor<'_>],
    now: Duration,
) -> Result<T, KeyVaultError> {
    let mut parts = jws.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(KeyVaultError::Jws(JwsFlaw::Parts));
    };
    let signed = format!("{header}.{payload}");
    let header: Header = json(header, "header")?;
    if header.alg != "RS256" {
        return Err(KeyVaultError::Jws(JwsFlaw::Algorithm));
    }
    if header.crit.is_some() {
        return Err(KeyVaultError::Jws(JwsFlaw::Critical));
    }
    let chain = certificates(&header.x5c)?;
    let Some((leaf_der, above)) = chain.split_first() else {
        return Err(KeyVaultError::Jws(JwsFlaw::NoCertificate));
    };
    if let Some(thumbprint) = &header.thumbprint {
        let digest = bytes(thumbprint, "x5t#S256")?;
        if digest != sha256(leaf_der) {
            return Err(KeyVaultError::Jws(JwsFlaw::Thumbprint));
        }
    }
    let leaf = EndEntityCert::try_from(leaf_der).map_err(KeyVaultError::Certificate)?;
    leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        anchors,
        above,
        UnixTime::since_unix_epoch(now),
        KeyUsage::server_auth(),
        None,
        None,
    )
    .map_err(KeyVaultError::Certificate)?;
    let name = ServerName::try_from(host).map_err(|_| KeyVaultError::Url {
        reason: "no host name",
    })?;
    leaf.verify_is_valid_for_subject_name(&name)
        .map_err(KeyVaultError::Certificate)?;
    let key = PublicKey::from_spki_der(leaf.subject_public_key_info().as_ref())
        .map_err(|_| KeyVaultError::Jws(JwsFlaw::LeafKey))?;
    key.verify_pkcs1_sha256(signed.as_bytes(), &bytes(signature, "signature")?)
        .map_err(|_| KeyVaultError::Signature)?;
    json(payload, "payload")
}

fn certificates(x5c: &[String]) -> Result<Vec<CertificateDer<'static>>, KeyVaultError> {
    if x5c.len() > MAX_CERTIFICATES {
        return Err(KeyVaultError::Jws(JwsFlaw::ManyCertificates));
    }
    let decoded = x5c.iter().map(|text| B64.decode(text));
    let decoded = decoded.map(|der| der.map(CertificateDer::from));
    decoded
        .collect::<Result<_, _>>()
        .map_err(|_| KeyVaultError::Jws(JwsFlaw::CertificateBase64))
}

fn bytes(text: &str, part: &'static str) -> Result<Vec<u8>, KeyVaultError> {
    B64URL
        .decode(text)
        .map_err(|_| KeyVaultError::Jws(JwsFlaw::Base64(part)))
}

fn json<T: DeserializeOwned>(text: &str, part: &'static str) -> Result<T, KeyVaultError> {
    serde_json::from_slice(&bytes(text, part)?).map_err(|_| KeyVaultError::Jws(JwsFlaw::Json(part)))
}
