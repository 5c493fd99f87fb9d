use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Refusal;
use crate::amd::{self, SnpReport, UvmEndorsement};

/// With and without padding: clients send both.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The body of `POST /attest/SevSnpVm`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Question {
    report: String,
    runtime_data: Option<Part>,
    init_time_data: Option<Part>,
    nonce: Option<Value>,
    draft_policy_for_attestation: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    data: String,
    data_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inner {
    snp_report: String,
    vcek_cert_chain: String,
    endorsements: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endorsements {
    uvm: Vec<String>,
}

/// Evidence that passed.
pub(super) struct Judged {
    pub(super) report: SnpReport,
    pub(super) uvm: Option<UvmEndorsement>,
    pub(super) runtime: Option<Value>,
    pub(super) nonce: Option<String>,
}

impl Judged {
    pub(super) fn of(question: &Question) -> Result<Self, Refusal> {
        if question.draft_policy_for_attestation.is_some() {
            return Err(Refusal::new("draft policies are not supported here"));
        }
        if question
            .init_time_data
            .as_ref()
            .is_some_and(|part| !part.data.is_empty())
        {
            return Err(Refusal::new("initTimeData is not supported here"));
        }
        let inner: Inner = json("report", &decode("report", &question.report)?)?;
        let report = decode("SnpReport", &inner.snp_report)?;
        let chain = text(
            "VcekCertChain",
            decode("VcekCertChain", &inner.vcek_cert_chain)?,
        )?;
        let report =
            amd::verify_report(&report, &chain).map_err(|error| Refusal::new(error.to_string()))?;
        let uvm = inner
            .endorsements
            .map(|packed| endorsement(&packed, &report))
            .transpose()?;
        let runtime = question
            .runtime_data
            .as_ref()
            .map(|part| runtime(part, &report))
            .transpose()?
            .flatten();
        let nonce = match &question.nonce {
            None | Some(Value::Null) => None,
            Some(Value::String(nonce)) => Some(nonce.clone()),
            Some(Value::Number(nonce)) => Some(nonce.to_string()),
            Some(_) => return Err(Refusal::new("nonce is neither text nor a number")),
        };
        Ok(Self {
            report,
            uvm,
            runtime,
            nonce,
        })
    }
}

/// An endorsement that is present must be good.
fn endorsement(packed: &str, report: &SnpReport) -> Result<UvmEndorsement, Refusal> {
    let endorsements: Endorsements = json("Endorsements", &decode("Endorsements", packed)?)?;
    let [one] = endorsements.uvm.as_slice() else {
        return Err(Refusal::new("Endorsements.Uvm must hold one endorsement"));
    };
    amd::verify_uvm(&decode("Uvm", one)?, &report.measurement)
        .map_err(|error| Refusal::new(error.to_string()))
}

fn runtime(part: &Part, report: &SnpReport) -> Result<Option<Value>, Refusal> {
    let data = decode("runtimeData.data", &part.data)?;
    let mut bound = [0; 64];
    if let Some(head) = bound.first_chunk_mut::<32>() {
        *head = Sha256::digest(&data).into();
    }
    if bound != report.report_data {
        return Err(Refusal::new(format!(
            "SHA-256 of runtimeData is {}, the report's report_data is {}",
            hex::encode(bound),
            hex::encode(report.report_data)
        )));
    }
    match part.data_type.as_str() {
        "JSON" => json("runtimeData.data", &data).map(Some),
        "Binary" => Ok(None),
        other => Err(Refusal::new(format!("runtimeData.dataType {other:?}"))),
    }
}

fn decode(name: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    LENIENT
        .decode(text)
        .map_err(|error| Refusal::new(format!("{name} is not base64url: {error}")))
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String, Refusal> {
    String::from_utf8(bytes).map_err(|_| Refusal::new(format!("{name} is not UTF-8")))
}

fn json<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| Refusal::new(format!("{name}: {error}")))
}
