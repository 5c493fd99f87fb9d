//! The answer of an attestation agent of a confidential virtual machine.
#![no_main]

use cvm_evidence::{Attestation, PCRS};
use fuzz::{bounded, whole};
use libfuzzer_sys::fuzz_target;
use serde_json::to_value;

fuzz_target!(|input: &[u8]| {
    let Ok(answer) = bounded(input, 64, || Attestation::from_json(input)) else {
        return;
    };
    assert!(answer.evidence.pcrs.keys().all(|index| *index < PCRS));
    let written = to_value(&answer).unwrap();
    let again = Attestation::from_json(written.to_string().as_bytes()).unwrap();
    assert_eq!(to_value(&again).unwrap(), written);
    let Some(read) = whole(input) else {
        return;
    };
    for member in ["tpmQuote", "hclReport", "snpReport", "aikCert"] {
        assert_eq!(
            read["evidence"][member], written["evidence"][member],
            "{member}"
        );
    }
});
