//! Evidence as files hold it: in the encodings of the interfaces that give it.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use snp::REPORT_LEN;

use super::files;
use crate::CliError;

const CAP: u64 = 4 << 20;

/// What a report comes with.
#[derive(Debug, Default)]
pub(super) struct EvidenceFile {
    pub(super) report: Option<Vec<u8>>,
    pub(super) chain_pem: Option<String>,
    pub(super) uvm_endorsement: Option<Vec<u8>>,
}

/// Names of report, certificates and endorsement in the shapes in use: the agents' `/attest/combined` and what the governance
/// service takes, and what the key generators of clean rooms write.
const SHAPES: [[&str; 3]; 2] = [
    ["evidence", "endorsements", "uvm_endorsements"],
    ["attestation", "platformCertificates", "uvmEndorsements"],
];

impl EvidenceFile {
    /// Reads a JSON document that holds all three, at its top or in `report`, `snpCACI` or `attestation`.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let json: Value = serde_json::from_slice(&files::read(path, CAP)?)
            .map_err(|error| files::bad(path, format!("not JSON: {error}")))?;
        let mut place = &json;
        for wrapper in ["report", "snpCACI", "attestation"] {
            if let Some(inner) = place.get(wrapper).filter(|inner| inner.is_object()) {
                place = inner;
            }
        }
        let shape = SHAPES
            .iter()
            .find(|shape| place.get(shape[0]).is_some_and(Value::is_string))
            .ok_or_else(|| {
                let reason = "no evidence in it: expected evidence, endorsements, uvm_endorsements, or attestation, \
                              platformCertificates, uvmEndorsements";
                files::bad(path, reason.to_owned())
            })?;
        let member = |name: &str| {
            let text = place.get(name).and_then(Value::as_str);
            let decoded = text.map(|text| BASE64_STANDARD.decode(text)).transpose();
            decoded.map_err(|_| files::bad(path, format!("{name} is not base64")))
        };
        let chain = member(shape[1])?.map(String::from_utf8).transpose();
        Ok(Self {
            report: member(shape[0])?,
            chain_pem: chain.map_err(|_| files::bad(path, format!("{} is not PEM", shape[1])))?,
            uvm_endorsement: member(shape[2])?,
        })
    }
}

/// A report: its 1184 bytes, or hex or base64 of them. What is none of these goes on as it is, for the verifier to refuse.
pub(super) fn report(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = files::read(path, CAP)?;
    if bytes.len() == REPORT_LEN {
        return Ok(bytes);
    }
    let text = bytes.trim_ascii();
    let hex = hex::decode(text).ok();
    Ok(hex
        .or_else(|| BASE64_STANDARD.decode(text).ok())
        .unwrap_or(bytes))
}

/// Certificates: PEM, THIM's JSON, or base64 of either.
pub(super) fn chain(path: &Path) -> Result<String, CliError> {
    let text = files::text(path, CAP)?;
    let text = match BASE64_STANDARD.decode(&text) {
        Ok(inner) => String::from_utf8(inner)
            .map_err(|_| files::bad(path, "base64 of something that is no text".to_owned()))?,
        Err(_) => text,
    };
    let Ok(thim) = serde_json::from_str::<attestation::HostAmdCert>(&text) else {
        return Ok(text);
    };
    Ok(thim.chain_pem())
}

/// A COSE_Sign1 message, or base64 of it.
pub(super) fn endorsement(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = files::read(path, CAP)?;
    Ok(BASE64_STANDARD.decode(bytes.trim_ascii()).unwrap_or(bytes))
}
