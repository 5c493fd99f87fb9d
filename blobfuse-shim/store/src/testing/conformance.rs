//! What every store must do, whatever is behind it: one check for stores in memory, emulators and foreign servers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a check may fail by panicking"
)]

use bytes::Bytes;

use crate::{BlobStore, BlockId, Condition, Etag, Page, StoreError};

/// Runs every check on an empty container; with blocks of `block` bytes, since some services have a least size.
///
/// # Panics
/// The store does something else than its trait says.
pub async fn check(store: &dyn BlobStore, block: usize) {
    whole_blobs(store).await;
    conditions(store).await;
    blocks(store, block).await;
    directories(store).await;
    pages(store).await;
    renames(store).await;
    let left = all(store, "", false).await;
    assert_eq!(left.blobs, [], "each check removes what it made");
}

fn body(length: usize, seed: u32) -> Bytes {
    (seed..).flat_map(u32::to_le_bytes).take(length).collect()
}

/// A whole listing; names of one kind are sorted, and none is there twice.
async fn all(store: &dyn BlobStore, prefix: &str, directories: bool) -> Page {
    let mut whole = Page::default();
    let mut from: Option<String> = None;
    loop {
        let page = store.list(prefix, directories, from.as_deref());
        let page = page.await.unwrap();
        whole.blobs.extend(page.blobs);
        whole.prefixes.extend(page.prefixes);
        assert_ne!(page.next, Some(String::new()));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert!(whole.blobs.is_sorted_by(|one, two| one.0 < two.0));
    assert!(whole.prefixes.is_sorted_by(|one, two| one < two));
    whole
}

fn names(page: &Page) -> Vec<&str> {
    page.blobs.iter().map(|(name, _)| name.as_str()).collect()
}

async fn remove(store: &dyn BlobStore, name: &str) {
    store.delete(name, &Condition::Always).await.unwrap();
    let gone = store.head(name).await;
    assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
}

async fn whole_blobs(store: &dyn BlobStore) {
    let odd = [
        "a b+c=d&e,f;g",
        "empty",
        "percent%25",
        "x'y(z)!*~",
        "ü-é-中",
    ];
    for (seed, name) in (0..).zip(odd) {
        let length = if name == "empty" { 0 } else { 100_000 };
        let data = body(length, seed);
        let etag = store.put_blob(name, data.clone(), &Condition::Absent);
        let etag = etag.await.unwrap();
        let info = store.head(name).await.unwrap();
        assert_eq!(
            (&info.etag, info.length, info.directory),
            (&etag, length as u64, false)
        );
        if length > 0 {
            let part = store.get_range(name, 99_000..100_000, &etag).await;
            assert_eq!(part.unwrap(), data.slice(99_000..));
            let past = store.get_range(name, 99_990..100_010, &etag).await;
            assert!(past.is_err(), "fewer bytes than asked are not an answer");
        }
        let nothing = store.get_range(name, 0..0, &etag).await;
        assert!(nothing.unwrap().is_empty());
    }
    let listed = all(store, "", false).await;
    assert_eq!(names(&listed), odd);
    for (name, info) in &listed.blobs {
        assert_eq!(*info, store.head(name).await.unwrap(), "{name}");
    }
    for name in odd {
        remove(store, name).await;
    }
    for gone in [
        store
            .get_range("empty", 0..1, &Etag::new("0x1"))
            .await
            .err(),
        store.committed_blocks("empty").await.err(),
        store.delete("empty", &Condition::Always).await.err(),
    ] {
        assert!(matches!(gone, Some(StoreError::NotFound)), "{gone:?}");
    }
}

async fn conditions(store: &dyn BlobStore) {
    let first = store.put_blob("c", body(10, 1), &Condition::Absent);
    let first = first.await.unwrap();
    let again = store.put_blob("c", body(10, 2), &Condition::Absent).await;
    assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
    let over = Condition::Match(first.clone());
    let second = store.put_blob("c", body(10, 2), &over).await.unwrap();
    assert_ne!(first, second);
    let late = store.put_blob("c", body(10, 3), &over).await;
    assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
    let stale = store.get_range("c", 0..5, &first).await;
    assert!(matches!(stale, Err(StoreError::Changed)), "{stale:?}");
    let kept = store.get_range("c", 0..10, &second).await.unwrap();
    assert_eq!(kept, body(10, 2), "what was refused has not happened");
    let old = store.delete("c", &over).await;
    assert!(matches!(old, Err(StoreError::Changed)), "{old:?}");
    store.delete("c", &Condition::Match(second)).await.unwrap();
    let nowhere = store.put_blob("c", body(10, 4), &over).await;
    assert!(matches!(nowhere, Err(StoreError::Changed)), "{nowhere:?}");
}

async fn blocks(store: &dyn BlobStore, block: usize) {
    let id = |writer: u8, sequence| BlockId::new([writer; 8], sequence);
    let mine = [id(1, 0), id(1, 1), id(1, 2), id(1, 3)];
    let sizes = [block, block + 7, block, 100];
    // Staged in another order than committed.
    for at in [2, 0, 3, 1] {
        let seed = u32::try_from(at).unwrap() << 24;
        let staged = store.put_block("d/big", mine[at], body(sizes[at], seed));
        staged.await.unwrap();
    }
    let early = store.head("d/big").await;
    assert!(matches!(early, Err(StoreError::NotFound)), "only staged");
    assert_eq!(all(store, "", false).await.blobs, []);
    let first = store.put_block_list("d/big", &mine, &Condition::Absent);
    let first = first.await.unwrap();
    let length: usize = sizes.iter().sum();
    assert_eq!(store.head("d/big").await.unwrap().length, length as u64);
    let across = store
        .get_range("d/big", block as u64 - 8..block as u64 + 8, &first)
        .await
        .unwrap();
    assert_eq!(across[..8], body(block, 0)[block - 8..]);
    assert_eq!(across[8..], body(8, 1 << 24)[..]);
    let known = store.committed_blocks("d/big").await.unwrap().unwrap();
    assert_eq!(
        known.iter().map(|(_, size)| *size).collect::<Vec<_>>(),
        sizes.map(|size| size as u64)
    );

    // The next version keeps some of it, in another order, with something small in the middle.
    let more = [id(2, 0), id(2, 1)];
    for (id, size) in more.into_iter().zip([block, 33]) {
        store
            .put_block("d/big", id, body(size, 9 << 24))
            .await
            .unwrap();
    }
    let wanted = [known[0].0, more[1], known[2].0, known[1].0, more[0]];
    let over = Condition::Match(first);
    let second = store.put_block_list("d/big", &wanted, &over).await.unwrap();
    let mut expected = body(block, 0).to_vec();
    expected.extend_from_slice(&body(33, 9 << 24));
    expected.extend_from_slice(&body(block, 2 << 24));
    expected.extend_from_slice(&body(block + 7, 1 << 24));
    expected.extend_from_slice(&body(block, 9 << 24));
    let read = store
        .get_range("d/big", 0..expected.len() as u64, &second)
        .await
        .unwrap();
    assert!(read == expected, "content of the second version");
    let late = store.put_block_list("d/big", &wanted, &over).await;
    assert!(
        matches!(late, Err(StoreError::Changed | StoreError::BlocksGone)),
        "{late:?}"
    );
    let over = Condition::Match(second);
    let unknown = store.put_block_list("d/big", &[id(3, 0)], &over).await;
    assert!(
        matches!(unknown, Err(StoreError::BlocksGone)),
        "{unknown:?}"
    );

    // A whole put replaces all blocks, and an empty list makes an empty blob.
    let third = store.put_blob("d/big", body(10, 0), &over).await.unwrap();
    let none = store.committed_blocks("d/big").await.unwrap();
    assert_eq!(none.unwrap_or_default(), []);
    let over = Condition::Match(third);
    store.put_block_list("d/big", &[], &over).await.unwrap();
    assert_eq!(store.head("d/big").await.unwrap().length, 0);
    assert_eq!(names(&all(store, "", false).await).last(), Some(&"d/big"));
    remove(store, "d/big").await;
    // Where names are hierarchical the directory stays.
    let _ = store.delete("d", &Condition::Always).await;
}

async fn directories(store: &dyn BlobStore) {
    store.put_directory("e").await.unwrap();
    assert!(store.head("e").await.unwrap().directory);
    let again = store.put_directory("e").await;
    assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
    store.put_directory("e/f").await.unwrap();
    store
        .put_blob("e/g", body(3, 0), &Condition::Absent)
        .await
        .unwrap();
    let flat = all(store, "", false).await;
    assert_eq!(names(&flat), ["e", "e/f", "e/g"]);
    let kinds: Vec<_> = flat.blobs.iter().map(|(_, info)| info.directory).collect();
    assert_eq!(kinds, [true, true, false]);
    // A directory is shown as a mark, as a prefix, or as both.
    let shown = |page: &Page, name: &str| {
        let mark = page
            .blobs
            .iter()
            .any(|(at, info)| at == name && info.directory);
        mark || page.prefixes.contains(&format!("{name}/"))
    };
    let top = all(store, "", true).await;
    assert!(shown(&top, "e"));
    assert!(!names(&top).contains(&"e/g"));
    let inside = all(store, "e/", true).await;
    assert!(shown(&inside, "e/f"));
    assert!(names(&inside).contains(&"e/g"));
    for name in ["e/g", "e/f", "e"] {
        remove(store, name).await;
    }
    assert!(!shown(&all(store, "", true).await, "e"));
}

async fn pages(store: &dyn BlobStore) {
    let made: Vec<String> = (0..12).map(|n| format!("p/{n:02}/x")).collect();
    for name in &made {
        store
            .put_blob(name, body(1, 0), &Condition::Absent)
            .await
            .unwrap();
    }
    let files = all(store, "p/0", false).await;
    let files = files.blobs.iter().filter(|(_, info)| !info.directory);
    assert_eq!(files.count(), 10);
    let cut = all(store, "p/", true).await;
    assert_eq!((cut.prefixes.len(), names(&cut).len()), (12, 0));
    for name in &made {
        remove(store, name).await;
        let directory = name.trim_end_matches("/x");
        let _ = store.delete(directory, &Condition::Always).await;
    }
    let _ = store.delete("p", &Condition::Always).await;
}

async fn renames(store: &dyn BlobStore) {
    store.put_directory("r").await.unwrap();
    let etag = store.put_blob("r/a", body(9, 0), &Condition::Absent);
    let etag = etag.await.unwrap();
    let (is, absent) = (Condition::Match(etag), Condition::Absent);
    let old = Condition::Match(Etag::new("0x1"));
    match store.rename("r/a", "r/b", &old, &absent).await {
        // The store cannot, and says so each time.
        Ok(None) => {
            let always = &Condition::Always;
            assert_eq!(store.rename("r", "s", always, always).await.unwrap(), None);
            remove(store, "r/a").await;
            return remove(store, "r").await;
        }
        refused => assert!(matches!(refused, Err(StoreError::Changed)), "{refused:?}"),
    }
    let moved = store.rename("r/a", "r/b", &is, &absent).await.unwrap();
    let moved = moved.unwrap();
    let read = store.get_range("r/b", 0..9, &moved).await.unwrap();
    assert_eq!(read, body(9, 0));
    let gone = store
        .rename("r/a", "r/c", &Condition::Always, &absent)
        .await;
    assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
    store
        .put_blob("r/c", body(1, 0), &Condition::Absent)
        .await
        .unwrap();
    let taken = store
        .rename("r/b", "r/c", &Condition::Always, &absent)
        .await;
    assert!(matches!(taken, Err(StoreError::Exists)), "{taken:?}");
    let always = &Condition::Always;
    let replaced = store.rename("r/b", "r/c", always, always).await.unwrap();
    assert!(replaced.is_some());
    store.rename("r", "s", always, always).await.unwrap();
    assert_eq!(names(&all(store, "", false).await), ["s", "s/c"]);
    let full = store.delete("s", always).await;
    assert!(matches!(full, Err(StoreError::NotEmpty)), "{full:?}");
    for name in ["s/c", "s"] {
        remove(store, name).await;
    }
}
