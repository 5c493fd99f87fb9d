//! The Azure store over an account with hierarchical names.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

mod fixture;

use blob_store::testing::{MemoryStore, conformance};
use blob_store::{BlobStore, Condition, StoreError};
use emulators::upset::{Kind, Upset};
use sidecar_http::Coded;

use fixture::{ACCOUNT, Fixture, body};

#[tokio::test]
async fn every_kind_of_store_keeps_the_rules() {
    conformance::check(&MemoryStore::default(), 70_000).await;
    conformance::check(&MemoryStore::default().hierarchical(), 70_000).await;
    let fixture = Fixture::of(true).await;
    conformance::check(&fixture.store(None), 70_000).await;
}

#[tokio::test]
async fn under_a_customer_key_too() {
    let fixture = Fixture::of(true).await;
    conformance::check(&fixture.store(Some(7)), 70_000).await;
    let store = fixture.store(Some(7));
    store.put_directory("d").await.unwrap();
    store
        .put_blob("f", body(9), &Condition::Absent)
        .await
        .unwrap();
    let other = fixture.store(Some(8));
    assert!(other.head("d").await.unwrap().directory);
    assert!(matches!(other.head("f").await, Err(StoreError::WrongKey)));
}

#[tokio::test]
async fn the_kind_of_an_account_is_asked_and_never_guessed() {
    for hierarchical in [true, false] {
        let fixture = Fixture::of(hierarchical).await;
        let store = fixture.store(None);
        assert_eq!(store.is_hierarchical().await.unwrap(), hierarchical);
        for (kind, code) in [
            (Kind::Status(400), "CR-BLOB-0012"),
            (Kind::Status(403), "CR-BLOB-0008"),
            (Kind::Status(404), "CR-BLOB-0002"),
        ] {
            let upset = Upset::next("blob", kind).at("include=permissions");
            fixture.world.upset(upset);
            let refused = store.is_hierarchical().await.unwrap_err();
            assert_eq!(refused.code(), code);
        }
    }
}

#[tokio::test]
async fn lost_answers_are_told_from_lost_requests() {
    let fixture = Fixture::of(true).await;
    let store = fixture.store(None);
    let absent = &Condition::Absent;
    for (number, kind) in [Kind::LoseAnswer, Kind::Reset, Kind::Status(503)]
        .into_iter()
        .enumerate()
    {
        let (from, to, dir) = (
            format!("from{number}"),
            format!("to{number}"),
            format!("dir{number}"),
        );
        let etag = store.put_blob(&from, body(10), absent).await.unwrap();
        let upset = |text: &str| Upset::next("dfs", kind).on("PUT").at(text);
        fixture.world.upset(upset(&to));
        let is = Condition::Match(etag);
        let moved = store.rename(&from, &to, &is, absent).await.unwrap();
        let moved = moved.unwrap();
        assert_eq!(store.head(&to).await.unwrap().etag, moved, "{kind:?}");
        fixture.world.upset(upset(&dir));
        store.put_directory(&dir).await.unwrap();
        // A rename of a directory, whose content has no token.
        fixture.world.upset(upset(&format!("moved-{dir}")));
        let always = &Condition::Always;
        let moved = format!("moved-{dir}");
        store.rename(&dir, &moved, always, always).await.unwrap();
        assert!(store.head(&moved).await.unwrap().directory, "{kind:?}");
    }
    // Somebody else's file is not taken for ours.
    store.put_blob("a", body(10), absent).await.unwrap();
    store.put_blob("b", body(10), absent).await.unwrap();
    fixture
        .world
        .upset(Upset::next("dfs", Kind::Reset).on("PUT").at("/b?"));
    let refused = store.rename("a", "b", &Condition::Always, absent).await;
    assert!(matches!(refused, Err(StoreError::Exists)), "{refused:?}");
    assert!(store.head("a").await.is_ok());
}

#[tokio::test]
async fn a_directory_that_takes_several_requests_is_followed_to_its_end() {
    let mut fixture = Fixture::of(true).await;
    fixture.config.prefix = "in/side dir".to_owned();
    let store = fixture.store(None);
    store.put_directory("ä b").await.unwrap();
    for number in 0..7 {
        let name = format!("ä b/{number} %2f");
        store
            .put_blob(&name, body(1), &Condition::Absent)
            .await
            .unwrap();
    }
    let blob = &fixture.world.services().blob;
    blob.rename_in_pages(ACCOUNT, 2);
    let always = &Condition::Always;
    store.rename("ä b", "c", always, always).await.unwrap();
    assert_eq!(blob.names(ACCOUNT, "data").len(), 2 + 1 + 7);
    let listed = store.list("", false, None).await.unwrap();
    let names: Vec<_> = listed.blobs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["c", "c/0 %2f"]);
    assert_eq!(names.len(), 8);
    let puts = fixture.world.requests("dfs");
    let puts = puts.iter().filter(|one| one.path.contains("mode=posix"));
    assert_eq!(puts.count(), 4);
}
