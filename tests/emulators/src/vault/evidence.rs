//! Attestation tokens: whose they are, whether they are alive, and the transfer key in them.
use std::collections::BTreeMap;

use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::RsaPublicKeyComponents;
use serde_json::Value;
use time::OffsetDateTime;

use super::fault::VaultFault;
use crate::entra::jwt::{Jwt, PublicKey};

/// By issuer (no trailing slash), its signing certificates as (kid, DER).
pub type Issuers = BTreeMap<String, Vec<(String, Vec<u8>)>>;

pub(super) struct Evidence {
    pub(super) issuer: String,
    pub(super) claims: Value,
    pub(super) transfer_key: OaepPublicEncryptingKey,
}

pub(super) fn judge(token: &str, issuers: &Issuers) -> Result<Evidence, VaultFault> {
    let jwt = Jwt::parse(token).map_err(|e| VaultFault::bad(format!("target: {e}")))?;
    let issuer = jwt.claim("iss").and_then(Value::as_str).unwrap_or_default();
    let refuse = |text: String| VaultFault::forbidden("ForbiddenByAttestation", text);
    let known = issuers.get(issuer.trim_end_matches('/')).ok_or_else(|| {
        refuse(format!(
            "target: the issuer {issuer:?} is not a known attestation provider"
        ))
    })?;
    if jwt.header("alg") != Some("RS256") {
        return Err(refuse(format!(
            "target: expected algorithm RS256, actual {:?}",
            jwt.header("alg")
        )));
    }
    let kid = jwt.header("kid").unwrap_or_default();
    let certificate = known.iter().find(|(known, _)| known == kid);
    let (_, certificate) =
        certificate.ok_or_else(|| refuse(format!("target: {issuer} has no key {kid:?}")))?;
    let key = PublicKey::from_certificate(certificate).map_err(VaultFault::internal)?;
    if !key.verifies(&jwt) {
        return Err(refuse(
            "target: the signature of the attestation token does not verify".to_owned(),
        ));
    }
    let now = OffsetDateTime::now_utc().unix_timestamp();
    if jwt.date("exp").is_none_or(|exp| exp <= now)
        || jwt.date("nbf").is_some_and(|nbf| nbf > now + 60)
    {
        return Err(refuse(
            "target: the attestation token is outside its lifetime".to_owned(),
        ));
    }
    Ok(Evidence {
        issuer: issuer.to_owned(),
        transfer_key: transfer_key(jwt.claims())?,
        claims: jwt.claims().clone(),
    })
}

/// The first key of the runtime data that is meant for encryption.
fn transfer_key(claims: &Value) -> Result<OaepPublicEncryptingKey, VaultFault> {
    let keys = claims
        .pointer("/x-ms-runtime/keys")
        .and_then(Value::as_array);
    let encrypts = |key: &&Value| {
        let ops = key.get("key_ops").and_then(Value::as_array);
        key.get("use").and_then(Value::as_str) == Some("enc")
            || ops.is_some_and(|ops| ops.iter().any(|op| op == "encrypt"))
    };
    let key = keys.and_then(|keys| keys.iter().find(encrypts));
    let key =
        key.ok_or_else(|| VaultFault::bad("target: no key for encryption in x-ms-runtime.keys"))?;
    let key = PublicKey::from_jwk(key)
        .map_err(|e| VaultFault::bad(format!("target: the transfer key: {e}")))?;
    let unusable =
        || VaultFault::bad("target: the transfer key is no RSA key of at least 2048 bits");
    let components = RsaPublicKeyComponents {
        n: &key.n,
        e: &key.e,
    };
    let key: PublicEncryptingKey = components.try_into().map_err(|_| unusable())?;
    OaepPublicEncryptingKey::new(key).map_err(|_| unusable())
}
