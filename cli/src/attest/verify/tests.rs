use std::path::Path;

use clap::Parser;
use sidecar_http::Coded;

use super::*;

const MOCK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/vectors/attestation-mock"
);
const HOST_DATA: &str = "cadd74f71ebb8fbf9782baab649612520f3c416bc5ce9ac768808ddc8d9b031c";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: VerifyArgs,
}

fn parsed(line: &str) -> Result<VerifyArgs, clap::Error> {
    Line::try_parse_from(["verify"].into_iter().chain(line.split_whitespace()))
        .map(|line| line.args)
}

/// A virtual group's evidence as the agent's answer, and the arguments that accept it.
fn virtual_group(folder: &Path) -> String {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    let host_data = hex::decode(HOST_DATA).unwrap().try_into().unwrap();
    let runtime = b"runtime data without a line feed";
    let report = emulators::amd::issue_report(&host_data, &report_data(runtime)).unwrap();
    let evidence = serde_json::json!({
        "evidence": BASE64_STANDARD.encode(report),
        "endorsements": BASE64_STANDARD.encode(emulators::amd::chain_pem()),
        "uvm_endorsements": BASE64_STANDARD.encode(emulators::amd::uvm_endorsement()),
    });
    std::fs::write(folder.join("evidence.json"), evidence.to_string()).unwrap();
    std::fs::write(folder.join("runtime"), runtime).unwrap();
    let did = std::fs::read_to_string(format!("{MOCK}/uvm-did.txt")).unwrap();
    let folder = folder.display();
    format!(
        "--evidence {folder}/evidence.json --runtime-data {folder}/runtime --host-data {HOST_DATA} --minimum-svn 100 \
         --amd-root {MOCK}/ark-milan.pem --uvm-issuer {} --insecure-virtual --output json",
        did.trim()
    )
}

fn code(line: &str) -> ExitCode {
    run(&parsed(line).unwrap()).unwrap()
}

fn same(one: ExitCode, other: ExitCode) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

#[test]
fn evidence_is_accepted_and_every_changed_expectation_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    let good = virtual_group(folder.path());
    assert!(same(code(&good), ExitCode::SUCCESS));
    let changed = [
        good.replace(HOST_DATA, &"00".repeat(32)),
        good.replace("--minimum-svn 100", "--minimum-svn 999999"),
        format!("{good} --minimum-tcb Milan=FF18000000000004"),
        format!("{good} --at 1999-01-01T00:00:00Z"),
    ];
    for line in changed {
        assert!(same(code(&line), ExitCode::FAILURE), "{line}");
    }
    // One byte more than what was bound.
    let runtime = folder.path().join("runtime");
    let mut bytes = std::fs::read(&runtime).unwrap();
    bytes.push(b'\n');
    std::fs::write(&runtime, bytes).unwrap();
    assert!(same(code(&good), ExitCode::FAILURE));
}

#[test]
fn a_test_root_is_trusted_only_by_name_and_with_the_word_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let good = virtual_group(folder.path());
    assert!(parsed(&good.replace("--insecure-virtual", "")).is_err());
    let root = format!("--amd-root {MOCK}/ark-milan.pem");
    assert!(same(code(&good.replace(&root, "")), ExitCode::FAILURE));
}

#[test]
fn a_report_is_read_as_bytes_hex_and_base64() {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(format!("{MOCK}/report-v3.bin")).unwrap();
    for form in [
        bytes.clone(),
        format!("{}\n", hex::encode(&bytes)).into_bytes(),
        format!("{}\n", BASE64_STANDARD.encode(&bytes)).into_bytes(),
    ] {
        let path = folder.path().join("report");
        std::fs::write(&path, form).unwrap();
        assert_eq!(evidence_file::report(&path).unwrap(), bytes);
    }
}

#[test]
fn what_to_expect_must_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let good = virtual_group(folder.path());
    let without = |flag: &str| good.replace(flag, "");
    assert!(parsed(&without(&format!("--host-data {HOST_DATA}"))).is_err());
    let runtime = format!("--runtime-data {}/runtime", folder.path().display());
    assert!(parsed(&without(&runtime)).is_err());
    for (wrong, argument) in [
        ("--report-data 00", "--report-data"),
        ("--report-data 5a5a --at noon", "--at"),
    ] {
        let line = format!("{} {wrong}", without(&runtime));
        let refused = run(&parsed(&line).unwrap()).unwrap_err();
        assert_eq!(refused.code(), "CR-CLI-0003");
        assert!(refused.to_string().contains(argument), "{refused}");
    }
    assert!(parsed(&format!("{good} --minimum-tcb Naples=0000000000000000")).is_err());
}
