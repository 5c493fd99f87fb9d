//! What goes wrong, and by which code the agent tells.

use std::time::Instant;

use serde_json::json;

use crate::device::USER_DATA;
use crate::frames;
use crate::hcl::mock;
use crate::machine::{AK, AK_CERTIFICATE, Answer, HCL_REPORT, Machine, PATIENCE, Start, asked};

const NONCE: &[u8] = b"nonce";

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, words: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (status, code),
        "{text}"
    );
    assert!(answer.message().contains(words), "{text}");
    let retryable = answer.json()["retryable"].as_bool().unwrap();
    assert_eq!(retryable, status == 503, "{text}");
    assert_eq!(
        answer.head.to_ascii_lowercase().contains("retry-after: "),
        retryable
    );
}

#[test]
fn wrong_requests_are_refused_in_the_words_of_the_interface() {
    let mut machine = Machine::blank();
    machine.start(&Start::default());
    let longer = asked(7, &[1; 33]);
    for (body, code, upstream) in [
        ("{".to_owned(), "CR-CVM-0020", "InvalidRequestBody"),
        ("x".repeat(17 << 10), "CR-CVM-0020", "InvalidRequestBody"),
        (
            json!({"nonce": "AA=="}).to_string(),
            "CR-CVM-0021",
            "MissingReportData",
        ),
        (longer.to_string(), "CR-CVM-0023", "InvalidNonceSize"),
    ] {
        let answer = machine.request("POST", "/snp/attest", &body);
        refused(&answer, 400, code, "");
        assert_eq!(answer.json()["error"]["code"], upstream);
    }
    let answer = machine.request("GET", "/snp/attest", "");
    refused(&answer, 405, "CR-CVM-0024", "POST");
    assert_eq!(answer.json()["error"]["code"], "MethodNotAllowed");
    // Not one of them reached the TPM.
    assert_eq!(machine.driver().user_data_writes(), 0);
}

#[test]
fn without_a_tpm_every_path_tried_is_named() {
    let mut machine = Machine::blank();
    machine.start(&Start {
        tpm: false,
        ..Start::default()
    });
    let answer = machine.attest(&asked(7, NONCE));
    refused(&answer, 500, "CR-CVM-0030", "/dev/tpm0: No such file");
    assert!(answer.message().contains("/dev/tpmrm0: No such file"));
    assert_eq!(answer.json()["error"]["code"], "AttestationFailed");
    machine.until_ready_says("tpm (CR-CVM-0030: no TPM");
}

#[test]
fn a_tpm_under_the_other_name_is_pointed_out() {
    let mut machine = Machine::blank();
    machine.start(&Start {
        tpm: false,
        managed: true,
        ..Start::default()
    });
    let answer = machine.attest(&asked(7, NONCE));
    refused(
        &answer,
        500,
        "CR-CVM-0030",
        "/dev/tpmrm0: it is there: pass it on as /dev/tpm0",
    );
}

#[test]
fn without_the_devices_group_the_group_is_named() {
    let mut machine = Machine::new();
    machine.start(&Start {
        group: false,
        ..Start::default()
    });
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0031",
        "group 4242",
    );
}

#[test]
fn a_device_that_another_process_has_open_is_asked_again_and_given_up() {
    let machine = Machine::new().started();
    machine.until_ready();
    machine.driver().busy(2);
    assert_eq!(machine.attest(&asked(7, NONCE)).status, 200);
    machine.driver().busy(u32::MAX);
    refused(
        &machine.attest(&asked(7, NONCE)),
        503,
        "CR-CVM-0032",
        "/dev/tpmrm0",
    );
    machine.driver().busy(0);
    assert_eq!(machine.attest(&asked(7, NONCE)).status, 200);
}

#[test]
fn a_tpm_that_hangs_costs_the_requests_of_that_time() {
    let mut machine = Machine::new();
    machine.start(&Start {
        deadline: 10,
        ..Start::default()
    });
    machine.until_ready();
    machine.driver().hang(true);
    refused(
        &machine.attest(&asked(7, NONCE)),
        503,
        "CR-CVM-0041",
        "within 10 s",
    );
    // The process inside the driver cannot be ended: it keeps the turn.
    refused(
        &machine.attest(&asked(7, NONCE)),
        503,
        "CR-CVM-0040",
        "no turn within 10 s",
    );
    machine.driver().hang(false);
    assert_eq!(machine.attest(&asked(7, NONCE)).status, 200);
}

#[test]
fn a_tpm_that_is_gone_is_told_and_leaves_no_process_behind() {
    let machine = Machine::new().started();
    assert_eq!(machine.attest(&asked(7, NONCE)).status, 200);
    machine.driver().stop_tpm();
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0034",
        "the device does not answer as a TPM",
    );
    let end = Instant::now() + PATIENCE;
    while machine.has_children() {
        assert!(Instant::now() < end);
        std::thread::yield_now();
    }
}

#[test]
fn what_the_firmware_did_not_put_there_is_named() {
    let machine = Machine::blank();
    let machine = machine.started();
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0033",
        "0x01400001",
    );

    let machine = Machine::new().started();
    machine
        .driver()
        .command(&frames::nv_undefine(AK_CERTIFICATE));
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0033",
        "0x01C101D0",
    );
    machine
        .driver()
        .command(&frames::nv_define(AK_CERTIFICATE, 8));
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0033",
        "0x01C101D0",
    );
    machine.driver().command(&frames::evict(AK));
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0033",
        "0x81000003",
    );
}

#[test]
fn claims_that_the_report_does_not_bind_are_refused() {
    let machine = Machine::new().started();
    machine
        .driver()
        .firmware(|firmware| firmware.tampers = true);
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0003",
        "report_data",
    );
    // It was tried once more with a report made anew.
    assert_eq!(machine.driver().user_data_writes(), 2);
}

#[test]
fn another_key_than_the_reports_is_refused() {
    let machine = Machine::new().started();
    machine.driver().firmware(|firmware| firmware.ak[100] ^= 1);
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0043",
        "0x81000003",
    );
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let machine = Machine::new();
    let mut other = Vec::new();
    machine
        .driver()
        .firmware(|firmware| other = firmware.ak.clone());
    other[100] ^= 1;
    machine.certify(&other);
    let machine = machine.started();
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0012",
        "another key",
    );
}

#[test]
fn firmware_that_does_not_take_user_data_is_refused() {
    let machine = Machine::new();
    machine
        .driver()
        .firmware(|firmware| firmware.listens = false);
    let machine = machine.started();
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0004",
        "user-data",
    );
}

#[test]
fn another_report_than_hcls_is_refused() {
    let machine = Machine::new().started();
    machine
        .driver()
        .firmware(|firmware| firmware.listens = false);
    machine.driver().command(&frames::nv_undefine(HCL_REPORT));
    machine.driver().command(&frames::nv_define(HCL_REPORT, 64));
    machine
        .driver()
        .command(&frames::nv_write(HCL_REPORT, 0, &[1; 64]));
    machine.driver().command(&frames::nv_define(USER_DATA, 64));
    refused(
        &machine.attest(&asked(7, NONCE)),
        500,
        "CR-CVM-0001",
        "HCL report",
    );
}

#[test]
fn certificates_that_are_missing_or_for_other_firmware_are_refused() {
    let machine = Machine::new();
    machine.metadata.forget_certificates();
    let machine = machine.started();
    let answer = machine.attest(&asked(7, NONCE));
    assert_eq!(answer.code(), "CR-SKR-0043", "{}", answer.message());
    assert_eq!(answer.json()["error"]["code"], "THIMFetchFailed");
    assert!(answer.message().contains("THIM"));

    let machine = Machine::new();
    machine.metadata.vouch(mock!("vcek-milan-wrong-tcb.pem"));
    let machine = machine.started();
    let answer = machine.attest(&asked(7, NONCE));
    assert_eq!(answer.code(), "CR-SKR-0010", "{}", answer.message());
}

#[test]
fn certificates_that_come_late_open_the_agent() {
    let machine = Machine::new();
    machine.metadata.forget_certificates();
    let machine = machine.started();
    machine.until_ready_says("CR-SKR-0043");
    machine.metadata.vouch(mock!("vcek-milan.pem"));
    machine.until_ready();
}
