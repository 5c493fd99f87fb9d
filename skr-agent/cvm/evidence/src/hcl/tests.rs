use super::*;
use crate::vectors::{HCL_2048, HCL_2600, attestations, genoa, milan, vector};

fn refused(blob: &[u8]) -> (&'static str, String, String) {
    match HclReport::parse(blob).unwrap_err() {
        EvidenceError::Hcl {
            field,
            expected,
            actual,
        } => (field, expected, actual),
        other => panic!("{other}"),
    }
}

fn with(blob: &[u8], offset: usize, value: u32) -> Vec<u8> {
    let mut blob = blob.to_vec();
    blob[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    blob
}

#[test]
fn real_reports_of_every_host_generation_bind_their_claims() {
    let mut blobs = vec![
        HCL_2048.to_vec(),
        HCL_2600.to_vec(),
        milan().hcl,
        genoa().hcl,
    ];
    blobs.extend(attestations().map(|(attestation, _)| attestation.evidence.hcl_report));
    for blob in blobs {
        let hcl = HclReport::parse(&blob).unwrap();
        hcl.claims().unwrap();
        assert_eq!(hcl.snp_report().as_slice(), &blob[32..1216]);
    }
    assert_eq!(HCL_2048.len(), 2048);
    assert_eq!(HclReport::parse(HCL_2048).unwrap().claims_json().len(), 583);
    assert_eq!(HCL_2600.len(), 2600);
    assert_eq!(genoa().hcl[4..8], 2_u32.to_le_bytes());
}

#[test]
fn the_report_that_agents_send_beside_the_blob_is_the_one_inside_it() {
    for (attestation, _) in attestations() {
        let hcl = HclReport::parse(&attestation.evidence.hcl_report).unwrap();
        assert_eq!(hcl.snp_report().as_slice(), attestation.evidence.snp_report);
    }
}

#[test]
fn a_blob_cut_anywhere_before_the_end_of_its_claims_is_refused() {
    for length in 0..1236 + 583 {
        let (field, ..) = refused(&HCL_2048[..length]);
        assert_eq!(field, "length", "{length} bytes");
    }
    // The zeros behind the claims are the index's, not the report's.
    HclReport::parse(&HCL_2048[..1236 + 583])
        .unwrap()
        .claims()
        .unwrap();
}

#[test]
fn every_field_of_the_header_is_judged_and_named() {
    for (offset, value, field, expected) in [
        (0, 0x4143_4849, "signature", "HCLA"),
        (4, 0, "header version", "1 or 2"),
        (4, 3, "header version", "1 or 2"),
        (8, 1820, "report size", "1819"),
        (16, 1, "status", "0"),
        (1216, 604, "claims size", "603"),
        (1220, 2, "claims version", "1"),
        (1224, 4, "report type", "2"),
        (1228, 2, "hash type", "1"),
        (1232, 584, "claims size", "604"),
        (1232, u32::MAX, "claims size", "4294967295"),
    ] {
        let (actual_field, actual_expected, actual) = refused(&with(HCL_2048, offset, value));
        assert_eq!((actual_field, actual_expected.as_str()), (field, expected));
        assert_ne!(actual, expected);
    }
}

#[test]
fn bytes_behind_the_claims_are_refused() {
    let mut blob = HCL_2048.to_vec();
    blob[2047] = 1;
    assert_eq!(refused(&blob).0, "bytes behind the claims");
}

#[test]
fn an_oversized_blob_is_refused_unread() {
    assert_eq!(refused(&vec![0; LONGEST + 1]).0, "length");
}

#[test]
fn claims_other_than_the_hashed_ones_are_refused() {
    let mut flipped = HCL_2048.to_vec();
    // A digit of the machine's id: still JSON, another hash.
    let digit = 1236 + 583 - 4;
    flipped[digit] = if flipped[digit] == b'0' { b'1' } else { b'0' };
    assert!(matches!(
        HclReport::parse(&flipped).unwrap().claims(),
        Err(EvidenceError::Unbound { .. })
    ));
    // Claims of another machine, lengths and all.
    let claims = vector!("other-claims.json");
    let length = u32::try_from(claims.len()).unwrap();
    let mut blob = [&HCL_2048[..1236], claims].concat();
    for (offset, value) in [(8, 1236 + length), (1216, 20 + length), (1232, length)] {
        blob = with(&blob, offset, value);
    }
    assert!(matches!(
        HclReport::parse(&blob).unwrap().claims(),
        Err(EvidenceError::Unbound { .. })
    ));
}

#[test]
fn the_second_half_of_report_data_has_to_be_zero() {
    let mut blob = HCL_2048.to_vec();
    blob[32 + 0x50 + 63] = 1;
    assert!(matches!(
        HclReport::parse(&blob).unwrap().claims(),
        Err(EvidenceError::Unbound { .. })
    ));
}

#[test]
fn the_copy_of_the_claims_that_agents_send_is_not_what_was_hashed() {
    let (attestation, _) = &attestations()[0];
    let copy = attestation.evidence.runtime_claims.as_ref().unwrap();
    let hcl = HclReport::parse(&attestation.evidence.hcl_report).unwrap();
    assert_ne!(copy.get().as_bytes(), hcl.claims_json());
    assert_ne!(
        sha256(copy.get().as_bytes()).as_slice(),
        &hcl.snp_report()[0x50..0x70]
    );
}
