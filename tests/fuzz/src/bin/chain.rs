//! Endorsement chains and trusted roots, as PEM text.
#![no_main]

use fuzz::bounded;
use fuzz::mock::{self, pem, requirements};
use libfuzzer_sys::fuzz_target;
use snp::{CheckId, EndorsementChain, Material, Roots, Verdict};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let roots = bounded(input, 64, || Roots::from_pem(text));
    if roots.is_ok() {
        assert!(text.contains("-----BEGIN CERTIFICATE-----"));
    }
    let chain = bounded(input, 64, || EndorsementChain::from_pem(text));
    if let Ok(chain) = &chain {
        assert_eq!(chain.pem(), text);
        let again: String = chain.ders().map(pem).concat();
        let again = EndorsementChain::from_pem(&again).unwrap();
        assert_eq!(again.ders(), chain.ders());
        assert_eq!(again.leaf(), chain.leaf());
        assert!(text.matches("-----BEGIN ").count() >= 3);
    }
    let material = Material {
        report: mock::REPORT,
        chain_pem: text,
        uvm_endorsement: None,
    };
    let verification = bounded(input, 64, || mock::verify(material, &requirements()));
    let format = verification.check(CheckId::ChainFormat).unwrap().verdict;
    if chain.is_ok() {
        assert_eq!(
            format,
            Verdict::Passed,
            "one reader takes what the other refuses"
        );
    }
    if format != Verdict::Passed {
        let root = verification.check(CheckId::RootPinned).unwrap().verdict;
        assert_eq!(root, Verdict::NotEvaluated, "judged without certificates");
    }
});
