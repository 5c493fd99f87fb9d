use super::*;
use crate::vectors::attestations;

struct Parts {
    hcl: HclReport,
    quote: Quote,
    pcrs: PcrValues,
    certificate: AkCertificate,
    nonce: Vec<u8>,
    user_data: [u8; 64],
}

fn parts() -> Parts {
    let (attestation, _) = attestations().into_iter().next().unwrap();
    let evidence = attestation.evidence;
    let hcl = HclReport::parse(&evidence.hcl_report).unwrap();
    Parts {
        user_data: *hcl.claims().unwrap().user_data().unwrap(),
        hcl,
        quote: Quote::parse(&evidence.tpm_quote).unwrap(),
        pcrs: evidence.pcrs,
        certificate: AkCertificate::trim(&evidence.aik_cert).unwrap(),
        nonce: attestation.nonce,
    }
}

fn check(parts: &Parts) -> Result<(), EvidenceError> {
    let bound = Bound {
        nonce: &parts.nonce,
        user_data: &parts.user_data,
        pcrs: PcrSelection::ALL,
    };
    self_check(
        &parts.hcl,
        &parts.quote,
        &parts.pcrs,
        &parts.certificate,
        bound,
    )
}

#[test]
fn real_evidence_holds_together() {
    check(&parts()).unwrap();
}

#[test]
fn evidence_for_another_request_is_refused() {
    let mut other = parts();
    other.nonce[0] ^= 1;
    assert!(matches!(check(&other), Err(EvidenceError::Nonce { .. })));
    let mut other = parts();
    other.user_data[0] ^= 1;
    assert!(matches!(check(&other), Err(EvidenceError::UserData { .. })));
    let mut other = parts();
    other.pcrs.insert(0, [0; 32]);
    assert!(matches!(
        check(&other),
        Err(EvidenceError::PcrDigest { .. })
    ));
    let parts = parts();
    let bound = Bound {
        nonce: &parts.nonce,
        user_data: &parts.user_data,
        pcrs: PcrSelection::of(&[0]).unwrap(),
    };
    assert!(matches!(
        self_check(
            &parts.hcl,
            &parts.quote,
            &parts.pcrs,
            &parts.certificate,
            bound
        ),
        Err(EvidenceError::PcrSelection { .. })
    ));
}

#[test]
fn parts_of_two_machines_do_not_hold_together() {
    let mut mixed = parts();
    mixed.quote = crate::vectors::milan().quote;
    assert_eq!(check(&mixed), Err(EvidenceError::QuoteSignature));
    let mut mixed = parts();
    mixed.certificate = AkCertificate::trim(&[0x30, 0x00]).unwrap();
    assert!(matches!(
        check(&mixed),
        Err(EvidenceError::AkCertificate { .. })
    ));
}
