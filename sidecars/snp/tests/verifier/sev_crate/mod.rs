//! The `sev` crate's verifier (virtee) beside ours: the same signatures verify, and what else it accepts is refused here.

mod differences;

use sev::certs::snp::{Certificate, Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use snp::{CheckId, EndorsementChain, Report, UvmRoots, Verdict, Verification};

use crate::forge::certificate::Cert;
use crate::real::all;
use crate::refused;
use CheckId::*;

/// What the crate makes of a report and of leaf, intermediate and root.
fn sev_verifies(report: &[u8], chain: [&[u8]; 3]) -> std::io::Result<()> {
    let [leaf, intermediate, root] = chain;
    let chain = Chain::from_der(root, intermediate, leaf)?;
    let report = AttestationReport::from_bytes(report)?;
    (&chain, &report).verify()
}

/// The signatures that both verifiers look at.
const SIGNATURES: [CheckId; 4] = [
    RootSignature,
    IntermediateSignature,
    LeafSignature,
    ReportSignature,
];

fn signatures_verify(verification: &Verification) -> bool {
    SIGNATURES
        .into_iter()
        .all(|id| verification.check(id).unwrap().verdict == Verdict::Passed)
}

#[test]
fn the_same_signatures_of_real_evidence_verify() {
    let any_svn = UvmRoots::microsoft().unwrap().with_minimum_svn(0);
    let all = all();
    for real in &all {
        let ours = real.verify(&real.of_its_time(), &any_svn);
        let chain = EndorsementChain::from_pem(&real.chain_pem).unwrap();
        let sev = sev_verifies(&real.report, chain.ders());
        assert_eq!(
            sev.is_ok(),
            signatures_verify(&ours),
            "{}: {sev:?}",
            real.name
        );
        assert_eq!(
            sev.is_err(),
            real.fails_always(ReportSignature),
            "{}",
            real.name
        );
    }
}

/// Every real report under every real leaf.
#[test]
fn no_leaf_of_another_chip_verifies_a_real_report() {
    let any_svn = UvmRoots::microsoft().unwrap().with_minimum_svn(0);
    for real in all() {
        let requirements = real.of_its_time();
        let report = AttestationReport::from_bytes(&real.report).unwrap();
        for other in all() {
            let mut mixed = real.clone();
            mixed.chain_pem.clone_from(&other.chain_pem);
            let ours = mixed.verify(&requirements, &any_svn);
            let chain = EndorsementChain::from_pem(&other.chain_pem).unwrap();
            let leaf = Certificate::from_der(chain.ders()[0]).unwrap();
            let sev = (&leaf, &report).verify().is_ok();
            let (real, other) = (real.name, other.name);
            assert_eq!(
                sev,
                ours.check(ReportSignature).unwrap().verdict == Verdict::Passed,
                "{real}, {other}"
            );
            let fits = chain.fits(&Report::parse(&mixed.report).unwrap()).is_ok();
            assert!(!sev || fits, "{real}, {other}");
        }
    }
}

#[test]
fn both_refuse_changed_bytes_of_real_reports() {
    let any_svn = UvmRoots::microsoft().unwrap().with_minimum_svn(0);
    for mut real in all() {
        let requirements = real.of_its_time();
        let chain = EndorsementChain::from_pem(&real.chain_pem).unwrap();
        for offset in [0x04, 0x50, 0x90, 0xc0, 0x1f0, 0x2a0, 0x2e8] {
            real.report[offset] ^= 1;
            let sev = sev_verifies(&real.report, chain.ders());
            assert!(sev.is_err(), "{}, {offset:#x}", real.name);
            let ours = real.verify(&requirements, &any_svn);
            assert!(!signatures_verify(&ours), "{}, {offset:#x}", real.name);
            real.report[offset] ^= 1;
        }
    }
}

/// A signature that does not verify here does not verify there, whatever is forged.
#[test]
fn no_signature_refused_here_verifies_there() {
    let mut refused_here = 0;
    for (name, world) in refused::worlds(&SIGNATURES) {
        let evidence = world.evidence();
        let chain: Vec<Vec<u8>> = world.chain.iter().map(Cert::der).collect();
        let chain = [&chain[0], &chain[1], &chain[2]].map(Vec::as_slice);
        assert!(sev_verifies(&evidence.report, chain).is_err(), "{name}");
        refused_here += 1;
    }
    assert!(refused_here > 50, "{refused_here}");
}
