use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey,
};
use ciborium::Value;
use coset::iana::Algorithm;
use coset::{
    CborSerializable, CoseSign1, Label, RegisteredLabelWithPrivate, TaggedCborSerializable,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::chain::signed_part;
use super::{AmdError, vector};

const ROOT: &[u8] = vector!("uvm-root.pem");
const ISSUER: &[u8] = vector!("uvm-did.txt");
const FEED: &str = "ContainerPlat-AMD-UVM";
const X5CHAIN: i64 = 33;
/// Below are non-production utility VMs.
const MINIMUM_SVN: u64 = 100;

/// What a verified endorsement says.
#[derive(Clone, Debug)]
pub struct UvmEndorsement {
    /// SVN of the utility VM.
    pub svn: u64,
    /// Who endorses: a did:x509.
    pub issuer: String,
    /// What is endorsed.
    pub feed: String,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "x-ms-sevsnpvm-launchmeasurement")]
    measurement: String,
    #[serde(rename = "x-ms-sevsnpvm-guestsvn")]
    svn: String,
}

/// The endorsement of [`super::MEASUREMENT`] under the test root: COSE_Sign1.
pub fn uvm_endorsement() -> Vec<u8> {
    vector!("uvm-endorsement.cose").to_vec()
}

/// Judges the endorsement of a report's `measurement`: chain to the test root, signature, issuer, feed, SVN, measurement.
///
/// Leaves are short-lived and endorsements are not, so the clock plays no part.
///
/// # Errors
/// The first check that failed.
pub fn verify_uvm(cose: &[u8], measurement: &[u8; 48]) -> Result<UvmEndorsement, AmdError> {
    let sign1 = CoseSign1::from_tagged_slice(cose)
        .or_else(|_| CoseSign1::from_slice(cose))
        .map_err(|error| bad(format!("not COSE_Sign1: {error}")))?;
    let header = &sign1.protected.header;
    if header.alg != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::PS384)) {
        return Err(bad("its algorithm is not PS384".to_owned()));
    }
    let member = |label: &Label| header.rest.iter().find(|(l, _)| l == label).map(|(_, v)| v);
    let text = |name: &str| match member(&Label::Text(name.to_owned())) {
        Some(Value::Text(text)) => Ok(text.clone()),
        _ => Err(bad(format!("no {name} in its header"))),
    };
    let leaf = leaf_key(member(&Label::Int(X5CHAIN)))?;
    sign1
        .verify_signature(b"", |signature, signed| {
            UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, &leaf).verify(signed, signature)
        })
        .map_err(|_| bad("the signature does not verify".to_owned()))?;
    let (issuer, feed) = (text("iss")?, text("feed")?);
    let expected = String::from_utf8_lossy(ISSUER);
    if issuer != expected.trim() {
        return Err(bad(format!(
            "issuer {issuer}, expected {}",
            expected.trim()
        )));
    }
    if feed != FEED {
        return Err(bad(format!("feed {feed}, expected {FEED}")));
    }
    let payload: Payload = serde_json::from_slice(sign1.payload.as_deref().unwrap_or_default())
        .map_err(|error| bad(format!("payload: {error}")))?;
    let svn: u64 = payload
        .svn
        .parse()
        .map_err(|_| bad(format!("svn {:?}", payload.svn)))?;
    if svn < MINIMUM_SVN {
        return Err(bad(format!("svn {svn}, expected at least {MINIMUM_SVN}")));
    }
    let actual = hex::encode(measurement);
    if payload.measurement != actual {
        return Err(bad(format!(
            "it endorses measurement {}, the report's is {actual}",
            payload.measurement
        )));
    }
    Ok(UvmEndorsement { svn, issuer, feed })
}

fn bad(reason: String) -> AmdError {
    AmdError::Uvm(reason)
}

/// The leaf's key, after the chain was followed to the test root.
fn leaf_key(x5chain: Option<&Value>) -> Result<Vec<u8>, AmdError> {
    let Some(Value::Array(chain)) = x5chain else {
        return Err(bad("no certificate chain".to_owned()));
    };
    let ders = chain
        .iter()
        .map(|one| {
            one.as_bytes()
                .ok_or_else(|| bad("a certificate that is no bytes".to_owned()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let root = CertificateDer::from_pem_slice(ROOT).map_err(|_| AmdError::Root("UVM root"))?;
    if ders.len() < 2
        || ders
            .last()
            .is_none_or(|last| last.as_slice() != root.as_ref())
    {
        return Err(bad("its root is not the test root".to_owned()));
    }
    let certificates = ders
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(format!("not X.509: {error}")))?;
    let key = |certificate: &Certificate| {
        let spki = certificate.tbs_certificate().subject_public_key_info();
        spki.subject_public_key.raw_bytes().to_vec()
    };
    let issuers = certificates.iter().skip(1);
    for ((der, certificate), issuer) in ders.iter().zip(&certificates).zip(issuers) {
        let tbs = signed_part(der).ok_or_else(|| bad("not X.509".to_owned()))?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key(issuer))
            .verify(tbs, certificate.signature().raw_bytes())
            .map_err(|_| bad("a certificate is not signed by its issuer".to_owned()))?;
    }
    certificates
        .first()
        .map(key)
        .ok_or_else(|| bad("no certificate chain".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::MEASUREMENT;
    use super::*;

    #[test]
    fn the_endorsement_of_the_measurement_is_accepted() {
        let uvm = verify_uvm(&uvm_endorsement(), &MEASUREMENT).unwrap();
        assert!(uvm.svn >= MINIMUM_SVN);
        assert_eq!(uvm.feed, FEED);
    }

    #[test]
    fn other_measurements_feeds_versions_and_signatures_are_refused() {
        for (cose, reason) in [
            (&vector!("uvm-endorsement-bad-sig.cose")[..], "signature"),
            (&vector!("uvm-endorsement-bad-feed.cose")[..], "feed"),
            (&vector!("uvm-endorsement-low-svn.cose")[..], "svn"),
            (
                &vector!("uvm-endorsement-wrong-measurement.cose")[..],
                "measurement",
            ),
            (&b"\xd2\x84"[..], "COSE_Sign1"),
        ] {
            let error = verify_uvm(cose, &MEASUREMENT).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(verify_uvm(&uvm_endorsement(), &[0xac; 48]).is_err());
    }
}
