//! AMD's certificates: pinned roots, intermediates, and leaves without a report.

use sha2::{Digest, Sha256};
use snp::{
    CheckId, EndorsementChain, Material, Product, Report, Requirements, Roots, SigningKey,
    UvmRoots, verify,
};
use x509_cert::der::DateTime;

use super::evidence::authorities;
use super::failed;
use crate::forge::certificate::{date, pem};
use crate::vectors;
use CheckId::*;

/// What fails of a chain alone.
fn chain_failures(chain_pem: &str, at: DateTime) -> Vec<CheckId> {
    let requirements = Requirements::new(
        at.to_system_time(),
        [0; 64],
        Vec::new(),
        snp::MinimumTcb::none(),
    );
    let material = Material {
        report: &[],
        chain_pem,
        uvm_endorsement: None,
    };
    let uvm_roots = UvmRoots::microsoft().unwrap();
    let verification = verify(material, &requirements, &Roots::amd(), &uvm_roots);
    let mut failed = failed(&verification);
    failed.retain(|id| ![ReportLength, UvmFormat].contains(id));
    failed
}

fn leaf(product: Product) -> String {
    match product {
        Product::Milan => pem(&vectors::real("sev-crate/vcek_milan.der")),
        Product::Genoa => vectors::text("cvm/vcek-genoa.pem"),
        Product::Turin => pem(&vectors::real("sev-crate/vcek_turin.der")),
    }
}

#[test]
fn every_product_s_chain_leads_to_its_pinned_root() {
    for (product, ark, ask) in [
        (
            Product::Milan,
            "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
            "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
        ),
        (
            Product::Genoa,
            "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
            "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
        ),
        (
            Product::Turin,
            "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
            "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185",
        ),
    ] {
        let name = product.name().to_lowercase();
        let certificate = |kind: &str| vectors::real_text(&format!("sev-crate/{kind}-{name}.pem"));
        let text = leaf(product) + &certificate("ask") + &certificate("ark");
        let chain = EndorsementChain::from_pem(&text).unwrap();
        let [_, intermediate, root] = chain.ders();
        assert_eq!(hex::encode(Sha256::digest(root)), ark, "{product}");
        assert_eq!(hex::encode(Sha256::digest(intermediate)), ask, "{product}");
        assert_eq!(chain.leaf().product(), product);
        assert_eq!(chain_failures(&text, date(2026, 1, 1)), [], "{product}");
    }
}

/// Intermediates of VLEKs are the root's too, and issue no VCEK.
#[test]
fn the_other_intermediates_are_the_root_s_as_well() {
    for (product, file) in [
        (Product::Milan, "attestation/trustee/milan_ask_ark_asvk.pem"),
        (Product::Genoa, "cvm/genoa_ask_ark_asvk.pem"),
        (Product::Turin, "attestation/trustee/turin_ask_ark_asvk.pem"),
    ] {
        let chain = |which| leaf(product) + &authorities(&format!("../{file}"), which);
        assert_eq!(
            chain_failures(&chain([0, 1]), date(2026, 1, 1)),
            [],
            "{product}"
        );
        assert_eq!(
            chain_failures(&chain([2, 1]), date(2026, 1, 1)),
            [LeafSignature, AuthorityNames],
            "{product}"
        );
    }
    let go = pem(&vectors::real("trustee/test-vlek.der"))
        + &vectors::real_text("go-sev-guest/milanvlek.testcer");
    assert_eq!(chain_failures(&go, date(2025, 6, 1)), []);
}

#[test]
fn a_vlek_lives_for_a_year() {
    let chain = pem(&vectors::real("trustee/test-vlek.der"))
        + &authorities("trustee/milan_ask_ark_asvk.pem", [2, 1]);
    let leaf = EndorsementChain::from_pem(&chain).unwrap();
    assert_eq!(leaf.leaf().kind(), SigningKey::Vlek);
    assert!(leaf.leaf().hwid().is_empty());
    assert_eq!(chain_failures(&chain, date(2025, 12, 10)), []);
    assert_eq!(chain_failures(&chain, date(2025, 12, 11)), [LeafValidity]);
    assert_eq!(chain_failures(&chain, date(2024, 12, 10)), [LeafValidity]);
}

#[test]
fn turin_s_leaf_has_an_fmc_and_a_short_chip_id() {
    let text = leaf(Product::Turin) + &vectors::real_text("sev-crate/cert_chain_turin");
    assert_eq!(chain_failures(&text, date(2026, 1, 1)), []);
    let chain = EndorsementChain::from_pem(&text).unwrap();
    assert_eq!(chain.leaf().hwid().len(), 8);
    assert!(chain.leaf().tcb().fmc().is_some());
    let [der, ..] = chain.ders();
    assert!(!der.windows(SPARE_4.len()).any(|part| part == SPARE_4));
}

/// 1.3.6.1.4.1.3704.1.3.4 in DER.
const SPARE_4: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x9c\x78\x01\x03\x04";

/// Leaves that AMD did not sign, in the older and the newer form of the chip id.
#[test]
fn leaves_of_nobody_are_refused_for_their_signature_alone() {
    for name in ["legacy", "new"] {
        let der = vectors::real(&format!("trustee/test-vcek-invalid-{name}.der"));
        let text = pem(&der) + &authorities("trustee/milan_ask_ark_asvk.pem", [0, 1]);
        assert_eq!(
            EndorsementChain::from_pem(&text)
                .unwrap()
                .leaf()
                .hwid()
                .len(),
            64
        );
        assert_eq!(
            chain_failures(&text, date(2026, 1, 1)),
            [LeafSignature],
            "{name}"
        );
    }
}

#[test]
fn the_host_s_certificates_are_the_report_s() {
    let thim = vectors::json("attestation/skr-sidecar/uvm_host_amd_certificate.json");
    let member = |name: &str| thim[name].as_str().unwrap();
    let text = member("vcekCert").to_owned() + member("certificateChain");
    assert_eq!(
        text,
        vectors::real_text("skr-sidecar/uvm_host_amd_certificate.pem")
    );
    assert_eq!(member("cacheControl"), "86400");
    let report = Report::parse(&vectors::real("snp_report.bin")).unwrap();
    let chain = EndorsementChain::from_pem(&text).unwrap();
    chain.fits(&report).unwrap();
    assert_eq!(member("tcbm"), format!("{:016X}", report.reported_tcb()));
    assert_eq!(member("tcbm"), format!("{:016X}", chain.leaf().tcb().raw()));
}

#[test]
fn a_context_directory_s_certificates_are_another_chip_s() {
    let file = vectors::real_text("skr-sidecar/security-context/host-amd-cert-base64");
    let thim: serde_json::Value = serde_json::from_slice(&vectors::base64(&file)).unwrap();
    let member = |name: &str| thim[name].as_str().unwrap();
    let text = member("vcekCert").to_owned() + member("certificateChain");
    assert_eq!(chain_failures(&text, date(2023, 6, 1)), []);
    assert_eq!(member("tcbm"), "7308000000000003");
    let report = Report::parse(&vectors::real("snp_report.bin")).unwrap();
    let error = EndorsementChain::from_pem(&text)
        .unwrap()
        .fits(&report)
        .unwrap_err();
    assert_eq!(error.check(), Some(LeafChip));
}

/// Every byte of AMD's certificates is signed, or is the signature.
#[test]
fn no_flipped_bit_of_a_real_certificate_goes_unseen() {
    let text = vectors::real_text("skr-sidecar/platform-cert-fetcher-chain.pem");
    assert_eq!(chain_failures(&text, date(2026, 1, 1)), []);
    let chain = EndorsementChain::from_pem(&text).unwrap();
    let good = chain.ders().map(<[u8]>::to_vec);
    for which in 0..good.len() {
        for at in (0..good[which].len()).step_by(7) {
            let mut changed = good.clone();
            changed[which][at] ^= 1;
            let text = changed.each_ref().map(|der| pem(der)).concat();
            let failed = chain_failures(&text, date(2026, 1, 1));
            assert_ne!(failed, [], "certificate {which}, byte {at}");
        }
    }
}
