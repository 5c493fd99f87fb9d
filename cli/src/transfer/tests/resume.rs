//! What is done is not done again.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use blob_format::manifest;
use blob_store::{BlobStore, Condition, StoreError};

use super::desk::{Desk, failed, tree};
use crate::transfer::partial::{Partial, is_partial};
use crate::transfer::target::Target;
use crate::transfer::{Convert, Dataset, Engine, Known};

const FILES: [(&str, &[u8]); 4] = [
    ("a", b"one"),
    ("b", b"two"),
    ("c", b"three"),
    ("d", b"four"),
];

fn forbidden() -> StoreError {
    StoreError::Forbidden {
        code: "test".to_owned(),
    }
}

fn down() -> StoreError {
    StoreError::Unavailable {
        operation: "Get Blob",
        status: 503,
        code: "ServerBusy".to_owned(),
    }
}

#[tokio::test]
async fn an_interrupted_upload_sends_only_what_is_left() {
    let mut desk = Desk::new("v2");
    desk.limits.parallel = 1;
    desk.write("in", &FILES);
    desk.meddle(|(_, name, _)| (name == "c").then(forbidden));
    let stopped = desk.upload("in").await.unwrap_err();
    assert!(
        failed(&stopped).is_empty(),
        "a right that is missing stops it"
    );
    assert_eq!(desk.written(), ["a", "b"]);
    assert!(!desk.names().contains(&manifest::PATH.to_owned()));
    desk.calm();
    let moved = desk.upload("in").await.unwrap();
    assert_eq!((moved.files, moved.unchanged), (4, 2));
    assert_eq!(desk.written(), [manifest::PATH, "c", "d"]);
    desk.download("out").await.unwrap();
    assert_eq!(tree(&desk.path("out")), tree(&desk.path("in")));
}

#[tokio::test]
async fn content_and_version_decide_and_never_a_time() {
    let desk = Desk::new("v2");
    desk.write("in", &FILES);
    desk.upload("in").await.unwrap();
    desk.requests();
    desk.upload("in").await.unwrap();
    assert_eq!(
        desk.written(),
        Vec::<String>::new(),
        "not even the manifest"
    );

    // Another content of the same length and time.
    let path = desk.path("in").join("a");
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "eno").unwrap();
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    // The same content at another time.
    let touched = File::options()
        .append(true)
        .open(desk.path("in").join("b"))
        .unwrap();
    touched
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    // Another version in storage, of the same length.
    let stored = desk.memory.bytes("c").unwrap();
    desk.memory
        .put_blob("c", stored.into(), &Condition::Always)
        .await
        .unwrap();
    desk.upload("in").await.unwrap();
    assert_eq!(desk.written(), [manifest::PATH, "a", "c"]);
}

#[tokio::test]
async fn an_interrupted_download_fetches_only_what_is_left() {
    let mut desk = Desk::new("cse-v1-4m");
    desk.limits.parallel = 1;
    desk.write("in", &FILES);
    desk.upload("in").await.unwrap();
    desk.meddle(|(_, name, _)| (name == "c").then(forbidden));
    desk.download("out").await.unwrap_err();
    assert_eq!(
        tree(&desk.path("out")).into_keys().collect::<Vec<_>>(),
        ["a", "b"]
    );
    desk.calm();
    std::fs::write(desk.path("out").join("a"), "eno").unwrap();
    desk.requests();
    let moved = desk.download("out").await.unwrap();
    assert_eq!((moved.files, moved.unchanged), (4, 1), "b");
    let mut fetched: Vec<String> = desk
        .requests()
        .into_iter()
        .map(|(_, name, _)| name)
        .collect();
    fetched.sort();
    fetched.dedup();
    assert_eq!(fetched, [manifest::PATH, "a", "c", "d"]);
    assert_eq!(tree(&desk.path("out")), tree(&desk.path("in")));
}

#[tokio::test]
async fn the_verified_part_of_a_large_file_is_not_fetched_again() {
    for format in ["v2", "plain"] {
        let mut desk = Desk::new(format);
        desk.limits.parallel = 2;
        let big: Vec<u8> = (0..38_u32 << 18).flat_map(u32::to_le_bytes).collect();
        desk.write("in", &[("big", &big)]);
        desk.upload("in").await.unwrap();
        let read_from = 34 << 20;
        desk.meddle(move |(kind, name, at)| {
            (*kind == "get" && name == "big" && (read_from..(38 << 20)).contains(at)).then(down)
        });
        desk.download("out").await.unwrap_err();
        let left: Vec<String> = tree(&desk.path("out")).into_keys().collect();
        assert!(
            matches!(&left[..], [one] if one.ends_with(".partial")),
            "{left:?}"
        );
        desk.calm();
        desk.requests();
        desk.download("out").await.unwrap();
        let again = desk.requests();
        let early = again
            .iter()
            .filter(|(_, name, at)| name == "big" && *at < 32 << 20);
        assert_eq!(early.count(), 0, "{format}: {again:?}");
        assert!(
            tree(&desk.path("out")) == tree(&desk.path("in")),
            "{format}"
        );

        // What lies there is not believed, nor is it without its journal.
        desk.meddle(move |(_, name, at)| {
            (name == "big" && (read_from..(38 << 20)).contains(at)).then(down)
        });
        desk.download("other").await.unwrap_err();
        let partial = tree(&desk.path("other")).into_keys().next().unwrap();
        let partial = desk.path("other").join(partial);
        assert_eq!(partial.metadata().unwrap().mode() & 0o777, 0o600);
        let file = File::options().write(true).open(&partial).unwrap();
        std::os::unix::fs::FileExt::write_at(&file, b"changed", 9 << 20).unwrap();
        drop(file);
        desk.calm();
        let kept = std::fs::read(&partial).unwrap();
        desk.requests();
        desk.download("other").await.unwrap();
        assert_eq!(first(&desk), 8 << 20, "{format}: the pieces before it are");
        assert!(
            tree(&desk.path("other")) == tree(&desk.path("in")),
            "{format}"
        );
        std::fs::remove_file(desk.path("other/big")).unwrap();
        std::fs::remove_file(desk.path("state/download-other.jsonl")).unwrap();
        std::fs::write(&partial, kept).unwrap();
        desk.download("other").await.unwrap();
        assert_eq!(first(&desk), 0, "{format}");
        assert!(
            tree(&desk.path("other")) == tree(&desk.path("in")),
            "{format}"
        );
    }
}

/// The piece at which the reads of the large file began, since the last call.
fn first(desk: &Desk) -> u64 {
    let requests = desk.requests().into_iter();
    let reads = requests.filter(|(_, name, _)| name == "big");
    // Headers and units that are longer sealed than clear.
    let start = reads.map(|(.., at)| at).min().unwrap();
    start >> 22 << 22
}

#[tokio::test]
async fn an_upload_interrupted_within_a_file_sends_only_its_missing_blocks() {
    for format in ["v2", "plain"] {
        let desk = Desk::new(format);
        // Five blocks.
        let big: Vec<u8> = (0..18_u32 << 18).flat_map(u32::to_le_bytes).collect();
        desk.write("in", &[("big", &big)]);
        desk.meddle(|(kind, ..)| (*kind == "list").then(forbidden));
        desk.upload("in").await.unwrap_err();
        assert_eq!(blocks(&desk), 5);
        // The content of one block changes meanwhile.
        let file = File::options()
            .write(true)
            .open(desk.path("in").join("big"))
            .unwrap();
        std::os::unix::fs::FileExt::write_at(&file, b"changed", 5 << 20).unwrap();
        desk.upload("in").await.unwrap_err();
        assert_eq!(blocks(&desk), 2, "{format}: that one and the last");

        // The service forgets what is not committed after a while.
        let forgot = AtomicBool::new(false);
        desk.meddle(move |(kind, ..)| {
            let first = *kind == "list" && !forgot.swap(true, Ordering::SeqCst);
            first.then_some(StoreError::BlocksGone)
        });
        desk.upload("in").await.unwrap();
        assert_eq!(blocks(&desk), 1 + 5, "{format}");
        desk.download("out").await.unwrap();
        assert!(
            tree(&desk.path("out")) == tree(&desk.path("in")),
            "{format}"
        );
    }
}

/// Blocks that were sent since the last call.
fn blocks(desk: &Desk) -> usize {
    let requests = desk.requests().into_iter();
    requests.filter(|(kind, ..)| *kind == "block").count()
}

#[tokio::test]
async fn the_journal_tells_nobody_else_what_the_files_are() {
    for format in ["v2", "cse-v1-4m", "plain"] {
        let desk = Desk::new(format);
        let secret = b"an outstandingly recognisable sentence";
        desk.write("in", &[("a", secret)]);
        desk.upload("in").await.unwrap();
        desk.download("out").await.unwrap();
        for to in ["v2", "plain"] {
            let target = Desk::new(to);
            convert(&desk, &target.dataset, &format!("to-{to}")).await;
        }
        let state = tree(&desk.path("state"));
        assert_eq!(state.len(), 4);
        for (name, journal) in state {
            let journal = String::from_utf8(journal).unwrap();
            assert!(journal.contains("\"a\""), "{name} {journal}");
            let digest = hex::encode(cleanroom_crypto::digest::sha256(secret));
            assert!(
                !journal.contains(&digest),
                "{name}: a guess could be tested"
            );
            assert!(!journal.contains(&hex::encode(desk.dataset.dek.expose())));
        }
    }
}

/// Converts a dataset whole.
async fn convert(desk: &Desk, to: &Arc<Dataset>, journal: &str) {
    let convert = Convert {
        from: &desk.dataset,
        to,
        reading: &Engine::new(&desk.limits),
        writing: &Engine::new(&desk.limits),
        journal: &desk.journal(journal),
        pinned: &Known::default(),
        known: &Known::default(),
        expect: &|_| Ok(()),
    };
    convert.run().await.unwrap();
}

#[tokio::test]
async fn what_a_killed_encryption_leaves_is_no_file_and_goes_with_the_next() {
    let desk = Desk::new("v2");
    desk.write("in", &FILES);
    let stranger = ".cleanroom-0123456789abcdef.partial";
    let left = || {
        let files = tree(&desk.path("sealed"));
        let names = files.into_keys().filter(|name| is_partial(name));
        names.collect::<Vec<_>>()
    };
    {
        let journal = Arc::new(desk.journal("encrypt"));
        let target = Target::open(&desk.path("sealed"), Some(&journal)).unwrap();
        let partial = Partial::create(&target, "e/f").unwrap();
        partial.write(0, b"half").unwrap();
        // Nobody cleans up after a kill.
        std::mem::forget(partial);
        desk.write("sealed", &[(stranger, b"another's")]);
    }
    assert_eq!(left().len(), 2);
    let sealed = desk.folder("sealed");
    desk.upload_to(&sealed, "in").await.unwrap();
    desk.download_from(&sealed, "out").await.unwrap();
    assert_eq!(tree(&desk.path("out")), tree(&desk.path("in")));
    desk.write("in", &[(stranger, b"kept of a download")]);
    assert_eq!(desk.upload("in").await.unwrap().files, 4);

    let journal = Arc::new(desk.journal("encrypt"));
    let sealed = desk.folder_of("sealed", Some(journal));
    desk.upload_to(&sealed, "in").await.unwrap();
    assert_eq!(left(), [stranger], "only its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_no_file_what_was_verified_of_it() {
    let desk = Desk::new("v2");
    let big: Vec<u8> = (0..38_u32 << 18).flat_map(u32::to_le_bytes).collect();
    desk.write("in", &[("a", &big), ("b", &big)]);
    desk.upload("in").await.unwrap();
    let late = (36 << 20)..(38 << 20);
    let out = desk.path("out");
    let (waits, fails) = (late.clone(), late);
    // Both are far; then one breaks while the other is on its way.
    desk.pause(move |(_, name, at)| {
        let (out, is_other, is_late) = (out.clone(), name == "b", waits.contains(at));
        let far = move || {
            let entries = std::fs::read_dir(&out).unwrap();
            let lengths = entries.map(|entry| entry.unwrap().metadata().unwrap().len());
            lengths.filter(|length| *length > 32 << 20).count() == 2
        };
        Box::pin(async move {
            while is_late && (is_other || !far()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    });
    desk.meddle(move |(_, name, at)| (name == "a" && fails.contains(at)).then(down));
    desk.download("out").await.unwrap_err();
    assert_eq!(tree(&desk.path("out")).len(), 2);
    desk.calm();
    desk.requests();
    desk.download("out").await.unwrap();
    let again = desk.requests();
    let early = again
        .iter()
        .filter(|(_, name, at)| name != manifest::PATH && *at < 32 << 20);
    assert_eq!(early.count(), 0, "{again:?}");
    assert!(tree(&desk.path("out")) == tree(&desk.path("in")));
}
