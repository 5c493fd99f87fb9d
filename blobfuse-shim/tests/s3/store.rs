use blob_store::testing::conformance;
use blob_store::{BlobStore, BlockId, Condition, S3Credentials, StoreError};
use bytes::Bytes;
use sidecar_http::Coded;
use zeroize::Zeroizing;

use crate::server::{KEY, server};

/// The least size of a part.
const PART: usize = 5 << 20;

#[tokio::test]
async fn it_keeps_the_rules_of_every_store() {
    let server = server();
    conformance::check(&server.bucket("rules").await, PART).await;
    let mut config = server.config("rules");
    config.prefix = "in/side".to_owned();
    conformance::check(&server.store(config), PART).await;
    // Blocks below the least size of a part are joined on the way.
    conformance::check(&server.bucket("small").await, 70_000).await;
}

#[tokio::test]
async fn staged_blocks_are_invisible_and_go_with_the_commit() {
    let server = server();
    let store = server.bucket("staged").await;
    let id = |number| BlockId::new([4; 8], number);
    let body = Bytes::from(vec![7; PART]);
    for number in 0..3 {
        store
            .put_block("a", id(number), body.clone())
            .await
            .unwrap();
    }
    let raw = |page: blob_store::Page| page.blobs.into_iter().map(|(name, _)| name);
    let list = async |prefix: &str| {
        let mut config = server.config("staged");
        // Below the prefix of the store under test nothing is special to this one.
        config.prefix = prefix.to_owned();
        let other = server.store(config);
        raw(other.list("", false, None).await.unwrap()).collect::<Vec<_>>()
    };
    let staged = list(".cleanroom").await;
    assert_eq!(staged.len(), 3, "{staged:?}");
    assert_eq!(store.list("", false, None).await.unwrap().blobs, []);
    assert_eq!(store.remove_abandoned().await.unwrap(), 0, "they are young");
    let ids = [id(2), id(0)];
    let etag = store.put_block_list("a", &ids, &Condition::Absent).await;
    let etag = etag.unwrap();
    assert_eq!(list(".cleanroom").await, Vec::<String>::new());
    assert_eq!(
        list("").await,
        ["a"],
        "with what was staged and not named, too"
    );

    // Another process finds the blocks of the version in its metadata, and names them again.
    let later = server.store(server.config("staged"));
    let known = later.committed_blocks("a").await.unwrap().unwrap();
    assert_eq!(known.len(), 2);
    later
        .put_block("a", id(9), Bytes::from_static(b"end"))
        .await
        .unwrap();
    let ids = [known[1].0, id(9)];
    let over = Condition::Match(etag);
    let etag = later.put_block_list("a", &ids, &over).await.unwrap();
    let length = PART as u64 + 3;
    let end = later.get_range("a", length - 4..length, &etag).await;
    assert_eq!(end.unwrap(), &b"\x07end"[..]);
    // The first process knows of another version only.
    let ids = [id(0)];
    let gone = store.put_block_list("a", &ids, &Condition::Always).await;
    assert!(matches!(gone, Err(StoreError::BlocksGone)), "{gone:?}");
}

#[tokio::test]
async fn what_an_interrupted_process_staged_is_committed_by_the_next_one_or_known_to_be_gone() {
    let server = server();
    let id = |number| BlockId::new([6; 8], number);
    let first = server.bucket("resumed").await;
    for (number, byte) in [(0, 1), (1, 2)] {
        let body = Bytes::from(vec![byte; PART]);
        first.put_block("a", id(number), body).await.unwrap();
    }
    let next = server.store(server.config("resumed"));
    let end = Bytes::from_static(b"end");
    next.put_block("a", id(2), end).await.unwrap();
    let gone = [id(0), id(7)];
    let gone = next.put_block_list("a", &gone, &Condition::Absent).await;
    assert!(matches!(gone, Err(StoreError::BlocksGone)), "{gone:?}");
    let ids = [id(0), id(1), id(2)];
    let etag = next.put_block_list("a", &ids, &Condition::Absent).await;
    let etag = etag.unwrap();
    let length = 2 * PART as u64 + 3;
    assert_eq!(next.head("a").await.unwrap().length, length);
    let seam = PART as u64 - 1..PART as u64 + 1;
    assert_eq!(next.get_range("a", seam, &etag).await.unwrap(), &[1, 2][..]);
    let end = next.get_range("a", length - 3..length, &etag).await;
    assert_eq!(end.unwrap(), &b"end"[..]);
    let mut config = server.config("resumed");
    config.prefix = ".cleanroom".to_owned();
    let left = server.store(config).list("", false, None).await.unwrap();
    assert_eq!(left.blobs, [], "of the first process, too");
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let server = server();
    server.bucket("refusals").await;
    let missing = server.store(server.config("nothing-here"));
    let refused = missing.list("", false, None).await.unwrap_err();
    assert_eq!(refused.code(), "CR-BLOB-0003");
    for (id, secret, code) in [
        (KEY, "wrong", "CR-BLOB-0008"),
        ("nobody", "x", "CR-BLOB-0007"),
    ] {
        let mut config = server.config("refusals");
        let secret = Zeroizing::new(secret.to_owned());
        config.credentials = S3Credentials::new(id, &secret, None);
        let store = server.store(config);
        let refused = store.list("", false, None).await.unwrap_err();
        let either = [code, "CR-BLOB-0007"];
        assert!(either.contains(&refused.code()), "{id}: {refused}");
        let put = store.put_blob("a", Bytes::new(), &Condition::Always).await;
        assert!(put.is_err());
    }
}
