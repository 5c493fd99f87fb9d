use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use sidecar_http::UnixClient;

use crate::{Attestation, GovError, Room, RoomKey};

const REPORT_LEN: usize = 1184;
const REPORT_DATA: std::ops::Range<usize> = 0x50..0x90;

#[derive(Serialize)]
struct Question {
    runtime_data: String,
}

#[derive(Deserialize)]
struct Combined {
    evidence: String,
    endorsements: String,
    #[serde(default)]
    uvm_endorsements: String,
}

/// Makes the key and has the attestation service of the group bind it into a report.
#[tracing::instrument(skip_all)]
pub(crate) async fn obtain(agent: &UnixClient) -> Result<Room, GovError> {
    let key = tokio::task::spawn_blocking(RoomKey::generate)
        .await
        .map_err(|_| GovError::Evidence {
            reason: "the key was not made",
        })??;
    let question = Question {
        runtime_data: BASE64_STANDARD.encode(key.public()),
    };
    let combined: Combined = agent.post_json("/attest/combined", &question).await?;
    check(&combined.evidence, &key.binding())?;
    let attestation = Attestation {
        evidence: combined.evidence,
        endorsements: combined.endorsements,
        uvm_endorsements: combined.uvm_endorsements,
    };
    Ok(Room::new(key, attestation))
}

/// CGS would refuse every request with a report over something else; say so at start instead.
fn check(evidence: &str, binding: &[u8; 32]) -> Result<(), GovError> {
    let report = BASE64_STANDARD
        .decode(evidence)
        .map_err(|_| GovError::Evidence {
            reason: "the report is not base64",
        })?;
    if report.len() != REPORT_LEN {
        return Err(GovError::Evidence {
            reason: "the report does not have 1184 bytes",
        });
    }
    let mut expected = [0; 64];
    for (to, from) in expected.iter_mut().zip(binding) {
        *to = *from;
    }
    if report.get(REPORT_DATA) != Some(expected.as_slice()) {
        return Err(GovError::Evidence {
            reason: "the report does not bind the key of this process",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use axum::{Json, Router};
    use cleanroom_crypto::digest::sha256;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn the_agent_is_asked_to_bind_the_base64_text_of_the_pem() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("skr-agent.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let combined = async |Json(question): Json<Value>| {
            let data = BASE64_STANDARD
                .decode(question["runtime_data"].as_str().unwrap())
                .unwrap();
            assert!(
                BASE64_STANDARD
                    .decode(&data)
                    .unwrap()
                    .starts_with(b"-----BEGIN PUBLIC KEY-----")
            );
            Json(
                json!({"evidence": report(&sha256(&data), 0), "endorsements": "ZW4=", "uvm_endorsements": "dXY=", "endorsed_tcb": "00"}),
            )
        };
        let router = Router::new().route("/attest/combined", post(combined));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let agent = UnixClient::new(&socket, nix::unistd::geteuid().as_raw());
        let room = obtain(&agent).await.unwrap();
        let body: Value = serde_json::from_slice(&room.attested().unwrap()).unwrap();
        assert_eq!(body["attestation"]["endorsements"], "ZW4=");
        assert!(body["attestation"].get("endorsed_tcb").is_none());
    }

    fn report(binding: &[u8; 32], tail: u8) -> String {
        let mut report = vec![0; REPORT_LEN];
        report[0x50..0x70].copy_from_slice(binding);
        report[0x8f] = tail;
        BASE64_STANDARD.encode(report)
    }

    #[test]
    fn a_report_that_binds_another_key_is_refused() {
        check(&report(&[7; 32], 0), &[7; 32]).unwrap();
        for evidence in [
            report(&[8; 32], 0),
            report(&[7; 32], 1),
            BASE64_STANDARD.encode([0; 100]),
            "%".to_owned(),
        ] {
            assert!(matches!(
                check(&evidence, &[7; 32]),
                Err(GovError::Evidence { .. })
            ));
        }
    }
}
