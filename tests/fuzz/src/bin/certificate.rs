//! Leaf certificates (VCEK and VLEK), in DER, under the mock intermediate and root.
#![no_main]

use std::sync::LazyLock;

use fuzz::mock::{
    INTERMEDIATE, LEAF, ROOT, contains, ders, passed, pem, requirements, signed_part,
};
use fuzz::{bounded, mock, vector_text};
use libfuzzer_sys::fuzz_target;
use snp::{CheckId, EndorsementChain, Material, Report, SigningKey};

/// 1.3.6.1.4.1.3704.1, AMD's arc, in DER.
const ARC: [u8; 8] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01];

/// Everything that the mock intermediate signed.
static GENUINE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    [
        LEAF,
        vector_text!("attestation-mock/vcek-milan-wrong-tcb.pem"),
        vector_text!("attestation-mock/vcek-milan-expired.pem"),
    ]
    .into_iter()
    .flat_map(|leaf| signed_part(&ders(leaf)[0]).to_vec())
    .collect()
});

fuzz_target!(|input: &[u8]| {
    let text = [pem(input).as_str(), INTERMEDIATE, ROOT].concat();
    let Ok(chain) = bounded(input, 64, || EndorsementChain::from_pem(&text)) else {
        return;
    };
    assert_eq!(chain.pem(), text);
    assert_eq!(chain.ders()[0], input, "the bytes that signatures cover");
    assert_eq!(chain.ders()[1..], [&ders(INTERMEDIATE)[0], &ders(ROOT)[0]]);
    let leaf = chain.leaf();
    assert_eq!(leaf.tcb().product(), leaf.product());
    match leaf.kind() {
        SigningKey::Vcek => assert_eq!(leaf.hwid().len(), leaf.product().chip_id_len()),
        SigningKey::Vlek => assert!(leaf.hwid().is_empty()),
        SigningKey::Other(kind) => panic!("key kind {kind}"),
    }
    assert!(contains(input, leaf.hwid()) && contains(input, leaf.product().name().as_bytes()));
    for last in [&[1][..], &[2], &[3, 1], &[3, 2], &[3, 3], &[3, 8]] {
        assert!(
            contains(input, &[&ARC, last].concat()),
            "extension {last:?} came from nowhere"
        );
    }

    let report = Report::parse(mock::REPORT).unwrap();
    let fits = leaf.kind() == SigningKey::Vcek
        && leaf.hwid() == report.chip_id()
        && leaf.tcb().raw() == report.reported_tcb();
    assert_eq!(chain.fits(&report).is_ok(), fits);

    let material = Material {
        report: mock::REPORT,
        chain_pem: &text,
        uvm_endorsement: None,
    };
    let verification = bounded(input, 64, || mock::verify(material, &requirements()));
    if passed(&verification, CheckId::LeafSignature) {
        let signed = input
            .get(4..)
            .and_then(|rest| rest.first_chunk::<4>())
            .unwrap();
        let length = 4 + usize::from(u16::from_be_bytes([signed[2], signed[3]]));
        assert!(
            contains(&GENUINE, &input[4..][..length]),
            "a forged certificate"
        );
    }
});
