//! Endorsements of a utility VM: COSE_Sign1.
#![no_main]

use coset::{CborSerializable as _, CoseSign1, TaggedCborSerializable as _};
use fuzz::mock::{self, passed, requirements};
use fuzz::{bounded, vector, whole};
use libfuzzer_sys::fuzz_target;
use snp::{CheckId, Material, UvmEndorsement};

/// What the mock issuer signed, of which only the first is to be believed.
const GENUINE: [&[u8]; 4] = [
    vector!("attestation-mock/uvm-endorsement.cose"),
    vector!("attestation-mock/uvm-endorsement-bad-feed.cose"),
    vector!("attestation-mock/uvm-endorsement-low-svn.cose"),
    vector!("attestation-mock/uvm-endorsement-wrong-measurement.cose"),
];

/// Who endorses what; the measurement itself has a row of its own.
const BELIEVED: [CheckId; 5] = [
    CheckId::UvmChain,
    CheckId::UvmIssuer,
    CheckId::UvmSignature,
    CheckId::UvmFeed,
    CheckId::UvmSvn,
];

fn cose(bytes: &[u8]) -> Option<CoseSign1> {
    let tagged = CoseSign1::from_tagged_slice(bytes);
    tagged.or_else(|_| CoseSign1::from_slice(bytes)).ok()
}

/// What a signature covers of it.
fn covered(sign1: &CoseSign1) -> (Option<&Vec<u8>>, Option<&Vec<u8>>) {
    (
        sign1.protected.original_data.as_ref(),
        sign1.payload.as_ref(),
    )
}

fuzz_target!(|input: &[u8]| {
    let parsed = bounded(input, 256, || UvmEndorsement::parse(input));
    if let Ok(endorsement) = &parsed {
        let sign1 = cose(input).unwrap();
        if let Some(payload) = whole(sign1.payload.as_ref().unwrap()) {
            let measurement = &payload["x-ms-sevsnpvm-launchmeasurement"];
            assert_eq!(measurement, endorsement.measurement());
        }
        let texts = [endorsement.issuer(), endorsement.feed()];
        assert!(texts.iter().all(|text| text.len() <= input.len()));
        // The tag says nothing more.
        let untagged = UvmEndorsement::parse(&sign1.to_vec().unwrap()).unwrap();
        assert_eq!(untagged.issuer(), endorsement.issuer());
        assert_eq!(untagged.feed(), endorsement.feed());
        assert_eq!(untagged.measurement(), endorsement.measurement());
        assert_eq!(untagged.signing_time(), endorsement.signing_time());
    }
    let material = Material {
        report: mock::REPORT,
        chain_pem: "",
        uvm_endorsement: Some(input),
    };
    let verification = bounded(input, 256, || mock::verify(material, &requirements()));
    assert_eq!(passed(&verification, CheckId::UvmFormat), parsed.is_ok());
    if passed(&verification, CheckId::UvmSignature) && passed(&verification, CheckId::UvmChain) {
        let sign1 = cose(input).unwrap();
        let genuine = |known: &&[u8]| covered(&cose(known).unwrap()) == covered(&sign1);
        assert!(GENUINE.iter().any(genuine), "a forged endorsement");
        if BELIEVED.iter().all(|id| passed(&verification, *id)) {
            assert!(
                genuine(&GENUINE[0]) || genuine(&GENUINE[3]),
                "the wrong one is believed"
            );
        }
        if passed(&verification, CheckId::Measurement) {
            assert!(
                !genuine(&GENUINE[3]),
                "a measurement that it does not endorse"
            );
        }
    }
});
