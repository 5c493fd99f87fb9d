//! The Azure store against an independent implementation of the service, over TLS.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use blob_store::testing::conformance;
use blob_store::{AzureStore, BlobStore, BlockId, Condition, Etag, FixedToken, StoreError, Token};
use emulators::upset::{Kind, Upset};
use sidecar_http::Coded;

use fixture::{ACCOUNT, Fixture, body, token};

#[tokio::test]
async fn blobs_are_written_read_listed_and_deleted_under_their_odd_names() {
    let fixture = Fixture::new().await;
    let store = fixture.store(None);
    let names = ["a b/ü?#%25+.txt", "plain", "dir/one", "dir/two & <three>"];
    for name in names {
        let etag = store
            .put_blob(name, body(1000), &Condition::Absent)
            .await
            .unwrap();
        let info = store.head(name).await.unwrap();
        assert_eq!(
            (info.etag.clone(), info.length, info.directory),
            (etag, 1000, false)
        );
        let part = store.get_range(name, 10..30, &info.etag).await.unwrap();
        assert_eq!(part, body(1000).slice(10..30));
    }
    store.put_directory("made").await.unwrap();
    assert!(store.head("made").await.unwrap().directory);

    let all = store.list("", false, None).await.unwrap();
    let listed: Vec<_> = all.blobs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        listed,
        [
            "a b/ü?#%25+.txt",
            "dir/one",
            "dir/two & <three>",
            "made",
            "plain"
        ]
    );
    let made = all.blobs.iter().find(|(name, _)| name == "made").unwrap();
    assert!(made.1.directory && made.1.length == 0);
    let top = store.list("", true, None).await.unwrap();
    assert_eq!(top.prefixes, ["a b/", "dir/"]);

    let old = Condition::Match(Etag::new("0x0"));
    assert!(matches!(
        store.delete("plain", &old).await,
        Err(StoreError::Changed)
    ));
    store.delete("plain", &Condition::Always).await.unwrap();
    assert!(matches!(
        store.head("plain").await,
        Err(StoreError::NotFound)
    ));
    let gone = store.delete("plain", &Condition::Always).await;
    assert!(matches!(gone, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn a_prefix_is_invisible_from_inside_and_confines() {
    let mut fixture = Fixture::new().await;
    let outer = fixture.store(None);
    fixture.config.prefix = "in/side".to_owned();
    let inner = fixture.store(None);
    outer
        .put_blob("secret", body(1), &Condition::Always)
        .await
        .unwrap();
    inner
        .put_blob("x/y", body(1), &Condition::Always)
        .await
        .unwrap();
    let listed = inner.list("", false, None).await.unwrap();
    assert_eq!(listed.blobs.len(), 1);
    assert_eq!(listed.blobs[0].0, "x/y");
    assert_eq!(inner.list("", true, None).await.unwrap().prefixes, ["x/"]);
    assert!(outer.head("in/side/x/y").await.is_ok());
    assert!(matches!(
        inner.head("../../secret").await,
        Err(StoreError::Config(_))
    ));
}

#[tokio::test]
async fn commits_are_conditional_and_reads_are_pinned() {
    let fixture = Fixture::new().await;
    let store = fixture.store(None);
    let first = store
        .put_blob("a", body(100), &Condition::Absent)
        .await
        .unwrap();
    let again = store.put_blob("a", body(200), &Condition::Absent).await;
    assert!(matches!(again, Err(StoreError::Exists)));
    let ids: Vec<_> = (0..3).map(|n| BlockId::new([7; 8], n)).collect();
    for id in &ids {
        store.put_block("a", *id, body(5000)).await.unwrap();
    }
    let replace = Condition::Match(first.clone());
    let second = store.put_block_list("a", &ids, &replace).await.unwrap();
    assert_eq!(store.head("a").await.unwrap().length, 15_000);
    let late = store.put_block_list("a", &ids, &replace).await;
    assert!(matches!(late, Err(StoreError::Changed)));
    let stale = store.get_range("a", 0..10, &first).await;
    assert!(matches!(stale, Err(StoreError::Changed)));
    assert_eq!(
        store
            .get_range("a", 4990..5010, &second)
            .await
            .unwrap()
            .len(),
        20
    );
    let past = store.get_range("a", 14_990..15_010, &second).await;
    assert!(past.is_err(), "fewer bytes than asked are not an answer");

    store
        .put_block("a", BlockId::new([8; 8], 0), body(10))
        .await
        .unwrap();
    let kept = [ids[0], BlockId::new([8; 8], 0)];
    store
        .put_block_list("a", &kept, &Condition::Match(second))
        .await
        .unwrap();
    assert_eq!(store.head("a").await.unwrap().length, 5010);
    let lost = [BlockId::new([9; 8], 0)];
    let gone = store.put_block_list("a", &lost, &Condition::Always).await;
    assert!(matches!(gone, Err(StoreError::BlocksGone)));
}

#[tokio::test]
async fn a_customer_key_is_needed_for_everything_it_wrote() {
    let fixture = Fixture::new().await;
    let (mine, other, none) = (
        fixture.store(Some(1)),
        fixture.store(Some(2)),
        fixture.store(None),
    );
    let id = BlockId::new([1; 8], 0);
    mine.put_block("a", id, body(5000)).await.unwrap();
    let etag = mine
        .put_block_list("a", &[id], &Condition::Absent)
        .await
        .unwrap();
    assert_eq!(
        mine.get_range("a", 0..5000, &etag).await.unwrap(),
        body(5000)
    );
    for store in [&other, &none] {
        let read = store.get_range("a", 0..10, &etag).await;
        assert!(matches!(read, Err(StoreError::WrongKey)), "{read:?}");
        assert_eq!(read.unwrap_err().code(), "CR-BLOB-0009");
        assert!(store.head("a").await.is_err());
    }
    none.put_blob("b", body(10), &Condition::Always)
        .await
        .unwrap();
    assert!(matches!(
        mine.head("b").await,
        Err(StoreError::WrongKey | StoreError::Refused { .. })
    ));
}

#[tokio::test]
async fn a_lost_answer_to_a_commit_is_told_from_a_lost_commit() {
    let fixture = Fixture::new().await;
    let store = fixture.store(Some(1));
    for (number, kind) in [Kind::LoseAnswer, Kind::Reset, Kind::Status(503)]
        .into_iter()
        .enumerate()
    {
        let name = format!("blob{number}");
        fixture
            .world
            .upset(Upset::next("blob", kind).on("PUT").at(&name));
        let etag = store
            .put_blob(&name, body(100), &Condition::Absent)
            .await
            .unwrap();
        assert_eq!(store.head(&name).await.unwrap().etag, etag, "{kind:?}");

        let id = BlockId::new([3; 8], 0);
        store.put_block(&name, id, body(10)).await.unwrap();
        let upset = Upset::next("blob", kind).on("PUT").at("comp=blocklist");
        fixture.world.upset(upset);
        let condition = Condition::Match(etag);
        let etag = store
            .put_block_list(&name, &[id], &condition)
            .await
            .unwrap();
        assert_eq!(store.head(&name).await.unwrap().etag, etag, "{kind:?}");
    }
    // Somebody else's version is not taken for ours.
    store
        .put_blob("taken", body(1), &Condition::Always)
        .await
        .unwrap();
    fixture
        .world
        .upset(Upset::next("blob", Kind::Reset).on("PUT").at("taken"));
    let refused = store.put_blob("taken", body(2), &Condition::Absent).await;
    assert!(matches!(refused, Err(StoreError::Exists)));
}

#[tokio::test]
async fn reads_survive_short_faults_and_end_in_time_when_the_service_is_down() {
    let fixture = Fixture::new().await;
    let store = fixture.store(None);
    let etag = store
        .put_blob("a", body(100_000), &Condition::Always)
        .await
        .unwrap();
    for kind in [
        Kind::Status(503),
        Kind::Reset,
        Kind::TruncateBody,
        Kind::Status(429),
    ] {
        fixture.world.upset(Upset::next("blob", kind).on("GET"));
        let read = store.get_range("a", 0..100_000, &etag).await.unwrap();
        assert_eq!(read, body(100_000), "{kind:?}");
    }
    let before = fixture.count("GET");
    fixture
        .world
        .upset(Upset::next("blob", Kind::Status(503)).on("GET").times(100));
    let started = std::time::Instant::now();
    let down = store.get_range("a", 0..10, &etag).await.unwrap_err();
    assert_eq!(down.code(), "CR-BLOB-0013");
    let budget = fixture.config.read_budget;
    assert!((budget / 2..budget + Duration::from_secs(1)).contains(&started.elapsed()));
    assert!(fixture.count("GET") - before > 6);
}

#[tokio::test]
async fn faults_in_a_row_are_survived_for_as_long_as_the_budget_lasts() {
    let mut fixture = Fixture::new().await;
    fixture.config.read_budget = Duration::from_secs(3);
    fixture.config.write_budget = Duration::from_secs(3);
    let store = fixture.store(None);
    let upset = |method, kind| {
        let upset = Upset::next("blob", kind).on(method).times(5);
        fixture.world.upset(upset);
    };
    for kind in [Kind::Status(429), Kind::Reset] {
        upset("PUT", kind);
        let etag = store.put_blob("a", body(10), &Condition::Always).await;
        upset("GET", kind);
        let read = store.get_range("a", 0..10, &etag.unwrap()).await;
        assert_eq!(read.unwrap(), body(10), "{kind:?}");
    }
}

#[tokio::test]
async fn empty_pages_and_foreign_identities_are_handled() {
    let fixture = Fixture::new().await;
    let store = fixture.store(None);
    store
        .put_blob("a", body(1), &Condition::Always)
        .await
        .unwrap();
    let blob = &fixture.world.services().blob;
    blob.begin_listings_empty(ACCOUNT, true);
    let first = store.list("", false, None).await.unwrap();
    assert!(first.blobs.is_empty() && first.next.is_some());
    let second = store.list("", false, first.next.as_deref()).await.unwrap();
    assert_eq!(second.blobs.len(), 1);

    let mut config = fixture.config.clone();
    config.tokens = Arc::new(FixedToken(token(&fixture.world, "fabrikam").await));
    let client = test_support::https(&fixture.world).unwrap();
    let foreign = AzureStore::new(config.clone(), client.clone()).unwrap();
    assert_eq!(foreign.head("a").await.unwrap_err().code(), "CR-BLOB-0008");
    config.tokens = Arc::new(FixedToken(Token::new("forged".to_owned())));
    let forged = AzureStore::new(config, client).unwrap();
    assert_eq!(forged.head("a").await.unwrap_err().code(), "CR-BLOB-0007");
    let mut config = fixture.config.clone();
    config.container = "nothing-here".to_owned();
    let client = test_support::https(&fixture.world).unwrap();
    let missing = AzureStore::new(config, client).unwrap();
    let listed = missing.list("", false, None).await;
    assert!(matches!(listed, Err(StoreError::NoContainer)));
}

#[tokio::test]
async fn it_keeps_the_rules_of_every_store() {
    let fixture = Fixture::new().await;
    conformance::check(&fixture.store(None), 70_000).await;
    let fixture = Fixture::new().await;
    conformance::check(&fixture.store(Some(3)), 70_000).await;
}
