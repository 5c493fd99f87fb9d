//! Conditions and leases.

use crate::server::{Azurite, body};
use blob_store::{BlobStore, BlockId, Condition, Etag, StoreError};
use bytes::Bytes;
use http::{Method, StatusCode};

#[tokio::test]
async fn a_condition_that_does_not_hold_changes_nothing() {
    let azurite = Azurite::start();
    let store = azurite.container("conditions").await;
    let id = BlockId::new([1; 8], 0);
    let never = Condition::Match(Etag::new("\"0x8D0000000000000\""));

    // Where nothing is, no version matches.
    let missing = store.put_blob("a", body(1, 0), &never).await;
    assert!(matches!(missing, Err(StoreError::Changed)), "{missing:?}");
    // Another name than below: to Put Blob of Azurite, not of Azure, a blob of staged blocks alone exists.
    store.put_block("staged", id, body(5, 5)).await.unwrap();
    let missing = store.put_block_list("staged", &[id], &never).await;
    assert!(matches!(missing, Err(StoreError::Changed)), "{missing:?}");
    let head = store.head("staged").await;
    assert!(matches!(head, Err(StoreError::NotFound)), "{head:?}");
    let missing = store.delete("b", &Condition::Always).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
    let missing = store.delete("b", &never).await;
    assert!(
        matches!(missing, Err(StoreError::NotFound | StoreError::Changed)),
        "{missing:?}"
    );

    let first = store
        .put_blob("a", body(10, 1), &Condition::Absent)
        .await
        .unwrap();
    store.put_block("a", id, body(5, 5)).await.unwrap();
    for (condition, taken) in [(&Condition::Absent, true), (&never, false)] {
        for outcome in [
            store.put_blob("a", body(11, 2), condition).await,
            store.put_block_list("a", &[id], condition).await,
        ] {
            match outcome {
                Err(StoreError::Exists) => assert!(taken),
                Err(StoreError::Changed) => assert!(!taken),
                other => panic!("{condition:?}: {other:?}"),
            }
        }
    }
    let refused = store.delete("a", &never).await;
    assert!(matches!(refused, Err(StoreError::Changed)), "{refused:?}");
    assert_eq!(store.head("a").await.unwrap().etag, first);
    assert_eq!(azurite.stored("conditions/a").await, body(10, 1));

    // The refused commits left the staged block where it was.
    let second = store
        .put_block_list("a", &[id], &Condition::Match(first.clone()))
        .await
        .unwrap();
    assert_eq!(azurite.stored("conditions/a").await, body(5, 5));
    for late in [
        store
            .put_blob("a", body(12, 3), &Condition::Match(first.clone()))
            .await
            .map(drop),
        store
            .put_block_list("a", &[id], &Condition::Match(first.clone()))
            .await
            .map(drop),
        store.delete("a", &Condition::Match(first)).await,
    ] {
        assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
    }
    let third = store
        .put_blob("a", body(12, 3), &Condition::Match(second))
        .await
        .unwrap();
    store
        .put_blob("a", body(13, 4), &Condition::Always)
        .await
        .unwrap();
    assert!(matches!(
        store.delete("a", &Condition::Match(third)).await,
        Err(StoreError::Changed)
    ));

    // Somebody's lease is neither a changed version nor a missing right.
    let path = "conditions/a?comp=lease";
    let lease = [
        ("x-ms-lease-action", "acquire"),
        ("x-ms-lease-duration", "-1"),
    ];
    let leased = azurite.raw(Method::PUT, path, &lease, Bytes::new()).await;
    assert_eq!(leased.status, StatusCode::CREATED);
    let put = store.put_blob("a", body(1, 1), &Condition::Always).await;
    assert!(matches!(put, Err(StoreError::Leased)), "{put:?}");
    let delete = store.delete("a", &Condition::Always).await;
    assert!(matches!(delete, Err(StoreError::Leased)), "{delete:?}");
    let end = [
        ("x-ms-lease-action", "break"),
        ("x-ms-lease-break-period", "0"),
    ];
    let broken = azurite.raw(Method::PUT, path, &end, Bytes::new()).await;
    assert_eq!(broken.status, StatusCode::ACCEPTED);
    let etag = store.head("a").await.unwrap().etag;
    store.delete("a", &Condition::Match(etag)).await.unwrap();
    assert!(matches!(store.head("a").await, Err(StoreError::NotFound)));
}
