use super::*;
use crate::HclReport;
use crate::vectors::{attestations, milan};

fn refusal(index: &[u8]) -> String {
    AkCertificate::trim(index).unwrap_err().to_string()
}

#[test]
fn the_certificate_is_cut_out_of_its_index_and_is_of_the_key_in_the_claims() {
    for (attestation, _) in attestations() {
        let index = attestation.evidence.aik_cert;
        let certificate = AkCertificate::trim(&index).unwrap();
        assert_eq!((index.len(), certificate.der().len()), (4096, 1009));
        let hcl = HclReport::parse(&attestation.evidence.hcl_report).unwrap();
        certificate.check_key(hcl.claims().unwrap().ak()).unwrap();
        assert_eq!(AkCertificate::trim(certificate.der()), Ok(certificate));
    }
}

#[test]
fn the_certificate_of_another_key_is_refused() {
    let index = &attestations()[0].0.evidence.aik_cert;
    let other = HclReport::parse(&milan().hcl).unwrap().claims().unwrap();
    let refusal = AkCertificate::trim(index).unwrap().check_key(other.ak());
    assert!(refusal.unwrap_err().to_string().contains("another key"));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let index = &attestations()[0].0.evidence.aik_cert;
    assert!(refusal(&index[..1008]).contains("ends early"));
    let mut more = index.clone();
    more[4095] = 1;
    assert!(refusal(&more).contains("behind it"));
    assert!(refusal(&[]).contains("AK certificate"));
    assert!(refusal(&[0; 4096]).contains("AK certificate"));
    assert!(refusal(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).contains("AK certificate"));
    let hcl = HclReport::parse(&milan().hcl).unwrap().claims().unwrap();
    let hollow = AkCertificate::trim(&[0x30, 0x00]).unwrap();
    assert!(
        hollow
            .check_key(hcl.ak())
            .unwrap_err()
            .to_string()
            .contains("not X.509")
    );
}
