use std::net::SocketAddr;

use attestation::{
    AttestError, Attester, EndorsementConfig, EndorsementStore, Evidence, Report, RuntimeData,
    SecurityContext, SnpDevice,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sidecar_http::{HttpsClient, PlainClient, PlainEndpoint, Request};

use crate::CliError;

const HOP: &str = "skr-agent";
const ANSWER_CAP: usize = 1 << 20;

/// Where evidence comes from.
pub(super) enum Source {
    /// This machine's device.
    Device(Box<SnpDevice>),
    /// An agent on this machine, upstream's or ours.
    Agent(PlainClient),
}

#[derive(Deserialize)]
struct Raw {
    report: String,
}

#[derive(Deserialize)]
struct Combined {
    evidence: String,
    endorsements: String,
    uvm_endorsements: String,
    endorsed_tcb: String,
}

impl Source {
    pub(super) fn of(agent: Option<SocketAddr>) -> Result<Self, CliError> {
        let Some(address) = agent else {
            return Ok(Self::Device(Box::new(SnpDevice::open())));
        };
        if !address.ip().is_loopback() {
            return Err(CliError::Argument {
                argument: "--agent",
                reason: format!("{address} is not on this machine"),
            });
        }
        let endpoint = PlainEndpoint::explicit(&address.to_string())?;
        Ok(Self::Agent(PlainClient::new(endpoint)?))
    }

    pub(super) const fn is_agent(&self) -> bool {
        matches!(self, Self::Agent(_))
    }

    /// A report bound to `runtime`.
    pub(super) async fn report(&self, runtime: &RuntimeData) -> Result<Report, CliError> {
        match self {
            Self::Device(device) => Ok(device.report(runtime.report_data()).await?),
            Self::Agent(agent) => {
                let answer: Raw = ask(agent, "/attest/raw", runtime).await?;
                let bytes = hex::decode(answer.report).map_err(|_| unreadable("report"))?;
                Ok(Report::parse(&bytes).map_err(AttestError::from)?)
            }
        }
    }

    /// The report with what vouches for it.
    pub(super) async fn evidence(
        &self,
        report: &Report,
        context: &SecurityContext,
        https: &HttpsClient,
        runtime: &RuntimeData,
    ) -> Result<Evidence, CliError> {
        match self {
            Self::Device(_) => {
                let store = EndorsementStore::new(EndorsementConfig::standard()?, https.clone())?;
                let endorsements = store.find(report, context).await?;
                Ok(Evidence::of(report.clone(), &endorsements, context)?)
            }
            Self::Agent(agent) => {
                let answer: Combined = ask(agent, "/attest/combined", runtime).await?;
                let decode = |text: &str, member| {
                    BASE64_STANDARD.decode(text).map_err(|_| unreadable(member))
                };
                let pem = decode(&answer.endorsements, "endorsements")?;
                Ok(Evidence {
                    report: Report::parse(&decode(&answer.evidence, "evidence")?)
                        .map_err(AttestError::from)?,
                    endorsements_pem: String::from_utf8(pem)
                        .map_err(|_| unreadable("endorsements"))?,
                    uvm_endorsements: decode(&answer.uvm_endorsements, "uvm_endorsements")?,
                    endorsed_tcb: answer.endorsed_tcb,
                })
            }
        }
    }
}

async fn ask<T: DeserializeOwned>(
    agent: &PlainClient,
    path: &str,
    runtime: &RuntimeData,
) -> Result<T, CliError> {
    let mut url = agent.endpoint().url().clone();
    url.set_path(path);
    let body = json!({"runtime_data": BASE64_STANDARD.encode(runtime.as_bytes())});
    let request = Request::post(HOP, url).json(&body).body_cap(ANSWER_CAP);
    let answer = agent.send_retrying(&request).await?;
    if answer.status.is_success() {
        return Ok(answer.json(HOP)?);
    }
    Err(CliError::Agent {
        status: answer.status,
        message: words(&answer.body),
    })
}

/// The agent's own words, in upstream's shape or ours, on one line: of evidence that does not verify, the failed checks.
fn words(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let error = body.get("error");
    let message = text(error).or_else(|| text(error.and_then(|error| error.get("message"))));
    let code = text(body.get("code")).or_else(|| text(error.and_then(|error| error.get("code"))));
    let message = message.unwrap_or_else(|| "without a reason".to_owned());
    let whole = code.map_or_else(|| message.clone(), |code| format!("{code}: {message}"));
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    whole.chars().map(printable).take(2000).collect()
}

fn unreadable(member: &str) -> CliError {
    CliError::Agent {
        status: http::StatusCode::OK,
        message: format!("{member} is not in the encoding of the interface"),
    }
}
