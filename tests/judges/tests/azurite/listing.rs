//! Listings.

use crate::server::{Azurite, body};
use blob_store::{BlobStore, Condition, StoreError};

#[tokio::test]
async fn a_listing_is_whole_over_pages_prefixes_and_directories() {
    const MANY: usize = 5003;
    let azurite = Azurite::start();
    let outer = azurite.container("lists").await;
    let mut config = azurite.config("lists");
    config.prefix = "in/side".to_owned();
    let store = azurite.store(config);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in (worker..MANY).step_by(8) {
                let name = format!("many/{number:05}");
                store
                    .put_blob(&name, body(number % 7, 0), &Condition::Always)
                    .await
                    .unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for name in ["many-not", "top", "a b/é%/x"] {
        store
            .put_blob(name, body(1, 0), &Condition::Always)
            .await
            .unwrap();
    }
    outer
        .put_blob("in/sideways", body(1, 0), &Condition::Always)
        .await
        .unwrap();
    outer
        .put_blob("secret", body(1, 0), &Condition::Always)
        .await
        .unwrap();

    let (mut seen, mut from, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list("many/", false, from.as_deref()).await.unwrap();
        assert!(page.blobs.len() <= 5000 && page.prefixes.is_empty());
        seen.extend(
            page.blobs
                .into_iter()
                .map(|(name, info)| (name, info.length)),
        );
        pages += 1;
        from = page.next;
        if from.is_none() || pages > 5 {
            break;
        }
    }
    let wanted: Vec<_> = (0..MANY)
        .map(|n| (format!("many/{n:05}"), n as u64 % 7))
        .collect();
    assert_eq!(pages, 2);
    assert!(seen == wanted, "{} blobs", seen.len());

    let top = store.list("", true, None).await.unwrap();
    assert_eq!(top.prefixes, ["a b/", "many/"]);
    let files: Vec<_> = top.blobs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((files, top.next), (vec!["many-not", "top"], None));
    let deep = store.list("a b/", true, None).await.unwrap();
    assert_eq!(
        (deep.prefixes, deep.blobs.len()),
        (vec!["a b/é%/".to_owned()], 0)
    );
    let deep = store.list("a b/é%/", true, None).await.unwrap();
    assert_eq!(
        (deep.prefixes.len(), deep.blobs[0].0.as_str()),
        (0, "a b/é%/x")
    );
    let none = store.list("nothing", false, None).await.unwrap();
    assert!(none.blobs.is_empty() && none.prefixes.is_empty() && none.next.is_none());
    let all = outer.list("", true, None).await.unwrap();
    assert_eq!(
        (all.prefixes, all.blobs[0].0.as_str()),
        (vec!["in/".to_owned()], "secret")
    );
    assert!(matches!(
        store.head("../../secret").await,
        Err(StoreError::Config(_))
    ));

    let missing = azurite.store(azurite.config("nothing-here"));
    let listed = missing.list("", false, None).await;
    assert!(matches!(listed, Err(StoreError::NoContainer)), "{listed:?}");
    let put = missing.put_blob("a", body(1, 0), &Condition::Always).await;
    assert!(matches!(put, Err(StoreError::NoContainer)), "{put:?}");
    let head = missing.head("a").await;
    assert!(matches!(head, Err(StoreError::NoContainer)), "{head:?}");
}
