//! Names, ranges, empty blobs, blocks.

use crate::server::{Azurite, body};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blob_store::{BlobStore, BlockId, Condition, StoreError};
use bytes::Bytes;
use std::time::Duration;

#[tokio::test]
async fn blobs_of_every_name_keep_their_bytes() {
    let azurite = Azurite::start();
    let store = azurite.container("names").await;
    assert!(!store.create_container().await.unwrap(), "made only once");
    // Name, and its form on the wire for the plain look.
    let names = [
        ("plain", "plain"),
        ("a b/ü?#%25+.txt", "a%20b/%C3%BC%3F%23%2525%2B.txt"),
        ("100%", "100%25"),
        ("%2e%2e/%00", "%252e%252e/%2500"),
        (
            " lead & <tag> \"q\" 'a'",
            "%20lead%20%26%20%3Ctag%3E%20%22q%22%20%27a%27",
        ),
        (
            "日本/😀=;:@,$!*()[]",
            "%E6%97%A5%E6%9C%AC/%F0%9F%98%80%3D%3B%3A%40%2C%24%21%2A%28%29%5B%5D",
        ),
        // The same letter to the eye, two blobs to the service.
        ("caf\u{e9}", "caf%C3%A9"),
        ("cafe\u{301}", "cafe%CC%81"),
    ];
    for (number, (name, wire)) in names.iter().enumerate() {
        let seed = u32::try_from(number * 5000).unwrap();
        let etag = store
            .put_blob(name, body(4099, seed), &Condition::Absent)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let info = store.head(name).await.unwrap();
        assert_eq!(
            (&info.etag, info.length, info.directory),
            (&etag, 4099, false)
        );
        assert!(info.modified.elapsed().unwrap_or_default() < Duration::from_secs(60));
        assert!(
            azurite.stored(&format!("names/{wire}")).await == body(4099, seed),
            "{name}"
        );
    }
    for (number, (name, _)) in names.iter().enumerate() {
        let seed = u32::try_from(number * 5000).unwrap();
        let etag = store.head(name).await.unwrap().etag;
        assert!(
            store.get_range(name, 0..4099, &etag).await.unwrap() == body(4099, seed),
            "{name}"
        );
    }
    let mut wanted: Vec<_> = names.iter().map(|(name, _)| (*name).to_owned()).collect();
    wanted.sort();
    let page = store.list("", false, None).await.unwrap();
    let mut listed: Vec<_> = page.blobs.iter().map(|(name, _)| name.clone()).collect();
    listed.sort();
    assert_eq!((listed, page.next), (wanted, None));
    for (name, info) in &page.blobs {
        assert_eq!(&store.head(name).await.unwrap(), info, "{name}");
    }
    for (name, _) in names {
        store.delete(name, &Condition::Always).await.unwrap();
        assert!(matches!(store.head(name).await, Err(StoreError::NotFound)));
    }
    assert!(store.list("", false, None).await.unwrap().blobs.is_empty());
}

#[tokio::test]
async fn ranges_are_exact_or_refused() {
    let azurite = Azurite::start();
    let store = azurite.container("ranges").await;
    let all = body(3 << 20, 1);
    let length = all.len() as u64;
    let etag = store
        .put_blob("a", all.clone(), &Condition::Absent)
        .await
        .unwrap();
    for (start, end) in [
        (0, 1),
        (0, 10),
        (1_000_001, 1_500_003),
        (length - 1, length),
        (length - 10, length),
        (0, length),
    ] {
        let read = store.get_range("a", start..end, &etag).await.unwrap();
        let slice = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        assert!(read == all.slice(slice), "{start}..{end}");
    }
    assert!(store.get_range("a", 7..7, &etag).await.unwrap().is_empty());

    // Fewer bytes than asked are not an answer.
    let over = store.get_range("a", length - 1..length + 1, &etag).await;
    assert!(
        matches!(
            over,
            Err(StoreError::Answer {
                operation: "Get Blob",
                reason: "another range"
            })
        ),
        "{over:?}"
    );
    // Azurite answers to the first byte past the end with none of them, Azure with 416.
    for (start, end) in [(length, length + 1), (length + 1, length + 2)] {
        let past = store.get_range("a", start..end, &etag).await;
        match past {
            Err(StoreError::Answer {
                reason: "another range",
                ..
            }) if start == length => {}
            Err(StoreError::Refused {
                status: 416, code, ..
            }) => assert_eq!(code, "InvalidRange"),
            other => panic!("{start}: {other:?}"),
        }
    }
    // Of a blob that is gone Azurite says that its version does not match.
    let none = store.get_range("b", 0..1, &etag).await;
    assert!(
        matches!(none, Err(StoreError::NotFound | StoreError::Changed)),
        "{none:?}"
    );

    // A read is of one version.
    let later = store
        .put_blob("a", body(10, 9), &Condition::Match(etag.clone()))
        .await
        .unwrap();
    assert_ne!(later, etag);
    let stale = store.get_range("a", 0..10, &etag).await;
    assert!(matches!(stale, Err(StoreError::Changed)), "{stale:?}");
    assert_eq!(
        store.get_range("a", 0..10, &later).await.unwrap(),
        body(10, 9)
    );
}

#[tokio::test]
async fn an_empty_blob_and_a_directory_are_told_apart() {
    let azurite = Azurite::start();
    let store = azurite.container("empty").await;
    let etag = store
        .put_blob("file", Bytes::new(), &Condition::Absent)
        .await
        .unwrap();
    store
        .put_block_list("blocks", &[], &Condition::Absent)
        .await
        .unwrap();
    let folder = store.put_directory("folder").await.unwrap();
    for (name, directory) in [("file", false), ("blocks", false), ("folder", true)] {
        let info = store.head(name).await.unwrap();
        assert_eq!((info.length, info.directory), (0, directory), "{name}");
        assert!(azurite.stored(&format!("empty/{name}")).await.is_empty());
    }
    assert!(
        store
            .get_range("file", 0..0, &etag)
            .await
            .unwrap()
            .is_empty()
    );
    let first = store.get_range("file", 0..1, &etag).await;
    let Err(StoreError::Answer { .. } | StoreError::Refused { status: 416, .. }) = first else {
        panic!("{first:?}");
    };
    let again = store.put_directory("folder").await;
    assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
    assert_eq!(store.head("folder").await.unwrap().etag, folder);
    let page = store.list("", true, None).await.unwrap();
    let listed: Vec<_> = page
        .blobs
        .iter()
        .map(|(name, info)| (name.as_str(), info.length, info.directory))
        .collect();
    assert_eq!(
        listed,
        [
            ("blocks", 0, false),
            ("file", 0, false),
            ("folder", 0, true)
        ]
    );
}

#[tokio::test]
async fn blocks_become_a_blob_in_the_order_of_the_list() {
    let azurite = Azurite::start();
    let store = azurite.container("blocks").await;
    // A writer's bytes that need all of base64's alphabet, `+` and `/` too.
    let ids: Vec<_> = (0..4)
        .map(|n| BlockId::new([0xfb, 0xef, 0xff, 0, 0x3e, 0x3f, 0xfe, 1], n))
        .collect();
    let part = |n: u32| body(100_000 + n as usize, n * 1_000_000);
    for (id, n) in ids.iter().zip(0..) {
        store.put_block("a b/ü", *id, part(n)).await.unwrap();
    }
    // Staged is not written.
    assert!(matches!(
        store.head("a b/ü").await,
        Err(StoreError::NotFound)
    ));
    let order = [ids[2], ids[0], ids[3], ids[1]];
    let first = store
        .put_block_list("a b/ü", &order, &Condition::Absent)
        .await
        .unwrap();
    let whole: Bytes = [2, 0, 3, 1].into_iter().flat_map(part).collect();
    assert!(azurite.stored("blocks/a%20b/%C3%BC").await == whole);
    let info = store.head("a b/ü").await.unwrap();
    assert_eq!((&info.etag, info.length), (&first, whole.len() as u64));
    assert!(
        store
            .get_range("a b/ü", 99_000..201_000, &first)
            .await
            .unwrap()
            == whole.slice(99_000..201_000)
    );

    // What the service calls the blocks is the base64 of what we call them.
    let list = azurite
        .stored("blocks/a%20b/%C3%BC?comp=blocklist&blocklisttype=all")
        .await;
    let list = String::from_utf8(list.to_vec()).unwrap();
    let named: Vec<_> = list
        .split("<Name>")
        .skip(1)
        .map(|rest| rest.split("</Name>").next().unwrap())
        .collect();
    let wanted: Vec<_> = order.iter().map(|id| STANDARD.encode(id.0)).collect();
    assert_eq!(named, wanted);
    assert!(wanted[0].starts_with("++//AD4//gE"), "{wanted:?}");

    // A later commit may keep earlier blocks and add new ones.
    let added = BlockId::new([8; 8], 0);
    store.put_block("a b/ü", added, body(10, 77)).await.unwrap();
    let second = store
        .put_block_list(
            "a b/ü",
            &[ids[0], added, ids[0]],
            &Condition::Match(first.clone()),
        )
        .await
        .unwrap();
    let whole: Bytes = [part(0), body(10, 77), part(0)]
        .into_iter()
        .flatten()
        .collect();
    assert!(azurite.stored("blocks/a%20b/%C3%BC").await == whole);

    // Dropped and never staged blocks cannot be committed, and nothing changes.
    for lost in [ids[2], BlockId::new([9; 8], 0)] {
        let gone = store
            .put_block_list("a b/ü", &[lost], &Condition::Always)
            .await;
        assert!(matches!(gone, Err(StoreError::BlocksGone)), "{gone:?}");
    }
    // Another writer's commit takes our staged blocks away.
    let (ours, theirs) = (BlockId::new([5; 8], 0), BlockId::new([6; 8], 0));
    store.put_block("a b/ü", ours, body(10, 1)).await.unwrap();
    store.put_block("a b/ü", theirs, body(20, 2)).await.unwrap();
    let third = store
        .put_block_list("a b/ü", &[theirs], &Condition::Match(second.clone()))
        .await
        .unwrap();
    for (condition, gone) in [
        (Condition::Match(third.clone()), true),
        (Condition::Match(second), false),
    ] {
        match store.put_block_list("a b/ü", &[ours], &condition).await {
            Err(StoreError::BlocksGone) => assert!(gone),
            Err(StoreError::Changed) => assert!(!gone),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.head("a b/ü").await.unwrap().etag, third);
    assert_eq!(azurite.stored("blocks/a%20b/%C3%BC").await, body(20, 2));
}
