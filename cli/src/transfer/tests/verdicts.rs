//! What verification says, and conversion on top of it.

use std::sync::Arc;

use blob_format::manifest::{self, ManifestHmac};
use blob_format::{Attributes, View};
use blob_store::testing::MemoryStore;
use blob_store::{BlobStore, Condition, StoreError};

use super::desk::{Desk, dataset, failed, tree};
use crate::CliError;
use crate::transfer::verify::{Report, Verdict, Verify};
use crate::transfer::{Convert, Dataset, Engine, Known, Moved, Place};

async fn verify(
    of: &Arc<Dataset>,
    pinned: Option<ManifestHmac>,
    quick: bool,
) -> Result<Report, CliError> {
    let verify = Verify {
        of,
        engine: &Engine::new(&crate::transfer::Limits::default()),
        pinned: &pinned.map(Known::only).unwrap_or_default(),
        quick,
        contents: None,
    };
    verify.run().await
}

fn verdicts(report: &Report) -> Vec<(&str, Verdict)> {
    let lines = report.lines.iter();
    lines
        .map(|line| (line.path.as_str(), line.verdict))
        .collect()
}

#[tokio::test]
async fn each_change_of_a_dataset_has_its_verdict() {
    use Verdict::{Damaged, Missing, Ok, Replaced, Truncated, Unknown};
    for format in ["v2", "cse-v1-4m", "azure-cse-2.1-sealed", "plain"] {
        let desk = Desk::new(format);
        let big: Vec<u8> = (0..9_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let names = ["cut", "damaged", "gone", "good", "other", "swapped"];
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &big[..])).collect();
        desk.write("in", &files);
        let root = desk.upload("in").await.unwrap().root.unwrap();
        let pinned = Some(root.parse().unwrap());
        let report = verify(&desk.dataset, pinned, false).await.unwrap();
        assert!(
            report.lines.iter().all(|line| line.verdict == Ok),
            "{report:?}"
        );
        assert!(report.finish("data").is_ok());

        let memory = &desk.memory;
        memory.tamper("cut", |bytes| bytes.truncate(5 << 20));
        memory.tamper("damaged", |bytes| bytes[8 << 20] ^= 1);
        memory.delete("gone", &Condition::Always).await.unwrap();
        let stored = memory.bytes("good").unwrap();
        memory
            .put_blob("new", stored.clone().into(), &Condition::Always)
            .await
            .unwrap();
        memory.tamper("swapped", |bytes| *bytes = stored);
        // Another upload of the same name, as old or new as the listed one.
        let twin = Desk::new(format);
        twin.write("in", &[("other", &[9; 9 << 20])]);
        twin.upload("in").await.unwrap();
        let theirs = twin.memory.bytes("other").unwrap();
        memory.tamper("other", |bytes| *bytes = theirs);

        let report = verify(&desk.dataset, pinned, false).await.unwrap();
        let damaged = if format == "plain" { Replaced } else { Damaged };
        // One key and no binding: v1 and plain files of one content are one file, where stored bytes differ they are not.
        let swapped = if format == "plain" { Ok } else { Replaced };
        // Bytes without the metadata of their version open as nothing.
        let (other, swapped) = match format {
            "azure-cse-2.1-sealed" => (Damaged, Damaged),
            _ => (Replaced, swapped),
        };
        let expected = [
            ("cut", Truncated),
            ("damaged", damaged),
            ("gone", Missing),
            ("good", Ok),
            ("new", Unknown),
            ("other", other),
            ("swapped", swapped),
        ];
        assert_eq!(verdicts(&report), expected, "{format}: {report:?}");
        let error = report.finish("data").unwrap_err();
        assert!(matches!(error, CliError::Unverified { .. }));
        assert_eq!(failed(&error).len(), if format == "plain" { 5 } else { 6 });

        let wrong = Some("0".repeat(64).parse().unwrap());
        assert!(matches!(
            verify(&desk.dataset, wrong, false).await,
            Err(CliError::Dataset { .. })
        ));
    }
}

#[tokio::test]
async fn another_commit_of_the_same_file_is_told_from_another_file() {
    let desk = Desk::new("v2");
    desk.write("in", &[("a", b"one"), ("b", b"two")]);
    let root = desk.upload("in").await.unwrap().root.unwrap();
    let pinned = Some(root.parse().unwrap());
    let dek = Arc::clone(&desk.dataset.dek);
    desk.memory.tamper("a", |bytes| {
        let view = View::open(&dek, bytes.len() as u64, bytes, Some("a")).unwrap();
        let mut draft = view.edit();
        let next = draft.commit(view.len(), Attributes::default()).unwrap();
        bytes.truncate(bytes.len() - next.tail.len());
        bytes.extend(next.tail);
    });
    let flipped = |bytes: &mut Vec<u8>| bytes[40] ^= 1;
    desk.memory.tamper("b", flipped);
    let report = verify(&desk.dataset, pinned, false).await.unwrap();
    let expected = [("a", Verdict::RolledBack), ("b", Verdict::Damaged)];
    assert_eq!(verdicts(&report), expected, "{report:?}");
    let quick = verify(&desk.dataset, pinned, true).await.unwrap();
    let expected = [("a", Verdict::RolledBack), ("b", Verdict::Ok)];
    assert_eq!(verdicts(&quick), expected, "the content is not read");
}

#[tokio::test]
async fn without_a_manifest_there_is_no_verdict() {
    let desk = Desk::new("v2");
    let none = verify(&desk.dataset, None, false).await;
    assert!(matches!(none, Err(CliError::Dataset { .. })));
}

/// A conversion into a container in memory, at most so many files at once.
async fn convert(desk: &Desk, to: &Arc<Dataset>, parallel: u16) -> Result<Moved, CliError> {
    convert_over(desk, to, parallel, &Known::default()).await
}

async fn convert_over(
    desk: &Desk,
    to: &Arc<Dataset>,
    parallel: u16,
    known: &Known,
) -> Result<Moved, CliError> {
    let limits = crate::transfer::Limits {
        parallel,
        ..desk.limits
    };
    let convert = Convert {
        from: &desk.dataset,
        to,
        reading: &Engine::new(&limits),
        writing: &Engine::new(&limits),
        journal: &desk.journal("convert"),
        pinned: &Known::default(),
        known,
        expect: &|_| Ok(()),
    };
    convert.run().await
}

#[tokio::test]
async fn a_dataset_is_converted_between_all_layouts_and_keys() {
    for (old, new) in [
        ("cse-v1-4m", "v2"),
        ("cse-v1", "v2"),
        ("plain", "v2"),
        ("v2", "cse-v1-4m"),
        ("v2", "plain"),
        ("v2", "v2"),
        ("v2", "azure-cse-2.1-sealed"),
        ("azure-cse-2.1", "v2"),
    ] {
        let desk = Desk::new(old);
        let big: Vec<u8> = (0..9_u32 << 18).flat_map(u32::to_le_bytes).collect();
        desk.write("in", &[("b/big", &big), ("empty", b""), ("one", b"1")]);
        desk.upload("in").await.unwrap();
        let memory = MemoryStore::default();
        let to = dataset(new, 9, Place::Container(Arc::new(memory.clone())));
        let moved = convert(&desk, &to, 8).await.unwrap();
        assert_eq!((moved.files, moved.unchanged), (3, 0));
        desk.download_from(&to, "out").await.unwrap();
        assert!(
            tree(&desk.path("out")) == tree(&desk.path("in")),
            "{old} {new}"
        );
        let pinned = moved.root.unwrap().parse().unwrap();
        let report = verify(&to, Some(pinned), false).await.unwrap();
        assert!(report.finish("data").is_ok());
    }
}

#[tokio::test]
async fn an_interrupted_conversion_goes_on_and_damage_on_either_side_is_found() {
    let desk = Desk::new("cse-v1-4m");
    desk.write("in", &[("a", b"one"), ("b", b"two"), ("c", b"three")]);
    desk.upload("in").await.unwrap();
    let target = Desk::new("v2");
    let forbidden = || StoreError::Forbidden {
        code: "test".to_owned(),
    };
    desk.meddle(move |(_, name, _)| (name == "c").then(forbidden));
    convert(&desk, &target.dataset, 1).await.unwrap_err();
    assert_eq!(target.names(), ["a", "b"]);
    desk.calm();
    target.requests();
    let moved = convert(&desk, &target.dataset, 1).await.unwrap();
    assert_eq!((moved.files, moved.unchanged), (3, 2));
    assert_eq!(target.written(), [manifest::PATH, "c"]);

    // The new dataset is read back before it counts.
    target.memory.tamper("a", |bytes| bytes[40] ^= 1);
    let known = Known::only(moved.root.unwrap().parse().unwrap());
    let error = convert_over(&desk, &target.dataset, 1, &known).await;
    assert_eq!(failed(&error.unwrap_err()), [("a", "CR-CLI-0018")]);
    // The old one's damage is not carried over.
    desk.memory.tamper("b", |bytes| bytes[20] ^= 1);
    let fresh = Desk::new("v2");
    let other = desk.journal("elsewhere");
    let convert = Convert {
        from: &desk.dataset,
        to: &fresh.dataset,
        reading: &Engine::new(&desk.limits),
        writing: &Engine::new(&desk.limits),
        journal: &other,
        pinned: &Known::default(),
        known: &Known::default(),
        expect: &|_| Ok(()),
    };
    let error = convert.run().await.unwrap_err();
    assert_eq!(failed(&error), [("b", "CR-FORMAT-0020")]);
    assert_eq!(fresh.names(), ["a", "c"], "no manifest");
}

#[tokio::test]
async fn a_conversion_overwrites_nothing_that_it_did_not_write() {
    let desk = Desk::new("cse-v1-4m");
    desk.write("in", &[("a", b"one"), ("b", b"two")]);
    desk.upload("in").await.unwrap();

    // Another dataset, listed or not.
    let target = Desk::new("v2");
    target.write("theirs", &[("a", b"theirs")]);
    let theirs = target.upload("theirs").await.unwrap().root.unwrap();
    let stored = target.memory.bytes("a").unwrap();
    let recorded = Known::only(theirs.parse().unwrap());
    for known in [Known::default(), recorded] {
        let refused = convert_over(&desk, &target.dataset, 1, &known).await;
        assert!(matches!(refused, Err(CliError::Dataset { .. })));
    }
    let always = Condition::Always;
    target.memory.delete(manifest::PATH, &always).await.unwrap();
    let refused = convert(&desk, &target.dataset, 1).await;
    assert!(matches!(refused, Err(CliError::Dataset { .. })));
    assert_eq!(target.memory.bytes("a").unwrap(), stored);

    // A file that was committed when the command ended, before its journal could say so.
    let fresh = Desk::new("v2");
    desk.journal("convert").announce("a").unwrap();
    fresh.write("half", &[("a", b"half")]);
    fresh.upload("half").await.unwrap();
    fresh.memory.delete(manifest::PATH, &always).await.unwrap();
    // What is damaged on the way is found before it is listed.
    let memory = fresh.memory.clone();
    fresh.meddle(move |(kind, name, _)| {
        if *kind == "put" && name == "b" {
            memory.tamper("a", |bytes| bytes[40] ^= 1);
        }
        None
    });
    let error = convert(&desk, &fresh.dataset, 1).await.unwrap_err();
    assert_eq!(failed(&error), [("a", "CR-CLI-0018")]);
    assert_eq!(fresh.names(), ["a", "b"], "no manifest");
    fresh.calm();
    fresh.memory.tamper("a", |bytes| bytes[40] ^= 1);
    convert(&desk, &fresh.dataset, 1).await.unwrap();
    desk.download_from(&fresh.dataset, "out").await.unwrap();
    assert_eq!(tree(&desk.path("out")), tree(&desk.path("in")));
}
