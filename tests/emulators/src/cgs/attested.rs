//! Calls of clean rooms: evidence, policy, the key that the report binds, the signature.
use std::sync::Arc;

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::policy;
use super::reply::Refusal;
use super::routes::{Exchange, text};
use crate::amd;

/// What verified evidence says.
#[derive(Clone, Debug)]
pub struct SnpClaims {
    /// Version of the report.
    pub version: u32,
    /// SVN of the guest.
    pub guest_svn: u32,
    /// Whether the guest may run on sibling threads.
    pub smt_allowed: bool,
    /// Whether the host may debug the guest.
    pub debuggable: bool,
    /// Family id.
    pub family_id: [u8; 16],
    /// Image id.
    pub image_id: [u8; 16],
    /// Privilege level of the requester.
    pub vmpl: u32,
    /// Bound by the requester.
    pub report_data: [u8; 64],
    /// Launch measurement of the utility VM.
    pub measurement: [u8; 48],
    /// SHA-256 of the enforced policy.
    pub host_data: [u8; 32],
    /// Digest of the id key.
    pub id_key_digest: [u8; 48],
    /// Digest of the author key.
    pub author_key_digest: [u8; 48],
    /// Report id.
    pub report_id: [u8; 32],
    /// What endorses the utility VM, where evidence came with an endorsement.
    pub uvm: Option<UvmClaims>,
}

/// What a verified endorsement of the utility VM says.
#[derive(Clone, Debug)]
pub struct UvmClaims {
    /// Who endorses: a did:x509.
    pub did: String,
    /// What is endorsed.
    pub feed: String,
    /// Its SVN.
    pub svn: String,
}

/// Judges a report, the PEM chain VCEK, ASK, ARK and, if given, the COSE endorsement; gives its reason to refuse.
pub type ReportVerifier =
    Arc<dyn Fn(&[u8], &str, Option<&[u8]>) -> Result<SnpClaims, String> + Send + Sync>;

/// Verification under the emulated AMD root.
#[must_use]
pub fn amd_verifier() -> ReportVerifier {
    Arc::new(|report, chain, uvm| {
        let report = amd::verify_report(report, chain).map_err(|e| e.to_string())?;
        let uvm = uvm
            .map(|cose| amd::verify_uvm(cose, &report.measurement))
            .transpose()
            .map_err(|e| e.to_string())?;
        Ok(SnpClaims {
            version: report.version,
            guest_svn: report.guest_svn,
            smt_allowed: report.smt_allowed(),
            debuggable: report.debuggable(),
            family_id: report.family_id,
            image_id: report.image_id,
            vmpl: report.vmpl,
            report_data: report.report_data,
            measurement: report.measurement,
            host_data: report.host_data,
            id_key_digest: report.id_key_digest,
            author_key_digest: report.author_key_digest,
            report_id: report.report_id,
            uvm: uvm.map(|uvm| UvmClaims {
                did: uvm.issuer,
                feed: uvm.feed,
                svn: uvm.svn.to_string(),
            }),
        })
    })
}

impl SnpClaims {
    /// The claims that policies name.
    pub(super) fn named(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut put =
            |name: &str, value: Value| claims.insert(format!("x-ms-sevsnpvm-{name}"), value);
        put("guestsvn", json!(self.guest_svn));
        put("smt-allowed", json!(self.smt_allowed));
        put("is-debuggable", json!(self.debuggable));
        put("familyId", json!(hex::encode(self.family_id)));
        put("imageId", json!(hex::encode(self.image_id)));
        put("vmpl", json!(self.vmpl));
        put("reportdata", json!(hex::encode(self.report_data)));
        put("launchmeasurement", json!(hex::encode(self.measurement)));
        put("hostdata", json!(hex::encode(self.host_data)));
        put("idkeydigest", json!(hex::encode(self.id_key_digest)));
        put(
            "authorkeydigest",
            json!(hex::encode(self.author_key_digest)),
        );
        put("reportid", json!(hex::encode(self.report_id)));
        claims.insert("x-ms-ver".to_owned(), json!(self.version.to_string()));
        if let Some(uvm) = &self.uvm {
            for (name, value) in [("did", &uvm.did), ("feed", &uvm.feed), ("svn", &uvm.svn)] {
                claims.insert(format!("uvm_endorsements-{name}"), json!(value));
            }
        }
        claims
    }
}

/// A clean room whose evidence the contract's policy admits.
pub(super) struct CleanRoom {
    pub(super) body: Value,
    claims: SnpClaims,
}

/// Members of the body that a call cannot do without, with the code that says so, in the order they are looked for.
pub(super) type Needs = &'static [(&'static str, &'static str)];

/// A call whose answer is encrypted.
pub(super) const ENCRYPTED: Needs = &[("encrypt", "EncryptionMissing")];

impl CleanRoom {
    /// Judges the call's evidence against the policy of `contract`.
    pub(super) fn admit(ex: &Exchange<'_>, contract: &str, needs: Needs) -> Result<Self, Refusal> {
        let body = ex.json()?;
        for (name, code) in [("attestation", "AttestationMissing")].iter().chain(needs) {
            if body
                .get(name)
                .is_none_or(|value| value.is_null() || value == "")
            {
                return Err(Refusal::bad(code, format!("The body has no {name}.")));
            }
        }
        Self::judged(ex, contract, body)
    }

    /// The same for a body whose members were looked for already.
    pub(super) fn judged(ex: &Exchange<'_>, contract: &str, body: Value) -> Result<Self, Refusal> {
        let refuse = |reason: String| Refusal::bad("VerifySnpAttestationFailed", reason);
        let attestation = body.get("attestation").unwrap_or(&Value::Null);
        let part = |name: &str| -> Result<Vec<u8>, Refusal> {
            let encoded = attestation
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default();
            STANDARD
                .decode(encoded)
                .map_err(|e| refuse(format!("{name} is not base64: {e}")))
        };
        let report = part("evidence")?;
        let chain = String::from_utf8(part("endorsements")?)
            .map_err(|_| refuse("endorsements are no PEM".into()))?;
        // Present but empty is not absent: it is decoded, and fails.
        let uvm = match attestation.get("uvm_endorsements") {
            Some(_) => Some(part("uvm_endorsements")?),
            None if ex.cgs.config.strictness.require_uvm_endorsements => {
                return Err(refuse(
                    "uvm_endorsements are missing: nothing says which utility VM this is"
                        .to_owned(),
                ));
            }
            None => None,
        };
        let claims = (ex.cgs.config.verifier)(&report, &chain, uvm.as_deref()).map_err(refuse)?;
        policy::matches(ex.state.tables.policies.get(contract), &claims.named()).map_err(refuse)?;
        Ok(Self { body, claims })
    }

    /// The key that answers are encrypted to, SPKI DER, once the report is found to bind it.
    pub(super) fn encryption_key(&self) -> Result<Vec<u8>, Refusal> {
        self.bound("encrypt")
    }

    /// `data` as signed under the key that the report binds.
    pub(super) fn signed_data(&self, ex: &Exchange<'_>) -> Result<Vec<u8>, Refusal> {
        let spki = self.bound("sign")?;
        if ex.cgs.config.strictness.one_key
            && self
                .body
                .get("encrypt")
                .is_some_and(|encrypt| key_text(encrypt) != key_text(self.part("sign")))
        {
            return Err(Refusal::bad(
                "ReportDataMismatch",
                "sign.publicKey and encrypt.publicKey are not the same key.",
            ));
        }
        let decode = |value: Option<&str>| STANDARD.decode(value.unwrap_or_default()).ok();
        let mismatch = || {
            Refusal::bad(
                "SignatureMismatch",
                "Signature verification was not successful.",
            )
        };
        let data = decode(text(&self.body, "data")).ok_or_else(mismatch)?;
        let signature = decode(text(self.part("sign"), "signature")).ok_or_else(mismatch)?;
        // The algorithm's salt is as long as its digest: 32 bytes.
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, spki)
            .verify(&data, &signature)
            .map_err(|_| mismatch())?;
        Ok(data)
    }

    fn part(&self, name: &str) -> &Value {
        self.body.get(name).unwrap_or(&Value::Null)
    }

    /// v4's rule: the hash covers the base64 text as it was received.
    fn bound(&self, part: &str) -> Result<Vec<u8>, Refusal> {
        let encoded = key_text(self.part(part));
        let mut expected = [0; 64];
        if let Some(head) = expected.first_chunk_mut::<32>() {
            *head = Sha256::digest(encoded).into();
        }
        if expected != self.claims.report_data {
            let message = "Attestation report_data value did not match calculated value.";
            return Err(Refusal::bad("ReportDataMismatch", message));
        }
        let unreadable = || {
            Refusal::exception(format!(
                "{part}.publicKey is not base64 of a public key in PEM"
            ))
        };
        let pem = STANDARD.decode(encoded).map_err(|_| unreadable())?;
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(&pem).map_err(|_| unreadable())?;
        Ok(spki.to_vec())
    }
}

fn key_text(part: &Value) -> &str {
    text(part, "publicKey").unwrap_or_default()
}
