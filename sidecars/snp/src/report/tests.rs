use sidecar_http::Coded;

use super::*;

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/",
            $name
        ))
    };
}

const REAL_V2: &[u8] = vector!("attestation/snp_report.bin");

#[test]
fn a_real_version_2_report_names_its_policy_and_tcb() {
    let report = Report::parse(REAL_V2).unwrap();
    assert_eq!(report.version(), 2);
    assert_eq!(report.vmpl(), 0);
    assert_eq!(report.policy(), 0x3001f);
    assert_eq!(report.guest_abi(), (0, 31));
    assert_eq!(report.signing_key(), SigningKey::Vcek);
    assert_eq!(report.cpuid(), None);
    assert_eq!(
        hex::encode(report.host_data()),
        "cadd74f71ebb8fbf9782baab649612520f3c416bc5ce9ac768808ddc8d9b031c"
    );
    assert_eq!(
        format!("{:016X}", report.reported_tcb()),
        "7308000000000003"
    );
    assert_eq!(
        hex::encode(&report.report_data()[..32]),
        "ee986ff2bd7e3f22e29f640918627816cf8e23b9d9c312767168eab68c861c71"
    );
    assert_eq!(report.as_bytes(), REAL_V2);
    report.refuse_open_guests().unwrap();
}

#[test]
fn newer_real_reports_parse() {
    let milan = Report::parse(vector!("attestation/platform-cert-fetcher-report.bin")).unwrap();
    assert_eq!(milan.version(), 3);
    assert_eq!(milan.product(), Some(Product::Milan));
    assert_eq!(format!("{:016X}", milan.reported_tcb()), "DB18000000000004");
    let vlek = Report::parse(vector!("attestation/vlek-report.bin")).unwrap();
    assert_eq!(vlek.vmpl(), 1);
    assert_eq!(vlek.signing_key(), SigningKey::Vlek);
    assert!(vlek.chip_id_masked());
    let newest = Report::parse(vector!("attestation-mock/report-v5.bin")).unwrap();
    assert_eq!(newest.version(), 5);
    assert_eq!(newest.measurement(), &[0xab; 48]);
}

#[test]
fn a_pre_production_report_is_refused() {
    let error = Report::parse(vector!("attestation/report-v1.bin")).unwrap_err();
    assert_eq!(error.check(), Some(CheckId::ReportVersion));
    assert_eq!(error.code(), "CR-SNP-0002");
    assert!(error.to_string().contains("version 1"), "{error}");
}

#[test]
fn lengths_algorithms_and_stray_bytes_are_refused() {
    let check = |bytes: &[u8]| Report::parse(bytes).unwrap_err().check().unwrap();
    assert_eq!(check(&REAL_V2[1..]), CheckId::ReportLength);
    assert_eq!(check(&[REAL_V2, &[0]].concat()), CheckId::ReportLength);
    for (offset, value, expected) in [
        (0x00, 6, CheckId::ReportVersion),
        (0x34, 2, CheckId::SignatureAlgorithm),
        (0x2a0 + 48, 1, CheckId::SignaturePadding),
        (0x2e8 + 71, 1, CheckId::SignaturePadding),
        (0x49f, 1, CheckId::SignaturePadding),
    ] {
        let mut bytes = REAL_V2.to_vec();
        bytes[offset] = value;
        assert_eq!(check(&bytes), expected, "byte {offset:#x}");
    }
}

#[test]
fn allow_all_and_debuggable_guests_are_refused() {
    let check = |report: Report| report.refuse_open_guests().unwrap_err().check();
    let allow_all = Report::parse(vector!("attestation-mock/report-v3.bin")).unwrap();
    assert_eq!(check(allow_all), Some(CheckId::AllowAll));
    let mut bytes = REAL_V2.to_vec();
    bytes[0x0a] |= 0x08;
    assert_eq!(check(Report::parse(&bytes).unwrap()), Some(CheckId::Debug));
}
