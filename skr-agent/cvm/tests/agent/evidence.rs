//! What the agent hands out, and what it binds.

use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::random;
use cvm_evidence::{Attestation, EvidenceError, HclReport, PcrSelection, Quote};
use serde_json::{Value, json};

use crate::frames;
use crate::machine::{Answer, Machine, asked};
use crate::verifier;

fn attestation(answer: &Answer) -> Attestation {
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    Attestation::from_json(&answer.body).unwrap()
}

fn fresh() -> [u8; 32] {
    random::bytes().unwrap()
}

#[test]
fn evidence_convinces_a_verifier_and_binds_report_data_and_nonce() {
    let machine = Machine::new().started();
    let nonce = fresh();
    let given = attestation(&machine.attest(&asked(7, &nonce)));
    assert_eq!(given.nonce, nonce);
    verifier::check(&given, &[7; 64], &nonce, PcrSelection::ALL).unwrap();

    // The same evidence is refused for any other question.
    assert!(matches!(
        verifier::check(&given, &[7; 64], &fresh(), PcrSelection::ALL),
        Err(EvidenceError::Nonce { .. })
    ));
    assert!(matches!(
        verifier::check(&given, &[8; 64], &nonce, PcrSelection::ALL),
        Err(EvidenceError::UserData { .. })
    ));
    assert!(matches!(
        verifier::check(&given, &[7; 64], &nonce, PcrSelection::of(&[0]).unwrap()),
        Err(EvidenceError::PcrSelection { .. })
    ));
}

#[test]
fn every_nonce_gets_a_quote_of_its_own() {
    let machine = Machine::new().started();
    let (first_nonce, second_nonce) = (fresh(), fresh());
    let first = attestation(&machine.attest(&asked(7, &first_nonce)));
    let second = attestation(&machine.attest(&asked(7, &second_nonce)));
    assert_ne!(first.evidence.tpm_quote, second.evidence.tpm_quote);
    verifier::check(&second, &[7; 64], &second_nonce, PcrSelection::ALL).unwrap();
    // The report bound the same data already: it was not made anew.
    assert_eq!(machine.driver().user_data_writes(), 1);
    assert_eq!(first.evidence.hcl_report, second.evidence.hcl_report);

    // The first quote does not pass for the second, and neither do parts of both.
    assert!(matches!(
        verifier::check(&first, &[7; 64], &second_nonce, PcrSelection::ALL),
        Err(EvidenceError::Nonce { .. })
    ));
    // Even the same nonce is not answered with a quote made before: the TPM's clock is in it.
    let again = attestation(&machine.attest(&asked(7, &first_nonce)));
    assert_ne!(again.evidence.tpm_quote, first.evidence.tpm_quote);
}

#[test]
fn other_report_data_gets_another_report() {
    let machine = Machine::new().started();
    let nonce = fresh();
    for value in [1, 2] {
        let given = attestation(&machine.attest(&asked(value, &nonce)));
        verifier::check(&given, &[value; 64], &nonce, PcrSelection::ALL).unwrap();
    }
    assert_eq!(machine.driver().user_data_writes(), 2);
}

#[test]
fn callers_at_once_get_evidence_for_their_own_question() {
    let machine = Machine::new().started();
    std::thread::scope(|scope| {
        for value in 1..=3 {
            let machine = &machine;
            scope.spawn(move || {
                let nonce = [value; 20];
                let given = attestation(&machine.attest(&asked(value, &nonce)));
                verifier::check(&given, &[value; 64], &nonce, PcrSelection::ALL).unwrap();
            });
        }
    });
}

#[test]
fn only_the_selected_pcrs_are_quoted_and_their_values_are_the_tpms() {
    let machine = Machine::new().started();
    machine.driver().command(&frames::pcr_extend(16, &[9; 32]));
    let nonce = fresh();
    let mut question = asked(7, &nonce);
    question["pcrSelection"] = json!([16, 0]);
    let given = attestation(&machine.attest(&question));
    let selection = PcrSelection::of(&[0, 16]).unwrap();
    verifier::check(&given, &[7; 64], &nonce, selection).unwrap();
    let indices: Vec<u8> = given.evidence.pcrs.keys().copied().collect();
    assert_eq!(indices, [0, 16]);
    assert_eq!(given.evidence.pcrs[&0], [0; 32]);
    let extended = cleanroom_crypto::digest::sha256(&[[0; 32], [9; 32]].concat());
    assert_eq!(given.evidence.pcrs[&16], extended);
}

#[test]
fn tpm2_tools_accept_the_quote_under_the_key_in_the_claims_and_no_other_nonce() {
    let machine = Machine::new().started();
    let nonce = fresh();
    let evidence = attestation(&machine.attest(&asked(7, &nonce))).evidence;
    let work = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(work.path().join(name), bytes).unwrap();
    let claims = HclReport::parse(&evidence.hcl_report)
        .unwrap()
        .claims()
        .unwrap();
    write("ak.pem", claims.ak().to_spki_pem().as_bytes());
    let length = usize::from(u16::from_be_bytes([
        evidence.tpm_quote[0],
        evidence.tpm_quote[1],
    ]));
    let (message, signature) = evidence.tpm_quote[2..].split_at(length);
    write("message", message);
    write("signature", signature);
    let judge = |nonce: &[u8]| {
        Command::new("tpm2_checkquote")
            .current_dir(work.path())
            .args([
                "-u",
                "ak.pem",
                "-m",
                "message",
                "-s",
                "signature",
                "-g",
                "sha256",
                "-q",
            ])
            .arg(
                nonce
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>(),
            )
            .output()
            .expect("tpm2-tools are missing: run tests/setup")
    };
    let accepted = judge(&nonce);
    assert!(accepted.status.success(), "{accepted:?}");
    assert!(!judge(&fresh()).status.success());
}

#[test]
fn the_answer_has_the_members_that_clients_of_the_interface_read() {
    let machine = Machine::new().started();
    let nonce = fresh();
    let answer = machine.attest(&asked(7, &nonce)).json();
    let names =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(
        names(&answer),
        [
            "evidence",
            "imageReference",
            "nonce",
            "platformCertificates"
        ]
    );
    let evidence = &answer["evidence"];
    assert_eq!(
        names(evidence),
        [
            "aikCert",
            "hclReport",
            "pcrs",
            "runtimeClaims",
            "snpReport",
            "tpmQuote"
        ]
    );
    assert_eq!(answer["nonce"], BASE64_STANDARD.encode(nonce));
    assert_eq!(evidence["pcrs"].as_object().unwrap().len(), 24);
    assert_eq!(evidence["runtimeClaims"]["user-data"], "07".repeat(64));
    let image = &answer["imageReference"];
    assert_eq!((&image["offer"], &image["id"]), (&json!("cvm"), &json!("")));
    let certificates = answer["platformCertificates"].as_str().unwrap();
    assert_eq!(certificates.matches("BEGIN CERTIFICATE").count(), 3);

    // Who made the machine's image is told by the host and bound by nothing: without it there is evidence all the same.
    let other = Machine::new();
    other.metadata.forget_image();
    let other = other.started();
    assert_eq!(
        other.attest(&asked(7, &nonce)).json()["imageReference"],
        Value::Null
    );
}

#[test]
fn a_pcr_that_is_extended_meanwhile_costs_a_second_quote() {
    let machine = Machine::new().started();
    machine.until_ready();
    let nonce = fresh();
    attestation(&machine.attest(&asked(7, &nonce)));
    machine.driver().extend_after_quote();
    let given = attestation(&machine.attest(&asked(7, &nonce)));
    verifier::check(&given, &[7; 64], &nonce, PcrSelection::ALL).unwrap();
    assert_ne!(given.evidence.pcrs[&16], [0; 32]);
    assert_eq!(
        Quote::parse(&given.evidence.tpm_quote)
            .unwrap()
            .extra_data(),
        nonce
    );
}

#[test]
fn over_the_socket_only_governance_gets_evidence() {
    let machine = Machine::new().started();
    let nonce = fresh();
    let given = attestation(&machine.attest_as_governance(&asked(7, &nonce)));
    verifier::check(&given, &[7; 64], &nonce, PcrSelection::ALL).unwrap();
    for uid in ["0", "1000", "10093"] {
        let refused = machine.attest_as(uid, &asked(7, &nonce));
        assert_eq!(refused.status, 403, "uid {uid}");
        assert_eq!(refused.json()["error"]["code"], "CR-HTTP-0002");
    }
    // A sidecar gets our code where a client of the interface gets its own.
    let error = machine
        .attest_as_governance(&json!({"nonce": "AA=="}))
        .json();
    assert_eq!(error["error"]["code"], "CR-CVM-0021");
}
