//! Attestation reports. One that bears no signature is signed, so that the checks behind it are reached.
#![no_main]

use fuzz::mock::{HOST_DATA, REPORT, REPORT_DATA, passed, requirements, verify};
use fuzz::{bounded, mock, sign, vector};
use libfuzzer_sys::fuzz_target;
use snp::{CheckId, Material, Measurement, REPORT_LEN, Report};

const MEASUREMENT: [u8; 48] = [0xab; 48];
const SIGNED: usize = 0x2a0;

/// Everything that the chip of the mock leaf signed.
const GENUINE: [&[u8]; 7] = [
    REPORT,
    vector!("attestation-mock/report-v2.bin"),
    vector!("attestation-mock/report-v5.bin"),
    vector!("attestation-mock/report-debug.bin"),
    vector!("attestation-mock/report-vmpl1.bin"),
    vector!("attestation-mock/report-wrong-chip.bin"),
    vector!("attestation-mock/report-turin-v3.bin"),
];

fuzz_target!(|input: &[u8]| {
    let parsed = bounded(input, 8, || Report::parse(input));
    if let Ok(report) = &parsed {
        assert_eq!(report.as_bytes(), input);
        assert_eq!(hex::decode(report.to_hex()).unwrap(), input);
        assert_eq!(Report::parse(report.as_bytes()).as_ref(), Ok(report));
        layout(report, input);
    }
    let Ok(mut bytes) = <[u8; REPORT_LEN]>::try_from(input) else {
        assert!(parsed.is_err());
        return;
    };
    let unsigned = bytes[SIGNED..].iter().all(|byte| *byte == 0);
    if unsigned {
        sign::report(&mut bytes);
    }
    let mut required = requirements();
    required.measurement = Measurement::OneOf(vec![MEASUREMENT]);
    let material = Material {
        report: &bytes,
        chain_pem: &mock::CHAIN,
        uvm_endorsement: None,
    };
    let verification = bounded(input, 8, || verify(material, &required));
    if passed(&verification, CheckId::ReportSignature) {
        let genuine = |known: &&[u8]| known[..SIGNED] == bytes[..SIGNED];
        assert!(
            unsigned || GENUINE.iter().any(genuine),
            "a forged signature"
        );
    }
    if verification.accepted() {
        demanded(&bytes);
    }
});

/// The accessors against the layout of the specification.
fn layout(report: &Report, raw: &[u8]) {
    let number = |at: usize| u64::from_le_bytes(raw[at..at + 8].try_into().unwrap());
    assert!((2..=5).contains(&report.version()));
    assert_eq!(
        u64::from(report.version()) | u64::from(report.guest_svn()) << 32,
        number(0)
    );
    assert_eq!(report.policy(), number(0x08));
    assert_eq!(report.current_tcb(), number(0x38));
    assert_eq!(report.platform_info(), number(0x40));
    assert_eq!(report.reported_tcb(), number(0x180));
    assert_eq!(report.committed_tcb(), number(0x1e0));
    assert_eq!(report.launch_tcb(), number(0x1f0));
    assert_eq!(report.report_data(), &raw[0x50..0x90]);
    assert_eq!(report.measurement(), &raw[0x90..0xc0]);
    assert_eq!(report.host_data(), &raw[0xc0..0xe0]);
    assert_eq!(report.chip_id(), &raw[0x1a0..0x1e0]);
    assert_eq!(report.debuggable(), raw[0x0a] & 0x08 != 0);
    assert_eq!(
        report.product().is_some(),
        report.version() > 2 && product_known(raw)
    );
}

fn product_known(raw: &[u8]) -> bool {
    match (raw[0x188], raw[0x189]) {
        (0x19, model) => matches!(model >> 4, 0 | 1 | 0xa),
        (0x1a, model) => model <= 0x11,
        _ => false,
    }
}

/// What the requirements demand, told once more from the bytes.
fn demanded(raw: &[u8; REPORT_LEN]) {
    let zero = |from: usize, to: usize| raw[from..to].iter().all(|byte| *byte == 0);
    assert!((2..=5).contains(&raw[0]) && zero(1, 4), "version");
    assert_eq!(raw[0x0a] & 0x0c, 0, "debug or migration");
    assert_eq!(raw[0x0a] & 0x02, 0x02, "policy bit 17");
    assert!(raw[0x0b] < 0x04 && zero(0x0c, 0x10), "reserved policy bits");
    assert!((raw[9], raw[8]) >= (0, 31), "guest ABI");
    assert!(zero(0x30, 0x34), "VMPL");
    assert_eq!(raw[0x34..0x38], [1, 0, 0, 0], "algorithm");
    assert_eq!(raw[0x40] & 0x20, 0x20, "alias check");
    assert!(zero(0x48, 0x50), "key info");
    assert_eq!(raw[0x50..0x90], REPORT_DATA, "report data");
    assert_eq!(raw[0x90..0xc0], MEASUREMENT, "measurement");
    assert_eq!(raw[0xc0..0xe0], HOST_DATA, "host data");
    assert!(zero(0x110, 0x140), "author key");
    assert!(
        raw[0x160..0x180].iter().all(|byte| *byte == 0xff),
        "migration agent"
    );
    assert_eq!(raw[0x180..0x188], REPORT[0x180..0x188], "reported TCB");
    match raw[0] {
        2 => assert!(zero(0x188, 0x18b), "reserved in version 2"),
        _ => assert!(raw[0x188] == 0x19 && raw[0x189] < 0x10, "product"),
    }
    assert!(zero(0x18b, 0x1a0), "reserved");
    assert_eq!(raw[0x1a0..0x1e0], REPORT[0x1a0..0x1e0], "chip");
    let launch = [(0x1f0, 4), (0x1f6, 0x18), (0x1f7, 0xdb)];
    assert!(
        launch.iter().all(|(at, least)| raw[*at] >= *least),
        "launch TCB"
    );
    assert!(raw[0] == 5 || zero(0x1f8, 0x208), "mitigation vectors");
    assert!(zero(0x208, 0x2a0), "reserved");
}
