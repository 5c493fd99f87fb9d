//! What a paravisor keeps in the TPM: HCL reports and their claims. A report whose `report_data` is zero is bound first.
#![no_main]

use cleanroom_crypto::digest::sha256;
use cvm_evidence::{HclReport, RuntimeClaims, SNP_REPORT_LEN};
use fuzz::{bounded, whole};
use libfuzzer_sys::fuzz_target;

const REPORT: std::ops::Range<usize> = 32..32 + SNP_REPORT_LEN;
const REPORT_DATA: std::ops::Range<usize> = 32 + 0x50..32 + 0x90;
const CLAIMS: usize = 1236;

fuzz_target!(|input: &[u8]| {
    let mut blob = input.to_vec();
    let free = blob
        .get(REPORT_DATA)
        .is_some_and(|data| data.iter().all(|byte| *byte == 0));
    if free && let Ok(hcl) = HclReport::parse(&blob) {
        let digest = sha256(hcl.claims_json());
        blob[REPORT_DATA][..32].copy_from_slice(&digest);
    }
    let Ok(hcl) = bounded(input, 8, || HclReport::parse(&blob)) else {
        return;
    };
    assert_eq!(hcl.snp_report().as_slice(), &blob[REPORT]);
    let (claims, rest) = blob[CLAIMS..].split_at(hcl.claims_json().len());
    assert_eq!(hcl.claims_json(), claims, "the bytes that the hash covers");
    assert!(
        rest.iter().all(|byte| *byte == 0),
        "bytes that nothing covers"
    );
    assert_eq!(
        HclReport::parse(&blob[..CLAIMS + claims.len()]).as_ref(),
        Ok(&hcl)
    );

    let read = bounded(input, 256, || RuntimeClaims::parse(claims));
    match bounded(input, 256, || hcl.claims()) {
        Ok(bound) => {
            assert_eq!(
                blob[REPORT_DATA][..32],
                sha256(claims),
                "claims that nothing binds"
            );
            assert!(blob[REPORT_DATA][32..].iter().all(|byte| *byte == 0));
            assert_eq!(bound.ak(), read.unwrap().ak());
            if let Some(json) = whole(claims) {
                let named = json["keys"].as_array().unwrap().iter();
                let named = named.filter(|key| key["kid"] == "HCLAkPub").count();
                assert_eq!(named, 1, "one of several attestation keys");
            }
        }
        Err(_) if free => assert!(read.is_err(), "bound claims are refused"),
        Err(_) => {}
    }
});
