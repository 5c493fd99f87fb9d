//! The host's certificates, as THIM's JSON.
#![no_main]

use attestation::{HostAmdCert, Report};
use fuzz::{bounded, mock, whole};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use snp::EndorsementChain;

fuzz_target!(|input: &[u8]| {
    let Ok(host) = bounded(input, 64, || HostAmdCert::parse(input)) else {
        return;
    };
    if let Some(json) = whole(input) {
        assert_eq!(json["vcekCert"], host.vcek_cert);
        assert_eq!(json["certificateChain"], host.certificate_chain);
    }
    let again = json!({
        "vcekCert": host.vcek_cert, "tcbm": host.tcbm, "certificateChain": host.certificate_chain,
    });
    let again = HostAmdCert::parse(again.to_string().as_bytes()).unwrap();
    assert_eq!(again.chain_pem(), host.chain_pem());

    let text = host.chain_pem();
    let Ok(chain) = bounded(input, 256, || EndorsementChain::from_pem(&text)) else {
        return;
    };
    let report = Report::parse(mock::REPORT).unwrap();
    if chain.fits(&report).is_ok() {
        assert_eq!(chain.leaf().tcb().raw(), report.reported_tcb());
        assert_eq!(chain.leaf().hwid(), report.chip_id());
    }
});
