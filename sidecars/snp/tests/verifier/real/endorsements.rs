//! Microsoft's endorsements of utility VMs, 2023 to 2025.

use std::ops::Range;

use snp::{CheckId, UvmEndorsement, UvmRoots};

use super::{Real, all, failed};
use crate::forge::certificate::date;
use crate::vectors;
use CheckId::*;

#[test]
fn real_endorsements_say_what_their_owners_say_of_them() {
    let microsoft = UvmRoots::microsoft().unwrap();
    for (name, svn) in [
        ("a group of 2023", "22"),
        ("a governance service's sample", "100"),
        ("an encryption key of clean room 4", "100"),
        ("a key management service's sample", "100"),
        ("an encryption key of clean room 8", "103"),
        ("a token request of clean room 8", "103"),
    ] {
        let real = named(name);
        let endorsement = UvmEndorsement::parse(real.uvm_endorsement.as_deref().unwrap()).unwrap();
        assert_eq!(endorsement.issuer(), microsoft.issuer());
        assert_eq!(endorsement.feed(), microsoft.feed());
        assert_eq!(
            endorsement.measurement(),
            hex::encode(&real.report[0x90..0xc0]),
            "{name}"
        );
        let verification = real.verify(&real.shipped(), &microsoft);
        assert_eq!(verification.check(UvmSvn).unwrap().actual, svn, "{name}");
    }
}

fn named(name: &str) -> Real {
    all().into_iter().find(|real| real.name == name).unwrap()
}

/// Leaves live for a year; what they signed lives on.
#[test]
fn an_endorsement_outlives_the_leaf_that_signed_it() {
    let real = named("a group of 2023");
    let endorsement = UvmEndorsement::parse(real.uvm_endorsement.as_deref().unwrap()).unwrap();
    let signed = endorsement.signing_time().unwrap();
    assert!(signed >= date(2023, 2, 8).unix_duration());
    assert!(signed < date(2023, 2, 9).unix_duration());
    let any_svn = UvmRoots::microsoft().unwrap().with_minimum_svn(0);
    let mut requirements = real.of_its_time();
    requirements.now = date(2026, 1, 1).to_system_time();
    let verification = real.verify(&requirements, &any_svn);
    assert!(verification.accepted(), "{verification}");
}

#[test]
fn the_minimum_is_met_by_the_same_version() {
    let real = named("a group of 2023");
    let microsoft = UvmRoots::microsoft().unwrap();
    for (minimum, expected) in [(22, &[][..]), (23, &[UvmSvn])] {
        let roots = microsoft.clone().with_minimum_svn(minimum);
        assert_eq!(failed(&real.verify(&real.of_its_time(), &roots)), expected);
    }
}

/// Its measurement is of another utility VM than any of the reports'.
#[test]
fn a_context_directory_s_endorsement_is_genuine_and_of_another_machine() {
    let file = vectors::real_text("skr-sidecar/security-context/reference-info-base64");
    let cose = vectors::base64(&file);
    let endorsement = UvmEndorsement::parse(&cose).unwrap();
    assert!(endorsement.measurement().starts_with("03fea028"));
    let mut real = named("a group of 2023");
    real.uvm_endorsement = Some(cose);
    let roots = UvmRoots::microsoft().unwrap().with_minimum_svn(100);
    let verification = real.verify(&real.of_its_time(), &roots);
    assert_eq!(failed(&verification), [Measurement]);
    assert_eq!(verification.check(UvmSvn).unwrap().actual, "100");
}

/// One bit anywhere in what is signed, in the signature or in a certificate.
#[test]
fn no_flipped_bit_of_a_real_endorsement_goes_unseen() {
    let mut real = named("an encryption key of clean room 8");
    let requirements = real.of_its_time();
    let roots = UvmRoots::microsoft().unwrap().with_minimum_svn(0);
    let cose = real.uvm_endorsement.clone().unwrap();
    // The time stamp in the open header is not looked at.
    let open = open_header(&cose);
    for at in (0..open.start).chain(open.end..cose.len()).step_by(31) {
        let mut changed = cose.clone();
        changed[at] ^= 1;
        real.uvm_endorsement = Some(changed);
        let verification = real.verify(&requirements, &roots);
        assert_ne!(failed(&verification), [AllowAll], "byte {at}");
    }
}

/// Where the open header lies: from behind the protected one to the payload's first member.
fn open_header(cose: &[u8]) -> Range<usize> {
    let find = |text: &[u8]| {
        let mut parts = cose.windows(text.len());
        parts.position(|part| part == text).unwrap()
    };
    find(b"timestamp") - 2..find(b"x-ms-")
}
