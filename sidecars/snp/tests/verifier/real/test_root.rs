//! The files of the test root that other tests use as they are.

use snp::{
    CheckId, Material, Product, Report, Requirements, Roots, Tcb, UvmRoots, Verification, verify,
};

use super::failed;
use crate::forge::certificate::date;
use crate::vectors;
use CheckId::*;

/// Under the test root, for what the report binds and runs under; every firmware is accepted.
fn judge(report: &[u8], chain: [&str; 3], endorsement: &str) -> Verification {
    let chain_pem = chain
        .map(|name| vectors::mock_text(&format!("{name}.pem")))
        .concat();
    let uvm = vectors::mock(&format!("{endorsement}.cose"));
    let parsed = Report::parse(report).unwrap();
    let zero = |product| Tcb::new(product, 0, 0, 0, 0, 0);
    let minimum = Product::ALL
        .into_iter()
        .fold(snp::MinimumTcb::none(), |all, product| {
            all.with(zero(product))
        });
    let mut requirements = Requirements::new(
        date(2026, 10, 1).to_system_time(),
        *parsed.report_data(),
        vec![*parsed.host_data()],
        minimum,
    );
    requirements.vlek = true;
    let material = Material {
        report,
        chain_pem: &chain_pem,
        uvm_endorsement: Some(&uvm),
    };
    // The test root has one key under the name of each product, so only one of the names is trusted at a time.
    let roots = Roots::from_pem(&vectors::mock_text(&format!("{}.pem", chain[2]))).unwrap();
    let issuer = vectors::mock_text("uvm-did.txt");
    let uvm_roots = UvmRoots::custom(issuer.trim(), "ContainerPlat-AMD-UVM", 100).unwrap();
    verify(material, &requirements, &roots, &uvm_roots)
}

const MILAN: [&str; 3] = ["vcek-milan", "ask-milan", "ark-milan"];
const GOOD: &str = "uvm-endorsement";

#[test]
fn the_test_root_s_reports_fail_what_their_names_say() {
    for (report, chain, expected) in [
        ("report-v2", MILAN, &[][..]),
        ("report-v3", MILAN, &[]),
        ("report-v5", MILAN, &[]),
        (
            "report-turin-v3",
            ["vcek-turin", "ask-turin", "ark-turin"],
            &[],
        ),
        (
            "report-vlek",
            ["vlek-milan", "asvk-milan", "ark-milan"],
            &[],
        ),
        ("bad-report-data", MILAN, &[ReportSignature]),
        ("bad-signature", MILAN, &[ReportSignature]),
        (
            "report-v3",
            ["vcek-milan-wrong-tcb", "ask-milan", "ark-milan"],
            &[LeafTcb],
        ),
        (
            "report-v3",
            ["vcek-milan-expired", "ask-milan", "ark-milan"],
            &[LeafValidity],
        ),
        ("report-wrong-chip", MILAN, &[LeafChip]),
        ("report-vmpl1", MILAN, &[Vmpl]),
        ("report-debug", MILAN, &[Debug]),
    ] {
        let verification = judge(&vectors::mock(&format!("{report}.bin")), chain, GOOD);
        // Every one of them runs under the policy that allows everything.
        let mut expected = [expected, &[AllowAll]].concat();
        expected.sort();
        assert_eq!(
            failed(&verification),
            expected,
            "{report} {chain:?}\n{verification}"
        );
    }
}

#[test]
fn the_test_root_s_endorsements_fail_what_their_names_say() {
    for (name, expected) in [
        ("uvm-endorsement", &[][..]),
        ("uvm-endorsement-untagged", &[]),
        ("uvm-endorsement-cwt", &[]),
        ("uvm-endorsement-bad-feed", &[UvmFeed]),
        ("uvm-endorsement-bad-sig", &[UvmSignature]),
        ("uvm-endorsement-low-svn", &[UvmSvn]),
        ("uvm-endorsement-wrong-measurement", &[Measurement]),
    ] {
        let verification = judge(&vectors::mock("report-v3.bin"), MILAN, name);
        let expected = [&[AllowAll], expected].concat();
        assert_eq!(failed(&verification), expected, "{name}\n{verification}");
    }
}
