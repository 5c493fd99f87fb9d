//! Release: evidence, policy, wrapping, signature.
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepAlgorithm,
    OaepPublicEncryptingKey,
};
use axum::Json;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{ApiVersion, Caller};
use super::fault::VaultFault;
use super::{Vault, evidence, keys, policy};

const DEFAULT_WRAPPING: &str = "CKM_RSA_AES_KEY_WRAP";

#[derive(Deserialize)]
struct Body {
    target: String,
    enc: Option<String>,
    nonce: Option<String>,
}

pub(super) async fn current(
    State(vault): State<Vault>,
    caller: Caller,
    version: ApiVersion,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, VaultFault> {
    release(&vault, &caller, (&name, None), &version, &body)
}

pub(super) async fn version(
    State(vault): State<Vault>,
    caller: Caller,
    version: ApiVersion,
    Path((name, key_version)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<Value>, VaultFault> {
    release(
        &vault,
        &caller,
        (&name, Some(&key_version)),
        &version,
        &body,
    )
}

fn release(
    vault: &Vault,
    caller: &Caller,
    (name, version): (&str, Option<&str>),
    api_version: &ApiVersion,
    body: &[u8],
) -> Result<Json<Value>, VaultFault> {
    caller.may_release()?;
    let body: Body =
        serde_json::from_slice(body).map_err(|e| VaultFault::bad(format!("The body: {e}")))?;
    let key = vault.find_key(name, version)?;
    key.life.permit("release")?;
    let Some(rules) = key.policy.as_ref().filter(|_| key.exportable) else {
        return Err(VaultFault::forbidden(
            "KeyNotExportable",
            "The key is not exportable.",
        ));
    };
    let config = &vault.0.config;
    let evidence = evidence::judge(&body.target, &config.issuers)?;
    policy::evaluate(rules, &evidence.issuer, &evidence.claims).map_err(|why| {
        VaultFault::forbidden("ForbiddenByReleasePolicy", format!("Target environment attestation does not meet key release policy requirements: {why}"))
    })?;
    let enc = body.enc.as_deref().unwrap_or(DEFAULT_WRAPPING);
    let ciphertext = wrap(&evidence.transfer_key, enc, key.material.secret())?;
    let key_hsm = json!({
        "ciphertext": URL_SAFE_NO_PAD.encode(ciphertext),
        "header": {"alg": "dir", "enc": enc, "kid": "TransferKey"},
        "schema_version": "1.0",
    });
    let kid = keys::kid(vault, name, &key);
    let mut request = json!({"api-version": api_version.0, "enc": enc, "kid": kid});
    if let (Some(nonce), Some(members)) = (body.nonce, request.as_object_mut()) {
        members.insert("nonce".to_owned(), json!(nonce));
    }
    let mut payload = json!({
        "request": request,
        "response": {"key": {
            "attributes": keys::attributes(&key),
            "key": {
                "kid": kid, "kty": key.material.kty(), "key_ops": key.key_ops,
                "key_hsm": URL_SAFE_NO_PAD.encode(key_hsm.to_string()),
            },
            "release_policy": keys::policy_body(rules, key.immutable),
        }},
    });
    if let Some(mischief) = vault.state(|state| state.mischief.clone()) {
        mischief(&mut payload);
    }
    let jws = config
        .signer
        .sign(&payload)
        .map_err(|e| VaultFault::internal(e.to_string()))?;
    let jws = match vault.state(|state| state.tampering.clone()) {
        Some(tampering) => tampering(jws),
        None => jws,
    };
    Ok(Json(json!({"value": jws})))
}

/// RSA-OAEP(fresh AES-256 key) ‖ AES-KWP(material).
fn wrap(
    transfer_key: &OaepPublicEncryptingKey,
    enc: &str,
    material: &[u8],
) -> Result<Vec<u8>, VaultFault> {
    let oaep: &'static OaepAlgorithm = match enc {
        "CKM_RSA_AES_KEY_WRAP" => &OAEP_SHA1_MGF1SHA1,
        "RSA_AES_KEY_WRAP_256" => &OAEP_SHA256_MGF1SHA256,
        "RSA_AES_KEY_WRAP_384" => &OAEP_SHA384_MGF1SHA384,
        other => return Err(VaultFault::bad(format!("enc {other} is not supported"))),
    };
    let failed = |_| VaultFault::internal("the key cannot be wrapped");
    let mut kek = [0; 32];
    aws_lc_rs::rand::fill(&mut kek).map_err(failed)?;
    let mut sealed = vec![0; transfer_key.ciphertext_size()];
    let mut out = transfer_key
        .encrypt(oaep, &kek, &mut sealed, None)
        .map_err(failed)?
        .to_vec();
    let mut wrapped = vec![0; material.len() + 15];
    let kek = AesKek::new(&AES_256, &kek).map_err(failed)?;
    out.extend_from_slice(
        kek.wrap_with_padding(material, &mut wrapped)
            .map_err(failed)?,
    );
    Ok(out)
}
