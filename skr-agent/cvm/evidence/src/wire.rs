use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::encoding::{bytes, pcrs};
use crate::{EvidenceError, PcrValues};

/// Body of `POST /snp/attest` as clients send it; its texts are judged by the agent, which names each fault.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttestRequest {
    /// Base64 of exactly 64 bytes to bind.
    pub report_data: String,
    /// Base64 of 1 to 32 bytes, fresh for this request.
    pub nonce: String,
    /// PCRs to quote; all 24 when empty or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcr_selection: Option<Vec<i64>>,
}

/// Answer of `POST /snp/attest`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attestation {
    /// What was collected.
    pub evidence: Evidence,
    /// The nonce as it was sent.
    #[serde(with = "bytes")]
    pub nonce: Vec<u8>,
    /// PEM of the chip's certificate, the intermediate and the root.
    pub platform_certificates: String,
    /// What the virtual machine was made from; told by the host, bound by nothing.
    pub image_reference: Option<ImageReference>,
}

/// The parts of the evidence. Binary members are base64.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// TPM2B_ATTEST followed by TPMT_SIGNATURE.
    #[serde(with = "bytes")]
    pub tpm_quote: Vec<u8>,
    /// The HCL report.
    #[serde(with = "bytes")]
    pub hcl_report: Vec<u8>,
    /// The SNP report inside it, once more.
    #[serde(with = "bytes")]
    pub snp_report: Vec<u8>,
    /// DER of the attestation key's certificate; other agents leave the index's zero bytes behind it.
    #[serde(with = "bytes")]
    pub aik_cert: Vec<u8>,
    /// Values of the quoted PCRs.
    #[serde(with = "pcrs")]
    pub pcrs: PcrValues,
    /// The claims once more, for readers. Other agents re-serialise them, so a verifier never looks at this copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_claims: Option<Box<RawValue>>,
}

/// `imageReference` of the instance metadata service.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the service's own names")]
pub struct ImageReference {
    #[serde(deserialize_with = "null_is_empty")]
    pub id: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub offer: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub publisher: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub sku: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub version: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub community_gallery_image_id: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub shared_gallery_image_id: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub exact_version: String,
}

/// The service answers null for what an image does not have.
fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Attestation {
    /// Reads the JSON of an attestation.
    ///
    /// # Errors
    /// [`EvidenceError::Wire`].
    pub fn from_json(json: &[u8]) -> Result<Self, EvidenceError> {
        serde_json::from_slice(json).map_err(|error| EvidenceError::Wire {
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests;
