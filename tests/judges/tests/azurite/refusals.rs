//! Tokens and keys that are not taken.

use crate::server::{Azurite, HOUR, STORAGE, body, token};
use blob_store::{
    BlobStore, BlockId, CachedTokens, Condition, CustomerKey, Etag, FixedToken, StoreError, Token,
};
use cleanroom_crypto::Dek;
use sidecar_http::Coded;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_renewed_one_taken() {
    let azurite = Azurite::start();
    azurite
        .container("tokens")
        .await
        .put_blob("a", body(10, 0), &Condition::Absent)
        .await
        .unwrap();
    let with = |token: Token| {
        let mut config = azurite.config("tokens");
        config.tokens = Arc::new(FixedToken(token));
        azurite.store(config)
    };
    assert_eq!(
        with(token(STORAGE, 0, HOUR))
            .head("a")
            .await
            .unwrap()
            .length,
        10
    );
    for (why, wrong) in [
        (
            "of another audience",
            token("https://vault.azure.net", 0, HOUR),
        ),
        ("expired", token(STORAGE, -7200, HOUR)),
        ("of the future", token(STORAGE, 7200, HOUR)),
        ("no token", Token::new("forged".to_owned())),
    ] {
        let store = with(wrong);
        let id = BlockId::new([1; 8], 0);
        for outcome in [
            store.head("a").await.map(drop),
            store.get_range("a", 0..1, &Etag::new("x")).await.map(drop),
            store
                .put_blob("a", body(1, 0), &Condition::Always)
                .await
                .map(drop),
            store.put_block("a", id, body(1, 0)).await,
            store
                .put_block_list("a", &[], &Condition::Always)
                .await
                .map(drop),
            store.list("", false, None).await.map(drop),
            store.delete("a", &Condition::Always).await,
            store.create_container().await.map(drop),
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.code(), "CR-BLOB-0007", "{why}: {error}");
        }
    }
    assert_eq!(azurite.stored("tokens/a").await, body(10, 0));

    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let mut config = azurite.config("tokens");
    config.tokens = Arc::new(CachedTokens::new(move || {
        // Expired at first although it was said to live for an hour.
        let start = if count.fetch_add(1, Ordering::SeqCst) == 0 {
            -7200
        } else {
            0
        };
        Box::pin(async move { Ok((token(STORAGE, start, HOUR), Duration::from_secs(HOUR))) })
    }));
    let store = azurite.store(config);
    assert_eq!(store.head("a").await.unwrap().length, 10);
    assert_eq!(store.head("a").await.unwrap().length, 10);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_service_that_ignores_the_customers_key_is_found_out() {
    let azurite = Azurite::start();
    let plain = azurite.container("keys").await;
    let etag = plain
        .put_blob("a", body(10, 0), &Condition::Absent)
        .await
        .unwrap();
    let mut config = azurite.config("keys");
    config.key = Some(Arc::new(CustomerKey::new(
        &Dek::from_slice(&[1; 32]).unwrap(),
    )));
    let keyed = azurite.store(config);
    for outcome in [
        keyed
            .put_blob("b", body(10, 0), &Condition::Absent)
            .await
            .map(drop),
        keyed
            .put_block("b", BlockId::new([1; 8], 0), body(1, 0))
            .await,
        keyed.head("a").await.map(drop),
        keyed.get_range("a", 0..10, &etag).await.map(drop),
    ] {
        assert!(
            matches!(outcome, Err(StoreError::KeyNotUsed)),
            "{outcome:?}"
        );
    }
    assert_eq!(
        plain.get_range("a", 0..10, &etag).await.unwrap(),
        body(10, 0)
    );
}
