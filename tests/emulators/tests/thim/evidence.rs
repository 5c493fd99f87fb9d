//! Evidence while the platform changes under the group.

use std::collections::VecDeque;
use std::sync::Mutex;

use attestation::{AttestError, Attester, Evidence, Report, RuntimeData, Verifier};
use emulators::amd::{Platform, Product, issue_report_on, mint_authorities, verify_report};
use sha2::{Digest, Sha256};
use sidecar_http::Coded;
use snp::{Roots, UvmRoots};

use crate::common::{ALL, From, NEWER, POLICY, Setting};

/// A guest that is on one platform after the other, and stays on the last.
struct Guest(Mutex<VecDeque<Platform>>);

impl Guest {
    fn on(platforms: &[Platform]) -> Self {
        Self(Mutex::new(platforms.iter().copied().collect()))
    }
}

impl Attester for Guest {
    async fn report(&self, report_data: [u8; 64]) -> Result<Report, AttestError> {
        let platform = {
            let mut platforms = self.0.lock().unwrap();
            let platform = platforms[0];
            if platforms.len() > 1 {
                platforms.pop_front();
            }
            platform
        };
        let host_data = Sha256::digest(POLICY).into();
        let report = issue_report_on(&platform, &host_data, &report_data).unwrap();
        Ok(Report::parse(&report)?)
    }
}

/// Of the test root under a product's name.
fn verifier(product: Product) -> Verifier {
    let authorities = mint_authorities(product).unwrap();
    let root = authorities.rfind("-----BEGIN").unwrap();
    let issuer = include_str!("../../../vectors/attestation-mock/uvm-did.txt");
    Verifier::with_roots(
        Roots::from_pem(&authorities[root..]).unwrap(),
        UvmRoots::custom(issuer.trim(), "ContainerPlat-AMD-UVM", 100).unwrap(),
    )
}

fn runtime() -> RuntimeData {
    RuntimeData::new(*b"{}")
}

#[tokio::test]
async fn a_group_whose_host_was_updated_has_evidence_that_verifies() {
    let setting = Setting::new().await;
    let updated = Platform::with_tcb(NEWER);
    setting.thim().set_host(updated);
    let (store, context) = (setting.store(&ALL), setting.context().await);
    let (guest, verifier) = (Guest::on(&[updated]), verifier(Product::Milan));
    let evidence = Evidence::collect(&guest, &context, &store, &verifier, &runtime())
        .await
        .unwrap();
    assert_eq!(evidence.endorsed_tcb, "DC19000000000004");
    // The judge of the world knows one encoding of the root.
    let end = evidence.endorsements_pem.rfind("-----BEGIN").unwrap();
    let chain = format!(
        "{}{}",
        &evidence.endorsements_pem[..end],
        emulators::amd::ark_pem()
    );
    verify_report(evidence.report.as_bytes(), &chain).unwrap();
}

#[tokio::test]
async fn a_group_that_was_moved_meanwhile_gives_a_report_of_where_it_is_now() {
    let setting = Setting::new().await;
    let before = Platform::of(Product::Milan, "the host before", NEWER);
    // Not older than the shipped minimum of Genoa.
    let after = Platform::of(Product::Genoa, "the host after", 0x5517_0000_0000_000a);
    setting.thim().set_host(after);
    let (store, context) = (setting.store(&ALL), setting.context().await);
    let guest = Guest::on(&[before, after]);
    let verifier = verifier(Product::Genoa);
    let evidence = Evidence::collect(&guest, &context, &store, &verifier, &runtime())
        .await
        .unwrap();
    assert_eq!(evidence.report.chip_id(), &after.chip_id);
}

#[tokio::test]
async fn a_platform_that_stays_unknown_is_told_and_nobody_asked_twice() {
    let setting = Setting::new().await;
    let unknown = Platform::of(Product::Milan, "nobody's", NEWER);
    let (store, context) = (setting.store(&ALL), setting.context().await);
    let guest = Guest::on(&[unknown]);
    let verifier = verifier(Product::Milan);
    let error = Evidence::collect(&guest, &context, &store, &verifier, &runtime())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0043");
    assert_eq!(setting.asked(), [1, 1, 1]);
}

#[tokio::test]
async fn another_tcb_everywhere_is_told_with_both() {
    let setting = Setting::new().await;
    let store = setting.store(&[From::Context, From::Thim]);
    let context = setting.context().await;
    let guest = Guest::on(&[Platform::with_tcb(NEWER)]);
    let verifier = verifier(Product::Milan);
    let error = Evidence::collect(&guest, &context, &store, &verifier, &runtime())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0010");
    let text = error.to_string();
    assert!(
        text.contains("DB18000000000004") && text.contains("DC19000000000004"),
        "{text}"
    );
}

#[tokio::test]
async fn without_an_endorsement_of_the_utility_vm_nobody_is_asked_for_certificates() {
    let setting = Setting::new().await;
    std::fs::remove_file(setting.context.path().join("reference-info-base64")).unwrap();
    let (store, context) = (setting.store(&ALL), setting.context().await);
    let guest = Guest::on(&[Platform::with_tcb(NEWER)]);
    let verifier = verifier(Product::Milan);
    let error = Evidence::collect(&guest, &context, &store, &verifier, &runtime())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0006");
    assert_eq!(setting.asked(), [0, 0, 0]);
}
