//! What the owners of real reports say of them.

use snp::{CheckId, Product, Report};

use super::all;
use crate::vectors;

#[test]
fn reports_say_what_their_owners_say_of_them() {
    let report = |name: &str| {
        let real = all().into_iter().find(|real| real.name == name);
        Report::parse(&real.unwrap().report).unwrap()
    };
    for (name, version, policy, vmpl, reported, current) in [
        (
            "a group of 2023",
            2,
            0x3001f,
            0,
            0x7308_0000_0000_0003_u64,
            0x7308_0000_0000_0003_u64,
        ),
        (
            "a group of 2025 without its endorsement",
            3,
            0x3001f,
            0,
            0xdb18_0000_0000_0004,
            0xdb18_0000_0000_0004,
        ),
        (
            "an encryption key of clean room 4",
            2,
            0x3001f,
            0,
            0xd315_0000_0000_0004,
            0xd515_0000_0000_0004,
        ),
        (
            "a machine of 2023",
            2,
            0x3001f,
            0,
            0x7308_0000_0000_0003,
            0xce08_0000_0000_0003,
        ),
        (
            "a machine that may be debugged",
            2,
            0xb0000,
            0,
            0x4405_0000_0000_0002,
            0x4405_0000_0000_0002,
        ),
        (
            "a machine under a VLEK",
            3,
            0x30000,
            1,
            0xd918_0000_0000_0004,
            0xdc18_0000_0000_0004,
        ),
    ] {
        let report = report(name);
        assert_eq!(report.version(), version, "{name}");
        assert_eq!(report.policy(), policy, "{name}");
        assert_eq!(report.vmpl(), vmpl, "{name}");
        assert_eq!(report.reported_tcb(), reported, "{name}");
        assert_eq!(report.current_tcb(), current, "{name}");
    }
    let genoa = report("a machine on Genoa");
    assert_eq!(genoa.product(), Some(Product::Genoa));
    assert_eq!(genoa.guest_svn(), 65547);
    let debuggable = report("a machine that may be debugged");
    assert!(debuggable.debuggable());
    assert_eq!(debuggable.report_data()[..5], [1, 2, 3, 4, 5]);
    assert!(debuggable.report_data()[5..].iter().all(|byte| *byte == 0));
    assert!(report("a machine under a VLEK").chip_id_masked());
    // The one service that names its TCB in the other order of bytes.
    let kms = vectors::json("attestation/privacy-sandbox-kms/snp.json");
    let endorsed = u64::from_str_radix(kms["endorsed_tcb"].as_str().unwrap(), 16).unwrap();
    let kms = report("a key management service's sample");
    assert_eq!(endorsed.swap_bytes(), kms.reported_tcb());
}

#[test]
fn a_pre_production_report_is_read_no_further_than_its_version() {
    let error = Report::parse(&vectors::real("report-v1.bin")).unwrap_err();
    assert_eq!(error.check(), Some(CheckId::ReportVersion));
}
