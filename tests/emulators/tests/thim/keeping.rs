//! What is kept: certificates, their staleness, and failures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use emulators::amd::Platform;
use emulators::upset::{Kind, Upset};
use sidecar_http::{Coded, Fault};

use crate::common::{ALL, From, NEWER, Setting, quick, report};

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_ask_once() {
    let setting = Setting::new().await;
    let updated = Platform::with_tcb(NEWER);
    setting.thim().set_host(updated);
    setting.world.upset(Upset::next("thim", Kind::Delay(200)));
    let store = setting.store(&ALL);
    let (report, context) = (
        Arc::new(report(&updated)),
        Arc::new(setting.context().await),
    );
    let askers: Vec<_> = (0..200)
        .map(|_| {
            let (store, report, context) =
                (store.clone(), Arc::clone(&report), Arc::clone(&context));
            tokio::spawn(async move { store.find(&report, &context).await })
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.await.unwrap().unwrap().tcb(), NEWER);
    }
    assert_eq!(setting.asked(), [1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_fail_once() {
    let setting = Setting::new().await;
    let unknown = Platform::of(Platform::default().product, "nobody's", NEWER);
    let store = setting.store(&ALL);
    let (report, context) = (
        Arc::new(report(&unknown)),
        Arc::new(setting.context().await),
    );
    let askers: Vec<_> = (0..200)
        .map(|_| {
            let (store, report, context) =
                (store.clone(), Arc::clone(&report), Arc::clone(&context));
            tokio::spawn(async move { store.find(&report, &context).await })
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.await.unwrap().unwrap_err().code(), "CR-SKR-0043");
    }
    assert_eq!(setting.asked(), [1, 1, 1]);
}

#[tokio::test]
async fn an_asker_who_leaves_does_not_end_the_search() {
    let setting = Setting::new().await;
    let updated = Platform::with_tcb(NEWER);
    setting.thim().set_host(updated);
    setting.world.upset(Upset::next("thim", Kind::Delay(300)));
    let store = setting.store(&ALL);
    let leaving = setting.find(&store, &updated);
    let patience = Duration::from_millis(50);
    assert!(tokio::time::timeout(patience, leaving).await.is_err());
    setting.find(&store, &updated).await.unwrap();
    assert_eq!(setting.asked(), [1, 0, 0]);
}

#[tokio::test]
async fn old_certificates_are_used_on_when_nobody_answers() {
    let setting = Setting::new().await;
    let updated = Platform::with_tcb(NEWER);
    setting.thim().set_host(updated);
    let mut timing = quick();
    timing.fresh = Duration::ZERO;
    let store = setting.store_with(&[From::Context, From::Thim, From::Kds], timing);
    setting.find(&store, &updated).await.unwrap();
    for service in ["thim", "kds"] {
        let down = Upset::next(service, Kind::Status(500)).times(100);
        setting.world.upset(down);
    }
    let source = setting.find(&store, &updated).await.unwrap();
    assert!(source.starts_with("THIM"), "{source}");
    let asked = setting.asked();
    assert!(asked[0] > 1 && asked[2] == 1, "{asked:?}");
    // And nobody is asked again for a while.
    setting.find(&store, &updated).await.unwrap();
    assert_eq!(setting.asked(), asked);
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_while_and_no_longer() {
    let setting = Setting::new().await;
    let unknown = Platform::of(Platform::default().product, "late", NEWER);
    let mut timing = quick();
    timing.first_pause = Duration::from_millis(500);
    let store = setting.store_with(&ALL, timing);
    let first = setting.find(&store, &unknown).await.unwrap_err();
    let second = setting.find(&store, &unknown).await.unwrap_err();
    assert_eq!(setting.asked(), [1, 1, 1]);
    assert_eq!(first.to_string(), second.to_string());
    for name in ["the security context", "THIM", "Azure", "AMD"] {
        assert!(first.to_string().contains(name), "{first}");
    }
    setting.thim().add_chip(&unknown);
    let end = Instant::now() + Duration::from_secs(30);
    while setting.find(&store, &unknown).await.is_err() {
        assert!(Instant::now() < end, "never asked again");
        tokio::task::yield_now().await;
    }
    assert_eq!(setting.asked(), [2, 2, 1]);
}

#[tokio::test]
async fn a_context_that_fits_again_needs_no_patience() {
    let setting = Setting::new().await;
    let platform = Platform::default();
    let path = setting.context.path().join("host-amd-cert-base64");
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    let store = setting.store(&[From::Context]);
    let error = setting.find(&store, &platform).await.unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0043");
    // Nobody will have it later.
    assert_eq!(error.fault(), Fault::Upstream { retry: false });
    std::fs::write(&path, good).unwrap();
    setting.find(&store, &platform).await.unwrap();
}
