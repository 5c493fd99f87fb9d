//! Who is asked, in which order, for which report.

use emulators::amd::{Platform, Product};
use emulators::thim::Place;

use crate::common::{ALL, From, NEWER, Setting};

#[tokio::test]
async fn certificates_of_the_context_that_fit_are_used_without_asking_anybody() {
    let setting = Setting::new().await;
    let store = setting.store(&ALL);
    let source = setting.find(&store, &Platform::default()).await.unwrap();
    assert_eq!(source, "the security context");
    assert_eq!(setting.asked(), [0, 0, 0]);
}

#[tokio::test]
async fn after_an_update_of_the_host_thim_has_the_new_certificate_and_is_asked_once() {
    let setting = Setting::new().await;
    let store = setting.store(&ALL);
    setting.find(&store, &Platform::default()).await.unwrap();
    let updated = Platform::with_tcb(NEWER);
    setting.thim().set_host(updated);
    for _ in 0..3 {
        let source = setting.find(&store, &updated).await.unwrap();
        assert!(source.starts_with("THIM"), "{source}");
    }
    assert_eq!(setting.asked(), [1, 0, 0]);
    // Reports of before the update still have theirs.
    let source = setting.find(&store, &Platform::default()).await.unwrap();
    assert_eq!(source, "the security context");
}

#[tokio::test]
async fn where_the_host_lags_the_azure_cache_has_it() {
    let setting = Setting::new().await;
    let store = setting.store(&ALL);
    let source = setting
        .find(&store, &Platform::with_tcb(NEWER))
        .await
        .unwrap();
    assert!(source.contains("Azure"), "{source}");
    assert_eq!(setting.asked(), [1, 1, 0]);
    let path = &setting.world.requests("acccache")[0].path;
    assert!(path.contains("/dc19000000000004?"), "{path}");
    // No leading zeros there.
    let source = setting
        .find(&store, &Platform::with_tcb(0x0919_0000_0000_0004))
        .await;
    assert!(source.unwrap().contains("Azure"));
    let path = &setting.world.requests("acccache")[1].path;
    assert!(path.contains("/919000000000004?"), "{path}");
}

#[tokio::test]
async fn amd_is_asked_last_and_for_the_product_of_the_report() {
    let setting = Setting::new().await;
    let store = setting.store(&[From::Context, From::Thim, From::Kds]);
    for (product, tcb, query) in [
        (
            Product::Milan,
            0xdb18_0000_0000_0004,
            "blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219",
        ),
        (
            Product::Genoa,
            0x5417_0000_0000_0109,
            "blSPL=9&teeSPL=1&snpSPL=23&ucodeSPL=84",
        ),
        (
            Product::Turin,
            0xc800_0000_0301_0201,
            "fmcSPL=1&blSPL=2&teeSPL=1&snpSPL=3&ucodeSPL=200",
        ),
    ] {
        let platform = Platform::of(product, "another chip", tcb);
        setting.thim().add_chip(&platform);
        let source = setting.find(&store, &platform).await.unwrap();
        assert!(source.starts_with("AMD"), "{source}");
        let name = product.name();
        let requests = setting.world.requests("kds");
        let [.., vcek, chain] = requests.as_slice() else {
            panic!("{requests:?}");
        };
        assert!(
            vcek.path.starts_with(&format!("/vcek/v1/{name}/")),
            "{}",
            vcek.path
        );
        assert!(vcek.path.ends_with(&format!("?{query}")), "{}", vcek.path);
        assert_eq!(chain.path, format!("/vcek/v1/{name}/cert_chain"));
    }
    assert_eq!(setting.asked(), [3, 0, 6]);
}

#[tokio::test]
async fn the_authorities_of_a_product_are_fetched_once() {
    let setting = Setting::new().await;
    let store = setting.store(&[From::Kds]);
    for tcb in [NEWER, NEWER + 1, NEWER + 2] {
        setting
            .find(&store, &Platform::with_tcb(tcb))
            .await
            .unwrap();
    }
    assert_eq!(setting.asked(), [0, 0, 4]);
}

#[tokio::test]
async fn a_report_that_names_no_product_is_looked_for_under_those_that_it_may_be_of() {
    let setting = Setting::new().await;
    let mut genoa = Platform::of(Product::Genoa, "another chip", 0x5417_0000_0000_0109);
    genoa.report_version = 2;
    setting.thim().add_chip(&genoa);
    let store = setting.store(&[From::Context, From::Kds]);
    setting.find(&store, &genoa).await.unwrap();
    let requests = setting.world.requests("kds");
    let products: Vec<_> = requests
        .iter()
        .map(|request| (request.path.split('/').nth(3).unwrap(), request.status))
        .collect();
    assert_eq!(products, [("Milan", 404), ("Genoa", 200), ("Genoa", 200)]);
}

#[tokio::test]
async fn the_chips_own_certificates_tell_the_product_that_the_report_does_not() {
    let setting = Setting::new().await;
    let mut genoa = Platform::of(Product::Genoa, "another chip", 0x5417_0000_0000_0109);
    genoa.report_version = 2;
    setting.thim().set_host(genoa);
    genoa.tcb += 1;
    // THIM has this chip under another TCB.
    let store = setting.store(&[From::Context, From::Thim, From::Kds]);
    setting.find(&store, &genoa).await.unwrap();
    assert!(setting.world.requests("kds")[0].path.contains("/Genoa/"));
}

#[tokio::test]
async fn the_order_is_the_configurations() {
    let setting = Setting::new().await;
    let store = setting.store(&[From::Kds, From::Context]);
    let source = setting.find(&store, &Platform::default()).await.unwrap();
    assert!(source.starts_with("AMD"), "{source}");
    setting.thim().answer_instead(Place::Kds, Some(Vec::new()));
    let store = setting.store(&[From::Kds, From::Context]);
    let source = setting.find(&store, &Platform::default()).await.unwrap();
    assert_eq!(source, "the security context");
}

#[tokio::test]
async fn nobody_but_the_host_is_asked_for_a_report_that_names_no_chip() {
    let setting = Setting::new().await;
    let store = setting.store(&ALL);
    let masked = Platform {
        chip_id: [0; 64],
        ..Platform::default()
    };
    let error = setting.find(&store, &masked).await.unwrap_err().to_string();
    assert_eq!(error.matches("names no chip").count(), 2, "{error}");
    assert_eq!(setting.asked(), [1, 0, 0]);
}
