//! Answers that are of no use: told, and passed over for the next source.

use emulators::amd::{Platform, Product};
use emulators::thim::{Place, chain_of, thim_json};
use emulators::upset::{Kind, Upset};
use sidecar_http::{Coded, Fault};

use crate::common::{ALL, From, NEWER, Setting};

fn pem(platform: &Platform) -> Vec<u8> {
    chain_of(platform).unwrap().into_bytes()
}

#[tokio::test]
async fn only_another_tcb_is_told_with_both() {
    let setting = Setting::new().await;
    let older = Platform::with_tcb(0xda18_0000_0000_0004);
    setting.thim().set_host(older);
    let store = setting.store(&[From::Context, From::Thim]);
    let error = setting
        .find(&store, &Platform::with_tcb(NEWER))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0010", "{error}");
    let text = error.to_string();
    for tcb in ["DB18000000000004", "DA18000000000004", "DC19000000000004"] {
        assert!(text.contains(tcb), "{text}");
    }
    assert!(text.contains("THIM (http://127.0.0.1:"), "{text}");
}

#[tokio::test]
async fn bodies_of_no_use_are_passed_over_each_with_its_reason() {
    let wanted = Platform::with_tcb(NEWER);
    let other_chip = Platform::of(Product::Milan, "another chip", NEWER);
    let genoa = Platform::of(Product::Genoa, "mock chip", NEWER);
    let json = |platform: &Platform| thim_json(platform).unwrap().to_string().into_bytes();
    let mut two = chain_of(&wanted).unwrap();
    two.truncate(two.rfind("-----BEGIN").unwrap());
    let cases: [(Place, Vec<u8>, &str); 14] = [
        (Place::Thim, Vec::new(), "not THIM's JSON"),
        (Place::Thim, b"<html>".to_vec(), "not THIM's JSON"),
        (
            Place::Thim,
            br#"{"vcekCert":"x","tcbm":"0","certificateChain":""}"#.to_vec(),
            "no chain of leaf, ASK and ARK",
        ),
        (
            Place::Thim,
            br#"{"vcekCert":1,"tcbm":"0","certificateChain":""}"#.to_vec(),
            "not THIM's JSON",
        ),
        (Place::Thim, vec![b' '; 1 << 20], "exceeds"),
        (Place::Thim, json(&other_chip), "another chip"),
        (
            Place::AzureCache,
            Vec::new(),
            "no chain of leaf, ASK and ARK",
        ),
        (Place::AzureCache, vec![0xff; 100], "not PEM text"),
        (Place::AzureCache, pem(&other_chip), "another chip"),
        (
            Place::AzureCache,
            pem(&Platform::default()),
            "DB18000000000004",
        ),
        (
            Place::AzureCache,
            two.into_bytes(),
            "no chain of leaf, ASK and ARK",
        ),
        (Place::AzureCache, vec![b'x'; 1 << 20], "exceeds"),
        (
            Place::Kds,
            vec![0x30; 3000],
            "no chain of leaf, ASK and ARK",
        ),
        (Place::Kds, pem(&genoa), "no chain of leaf, ASK and ARK"),
    ];
    let setting = Setting::new().await;
    for (place, body, reason) in cases {
        setting.thim().answer_instead(place, Some(body));
        let from = match place {
            Place::Thim => From::Thim,
            Place::AzureCache => From::Azure,
            Place::Kds => From::Kds,
        };
        let alone = setting.store(&[from]);
        let error = setting.find(&alone, &wanted).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{place:?}: {error}");
        assert!(
            ["CR-SKR-0043", "CR-SKR-0010"].contains(&error.code()),
            "{error}"
        );
        // Another source has it.
        let next = if place == Place::Kds {
            From::Azure
        } else {
            From::Kds
        };
        let store = setting.store(&[from, next]);
        setting.find(&store, &wanted).await.unwrap();
        setting.thim().answer_instead(place, None);
    }
}

#[tokio::test]
async fn a_chip_of_another_product_is_not_found() {
    let setting = Setting::new().await;
    let genoa = Platform::of(Product::Genoa, "another chip", NEWER);
    setting.thim().add_chip(&genoa);
    let claimed = Platform {
        product: Product::Milan,
        ..genoa
    };
    let store = setting.store(&[From::Kds]);
    let error = setting.find(&store, &claimed).await.unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0043");
    assert!(error.to_string().contains("asked for Milan"), "{error}");
}

#[tokio::test]
async fn transports_that_break_are_passed_over() {
    let updated = Platform::with_tcb(NEWER);
    let setting = Setting::new().await;
    setting.thim().set_host(updated);
    for kind in [
        Kind::Reset,
        Kind::LoseAnswer,
        Kind::TruncateBody,
        Kind::Status(503),
        Kind::Status(302),
        Kind::Status(404),
    ] {
        setting.world.upsets().calm();
        for service in ["thim", "acccache"] {
            setting.world.upset(Upset::next(service, kind).times(100));
        }
        let store = setting.store(&ALL);
        let source = setting.find(&store, &updated).await.unwrap();
        assert!(source.starts_with("AMD"), "{kind:?}: {source}");
    }
}

#[tokio::test]
async fn a_moment_of_trouble_is_waited_out_at_thim_and_azure() {
    let setting = Setting::new().await;
    let updated = Platform::with_tcb(NEWER);
    setting
        .world
        .upset(Upset::next("thim", Kind::Status(503)).times(2));
    setting.world.upset(Upset::next("acccache", Kind::Reset));
    let store = setting.store(&ALL);
    let source = setting.find(&store, &updated).await.unwrap();
    assert!(source.contains("Azure"), "{source}");
    assert_eq!(setting.asked(), [3, 2, 0]);
}

#[tokio::test]
async fn whether_asking_later_may_help_is_told() {
    let setting = Setting::new().await;
    for (kind, retry) in [(Kind::Status(500), true), (Kind::Status(403), false)] {
        setting.world.upset(Upset::next("kds", kind));
        let store = setting.store(&[From::Kds]);
        let error = setting
            .find(&store, &Platform::default())
            .await
            .unwrap_err();
        assert_eq!(error.fault(), Fault::Upstream { retry }, "{error}");
    }
}
