//! Revocation lists, in DER.
#![no_main]

use fuzz::mock::{passed, requirements, signed_part, verify};
use fuzz::{bounded, mock, vector};
use libfuzzer_sys::fuzz_target;
use snp::{CheckId, Material};

/// The mock root's list of nothing, and the one that has its intermediate.
const EMPTY: &[u8] = vector!("attestation-mock/none-revoked.crl");
const REVOKING: &[u8] = vector!("attestation-mock/intermediate-revoked.crl");

fuzz_target!(|input: &[u8]| {
    let revocation = |lists: &[&[u8]]| {
        let mut required = requirements();
        required.crls = lists.iter().map(|list| list.to_vec()).collect();
        let material = Material {
            report: &[],
            chain_pem: &mock::CHAIN,
            uvm_endorsement: None,
        };
        passed(&verify(material, &required), CheckId::Revocation)
    };
    if bounded(input, 64, || revocation(&[input])) {
        let genuine = input
            .get(4..)
            .is_some_and(|rest| rest.starts_with(signed_part(EMPTY)));
        assert!(genuine, "a forged list");
    }
    assert!(!revocation(&[input, REVOKING]), "a list undid a revocation");
});
