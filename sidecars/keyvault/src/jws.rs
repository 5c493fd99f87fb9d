use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};

use crate::KeyVaultError;
use crate::wire::B64URL;

const MAX_CERTIFICATES: usize = 8;

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    x5c: Vec<String>,
    /// RFC 7515 §4.1.11: whoever does not know a critical extension must refuse.
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
        return Err(KeyVaultError::Jws {
            what: "not three parts",
        });
    };
    let signed = format!("{header}.{payload}");
    let header: Header = json(header, "its header is not the expected JSON")?;
    if header.alg != "RS256" {
        return Err(KeyVaultError::Jws {
            what: "its algorithm is not RS256",
        });
    }
    if header.crit.is_some() {
        return Err(KeyVaultError::Jws {
            what: "its header holds a critical extension",
        });
    }
    let chain = certificates(&header.x5c)?;
    let Some((leaf, above)) = chain.split_first() else {
        return Err(KeyVaultError::Jws {
            what: "it holds no certificate",
        });
    };
    let refuse = |error: webpki::Error| KeyVaultError::Certificate {
        reason: error.to_string(),
    };
    let leaf = EndEntityCert::try_from(leaf).map_err(refuse)?;
    leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        anchors,
        above,
        UnixTime::since_unix_epoch(now),
        KeyUsage::server_auth(),
        None,
        None,
    )
    .map_err(refuse)?;
    let name = ServerName::try_from(host).map_err(|_| KeyVaultError::Url {
        reason: "no host name",
    })?;
    leaf.verify_is_valid_for_subject_name(&name)
        .map_err(refuse)?;
    let signature = bytes(signature, "its signature is not base64url")?;
    leaf.verify_signature(RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
        .map_err(|_| KeyVaultError::Signature)?;
    json(payload, "its payload is not the expected JSON")
}

fn certificates(x5c: &[String]) -> Result<Vec<CertificateDer<'static>>, KeyVaultError> {
    if x5c.len() > MAX_CERTIFICATES {
        return Err(KeyVaultError::Jws {
            what: "it holds too many certificates",
        });
    }
    let decoded = x5c.iter().map(|text| STANDARD.decode(text));
    let decoded = decoded.map(|der| der.map(CertificateDer::from));
    decoded
        .collect::<Result<_, _>>()
        .map_err(|_| KeyVaultError::Jws {
            what: "a certificate is not base64",
        })
}

fn bytes(text: &str, what: &'static str) -> Result<Vec<u8>, KeyVaultError> {
    B64URL.decode(text).map_err(|_| KeyVaultError::Jws { what })
}

fn json<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, KeyVaultError> {
    serde_json::from_slice(&bytes(text, what)?).map_err(|_| KeyVaultError::Jws { what })
}
