//! AMD's limits, and its lists of revoked keys.

use std::time::{Duration, Instant};

use attestation::Product;
use emulators::amd::Platform;
use emulators::upset::{Kind, Upset};
use sidecar_http::{Coded, Fault};

use crate::common::{From, NEWER, Setting, quick};

#[tokio::test]
async fn requests_keep_their_distance() {
    let setting = Setting::new().await;
    let mut timing = quick();
    timing.kds_interval = Duration::from_millis(400);
    let store = setting.store_with(&[From::Kds], timing);
    let started = Instant::now();
    setting.find(&store, &Platform::default()).await.unwrap();
    // Leaf and authorities.
    assert_eq!(setting.asked(), [0, 0, 2]);
    assert!(started.elapsed() >= Duration::from_millis(400));
    store.crl(Product::Milan).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(800));
}

#[tokio::test]
async fn a_distance_longer_than_the_deadline_is_not_waited_for() {
    let setting = Setting::new().await;
    let mut timing = quick();
    timing.kds_interval = Duration::from_secs(3600);
    timing.kds_deadline = Duration::from_secs(2);
    let store = setting.store_with(&[From::Kds], timing);
    let started = Instant::now();
    let error = setting
        .find(&store, &Platform::default())
        .await
        .unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(
        error.to_string().contains("the next request may go in"),
        "{error}"
    );
    assert_eq!(error.fault(), Fault::Upstream { retry: true });
}

#[tokio::test]
async fn retry_after_is_believed() {
    let setting = Setting::new().await;
    for kind in [
        Kind::Throttle(120),
        Kind::ThrottleUntil(120),
        Kind::Status(429),
    ] {
        let before = setting.asked()[2];
        setting.world.upset(Upset::next("kds", kind));
        let mut timing = quick();
        timing.kds_deadline = Duration::from_secs(10);
        let store = setting.store_with(&[From::Kds], timing);
        let error = setting
            .find(&store, &Platform::default())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "CR-SKR-0043");
        assert!(error.to_string().contains("429"), "{error}");
        assert_eq!(error.fault(), Fault::Upstream { retry: true });
        // Other questions are held back as well, without a request.
        let error = setting
            .find(&store, &Platform::with_tcb(NEWER))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("not asked"), "{error}");
        let error = store.crl(Product::Milan).await.unwrap_err();
        assert!(error.to_string().contains("not asked"), "{error}");
        assert_eq!(setting.asked()[2] - before, 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_short_retry_after_is_waited_out_by_the_next_question() {
    let setting = Setting::new().await;
    setting.world.upset(Upset::next("kds", Kind::Throttle(1)));
    let store = setting.store(&[From::Kds]);
    let started = Instant::now();
    setting
        .find(&store, &Platform::default())
        .await
        .unwrap_err();
    setting
        .find(&store, &Platform::with_tcb(NEWER))
        .await
        .unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn lists_of_revoked_keys_are_fetched_once_and_kept() {
    let setting = Setting::new().await;
    let store = setting.store(&[From::Context, From::Kds]);
    for _ in 0..3 {
        let list = store.crl(Product::Genoa).await.unwrap();
        assert_eq!(list[0], 0x30);
    }
    assert_eq!(setting.world.requests("kds")[0].path, "/vcek/v1/Genoa/crl");
    assert_eq!(setting.asked(), [0, 0, 1]);
}

#[tokio::test]
async fn without_amd_among_the_sources_there_is_no_list() {
    let setting = Setting::new().await;
    let store = setting.store(&[From::Context, From::Thim]);
    let error = store.crl(Product::Milan).await.unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0044");
    assert_eq!(error.fault(), Fault::Upstream { retry: false });
    assert_eq!(setting.asked(), [0, 0, 0]);
}
