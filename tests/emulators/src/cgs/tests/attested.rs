use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::support::{HOST_DATA, Room, room, service, service_with};

fn changed(mut body: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut body);
    body
}

#[tokio::test]
async fn evidence_that_is_missing_malformed_or_from_elsewhere_is_refused() {
    let service = service().accepted();
    let without = |name: &str| {
        changed(room().attested(), |b| {
            drop(b["attestation"].as_object_mut().unwrap().remove(name))
        })
    };
    let with =
        |name: &str, value: Value| changed(room().attested(), |b| b["attestation"][name] = value);
    let mut report = STANDARD
        .decode(room().attestation["evidence"].as_str().unwrap())
        .unwrap();
    report[0xc0] ^= 1;
    for (body, code, reason) in [
        (json!({}), "AttestationMissing", ""),
        (json!({"attestation": null}), "AttestationMissing", ""),
        (without("evidence"), "VerifySnpAttestationFailed", "0 bytes"),
        (
            with("evidence", json!("*")),
            "VerifySnpAttestationFailed",
            "not base64",
        ),
        (
            with("evidence", json!(STANDARD.encode(report))),
            "VerifySnpAttestationFailed",
            "signature",
        ),
        (
            without("endorsements"),
            "VerifySnpAttestationFailed",
            "0 certificates",
        ),
        (
            without("uvm_endorsements"),
            "VerifySnpAttestationFailed",
            "uvm_endorsements",
        ),
        (
            with("uvm_endorsements", json!("")),
            "VerifySnpAttestationFailed",
            "COSE_Sign1",
        ),
        (
            with("uvm_endorsements", Value::Null),
            "VerifySnpAttestationFailed",
            "COSE_Sign1",
        ),
    ] {
        let got = service
            .room_call("POST", "c1/consentcheck/execution", body)
            .await;
        assert_eq!(got.error(), format!("400 {code}"));
        assert!(
            got.message().contains(reason),
            "{reason}: {}",
            got.message()
        );
    }
    let got = service
        .room_call("POST", "c1/consentcheck/execution", room().attested())
        .await;
    assert_eq!(got.ok(), json!({"status": "enabled"}));
}

#[tokio::test]
async fn the_policy_of_the_contract_decides_and_says_which_claim_it_misses() {
    let service = service();
    service.cgs.accept_contract("c1", json!("yaml"));
    let ask = async |room: &Room| {
        let got = service
            .room_call("POST", "c1/consentcheck/execution", room.attested())
            .await;
        (got.error(), got.message())
    };
    let (code, message) = ask(room()).await;
    assert_eq!(code, "400 VerifySnpAttestationFailed");
    assert!(
        message
            .contains("The clean room policy is missing. Please propose a new clean room policy.")
    );
    service.cgs.set_policy("c1", &hex::encode(HOST_DATA));
    assert_eq!(ask(room()).await.0, "200 -");
    let (code, message) = ask(&Room::new([8; 32])).await;
    assert_eq!(code, "400 VerifySnpAttestationFailed");
    let (theirs, ours) = (hex::encode([8; 32]), hex::encode(HOST_DATA));
    let expected = format!(
        "claim x-ms-sevsnpvm-hostdata, value {theirs} does not match policy values: {ours}"
    );
    assert!(message.contains(&expected), "{message}");
    // A claim that no report has locks every clean room out until it is removed.
    let args = json!({"contractId": "c1", "type": "add", "claims": {"x-ms-compliance-status": "azure-compliant-uvm"}});
    service.pass("set_clean_room_policy", args).await;
    assert!(
        ask(room())
            .await
            .1
            .contains("Missing claim in attestation: x-ms-compliance-status")
    );
}

#[tokio::test]
async fn the_real_service_does_not_need_to_know_the_utility_vm() {
    let service =
        service_with(|config| config.strictness.require_uvm_endorsements = false).accepted();
    let body = changed(room().attested(), |b| {
        drop(
            b["attestation"]
                .as_object_mut()
                .unwrap()
                .remove("uvm_endorsements"),
        )
    });
    let got = service
        .room_call("POST", "c1/consentcheck/execution", body)
        .await;
    assert_eq!(got.ok(), json!({"status": "enabled"}));
    let empty = changed(room().attested(), |b| {
        b["attestation"]["uvm_endorsements"] = json!("")
    });
    let got = service
        .room_call("POST", "c1/consentcheck/execution", empty)
        .await;
    assert_eq!(got.error(), "400 VerifySnpAttestationFailed");
}

#[tokio::test]
async fn answers_are_encrypted_to_the_key_that_the_report_binds_and_to_no_other() {
    let service = service().accepted();
    let secret = service.call(
        "PUT",
        "/app/contracts/c1/secrets/s",
        Some(&service.litware),
        json!({"value": "v"}),
    );
    let path = format!(
        "c1/secrets/{}",
        secret.await.ok()["secretId"].as_str().unwrap()
    );
    let other = Room::new(HOST_DATA);
    let pem = STANDARD.decode(&room().public).unwrap();
    // The rule hashes the base64 text, so the same key in another text is another key.
    let with_newline = STANDARD.encode([pem.as_slice(), b"\n"].concat());
    for key in [other.public.as_str(), with_newline.as_str(), "", "AAAA"] {
        let body = json!({"attestation": room().attestation, "encrypt": {"publicKey": key}});
        let got = service.room_call("POST", &path, body).await;
        assert_eq!(got.error(), "400 ReportDataMismatch");
    }
    let answer = service
        .room_call("POST", &path, room().encrypted())
        .await
        .ok();
    assert_eq!(room().unwrap(&answer), "v");
}
