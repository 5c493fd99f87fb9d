use anyhow::{Context, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::evidence::Judged;

const LIFETIME: i64 = 8 * 60 * 60;

/// The signing key and its self-signed certificate.
#[derive(Debug)]
pub(super) struct Signer {
    key: RsaKeyPair,
    certificate: Vec<u8>,
    kid: String,
}

impl Signer {
    pub(super) fn generate(issuer: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, issuer);
        let certificate = params.self_signed(&key)?.der().to_vec();
        let kid = STANDARD.encode(Sha256::digest(&certificate));
        let key = RsaKeyPair::from_pkcs8(&key.serialize_der())
            .map_err(|_| anyhow!("the fresh RSA key is not readable"))?;
        Ok(Self {
            key,
            certificate,
            kid,
        })
    }

    pub(super) fn certificate(&self) -> (String, Vec<u8>) {
        (self.kid.clone(), self.certificate.clone())
    }

    pub(super) fn jwk(&self) -> Value {
        json!({
            "kid": self.kid,
            "kty": "RSA",
            "use": "sig",
            "x5c": [STANDARD.encode(&self.certificate)],
        })
    }

    pub(super) fn header(&self, issuer: &str) -> Value {
        json!({
            "alg": "RS256", "jku": format!("{issuer}/certs"), "kid": self.kid, "typ": "JWT",
        })
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| anyhow!("the token cannot be signed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Every claim that the service makes about a container group.
pub(super) fn claims(issuer: &str, judged: &Judged) -> anyhow::Result<Value> {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let report = &judged.report;
    let [boot_loader, tee, .., snp, microcode] = report.reported_tcb;
    let jti = Sha256::digest([&report.report_id[..], &now.to_le_bytes()].concat());
    let mut claims = json!({
        "iss": issuer, "iat": now, "nbf": now, "exp": now + LIFETIME,
        "jti": hex::encode(jti),
        "x-ms-ver": "1.0",
        "x-ms-attestation-type": "sevsnpvm",
        "x-ms-policy-hash": policy_hash(),
        "x-ms-sevsnpvm-hostdata": hex::encode(report.host_data),
        "x-ms-sevsnpvm-reportdata": hex::encode(report.report_data),
        "x-ms-sevsnpvm-launchmeasurement": hex::encode(report.measurement),
        "x-ms-sevsnpvm-idkeydigest": hex::encode(report.id_key_digest),
        "x-ms-sevsnpvm-authorkeydigest": hex::encode(report.author_key_digest),
        "x-ms-sevsnpvm-reportid": hex::encode(report.report_id),
        "x-ms-sevsnpvm-familyId": hex::encode(report.family_id),
        "x-ms-sevsnpvm-imageId": hex::encode(report.image_id),
        "x-ms-sevsnpvm-bootloader-svn": boot_loader,
        "x-ms-sevsnpvm-tee-svn": tee,
        "x-ms-sevsnpvm-snpfw-svn": snp,
        "x-ms-sevsnpvm-microcode-svn": microcode,
        "x-ms-sevsnpvm-guestsvn": report.guest_svn,
        "x-ms-sevsnpvm-is-debuggable": report.debuggable(),
        "x-ms-sevsnpvm-migration-allowed": report.migration_allowed(),
        "x-ms-sevsnpvm-smt-allowed": report.smt_allowed(),
        "x-ms-sevsnpvm-vmpl": report.vmpl,
    });
    let members = claims.as_object_mut().context("claims are an object")?;
    if let Some(uvm) = &judged.uvm {
        members.insert(
            "x-ms-compliance-status".to_owned(),
            json!("azure-compliant-uvm"),
        );
        members.insert("x-ms-sevsnpvm-guestsvn-int".to_owned(), json!(uvm.svn));
    }
    if let Some(runtime) = &judged.runtime {
        members.insert("x-ms-runtime".to_owned(), runtime.clone());
    }
    if let Some(nonce) = &judged.nonce {
        members.insert("nonce".to_owned(), json!(nonce));
    }
    Ok(claims)
}

/// base64url(SHA-256(base64url(policy text))).
fn policy_hash() -> String {
    const POLICY: &str = "version=1.0;authorizationrules{=> permit();};issuancerules{};";
    URL_SAFE_NO_PAD.encode(Sha256::digest(URL_SAFE_NO_PAD.encode(POLICY)))
}
