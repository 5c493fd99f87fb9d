//! The files of `tests/vectors`.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use serde_json::Value;
use snp::REPORT_LEN;

pub(crate) fn bytes(path: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    std::fs::read(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn text(path: &str) -> String {
    String::from_utf8(bytes(path)).unwrap()
}

/// Of real hosts.
pub(crate) fn real(name: &str) -> Vec<u8> {
    bytes(&format!("attestation/{name}"))
}

pub(crate) fn real_text(name: &str) -> String {
    text(&format!("attestation/{name}"))
}

/// Of the test root.
pub(crate) fn mock(name: &str) -> Vec<u8> {
    bytes(&format!("attestation-mock/{name}"))
}

pub(crate) fn mock_text(name: &str) -> String {
    text(&format!("attestation-mock/{name}"))
}

pub(crate) fn json(path: &str) -> Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}

/// A member that is a list of numbers.
pub(crate) fn json_bytes(path: &str, member: &str) -> Vec<u8> {
    serde_json::from_value(json(path)[member].clone()).unwrap()
}

/// In either alphabet, padded or not.
pub(crate) fn base64(text: &str) -> Vec<u8> {
    let text = text.trim().trim_end_matches('=');
    let text = text.replace('-', "+").replace('_', "/");
    BASE64_STANDARD_NO_PAD.decode(text).unwrap()
}

/// The report in the blob that the firmware of a virtual machine keeps in its TPM.
pub(crate) fn hcl_report(blob: &[u8]) -> Vec<u8> {
    const HEADER: usize = 32;
    blob[HEADER..][..REPORT_LEN].to_vec()
}

/// The page on the verifier.
pub(crate) fn page() -> String {
    text("../../docs/attestation-verifier.md")
}
