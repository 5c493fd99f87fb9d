//! Other writers, hostile storage, files that change.

use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::Arc;

use blob_format::manifest;
use blob_store::{BlobStore, Condition, StoreError};
use futures::FutureExt;

use super::desk::{Desk, dataset, failed, tree};
use crate::CliError;
use crate::transfer::Place;
use crate::transfer::partial::Partial;
use crate::transfer::target::Target;

#[tokio::test]
async fn of_two_uploads_at_once_one_is_told_and_no_manifest_lists_a_mixture() {
    let (one, desk) = {
        let desk = Desk::new("v2");
        (desk.beside("v2"), desk)
    };
    one.write("in", &[("a", b"one"), ("b", b"two")]);
    desk.write("in", &[("a", b"other"), ("c", b"three")]);
    let memory = one.memory.clone();
    // The other upload commits `a` between this one's listing and its commit.
    one.meddle(move |(kind, name, _)| {
        if *kind == "put" && name == "a" {
            let put = memory.put_blob("a", "theirs".into(), &Condition::Always);
            put.now_or_never().unwrap().unwrap();
        }
        None
    });
    let error = one.upload("in").await.unwrap_err();
    assert_eq!(failed(&error), [("a", "CR-BLOB-0004")]);
    assert_eq!(one.memory.bytes("a").unwrap(), b"theirs");
    assert_eq!(
        one.names(),
        ["a", "b"],
        "the others go on, the manifest does not"
    );

    // The other upload is done between this one's listing and its manifest.
    one.calm();
    let memory = one.memory.clone();
    one.meddle(move |(kind, name, _)| {
        if *kind == "put" && name == manifest::PATH {
            let put = memory.put_blob(name, "theirs".into(), &Condition::Always);
            put.now_or_never().unwrap().unwrap();
        }
        None
    });
    let error = desk.upload("in").await.unwrap_err();
    assert!(
        matches!(error, CliError::Store(StoreError::Exists)),
        "{error}"
    );
    assert_eq!(desk.memory.bytes(manifest::PATH).unwrap(), b"theirs");
}

#[tokio::test]
async fn on_one_machine_the_second_command_is_refused() {
    let desk = Desk::new("v2");
    desk.write("in", &[("a", b"one")]);
    let _first = desk.journal("upload");
    let second = crate::transfer::Journal::open(&desk.path("state"), "upload");
    assert!(matches!(second, Err(CliError::Busy { .. })));
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_not_committed_and_the_others_are() {
    let desk = Desk::new("v2");
    let big = vec![1; 10 << 20];
    desk.write("in", &[("a", b"one"), ("big", &big)]);
    let path = desk.path("in").join("big");
    desk.meddle(move |(kind, ..)| {
        if *kind == "block" {
            std::fs::write(&path, "another").unwrap();
        }
        None
    });
    let error = desk.upload("in").await.unwrap_err();
    assert_eq!(failed(&error), [("big", "CR-CLI-0019")]);
    assert_eq!(desk.names(), ["a"]);
}

#[tokio::test]
async fn a_hostile_listing_writes_nothing_outside_and_hides_nothing() {
    let desk = Desk::new("plain");
    desk.write("in", &[("a", b"one"), ("b", b"two")]);
    desk.upload("in").await.unwrap();
    let claimed = [
        "../evil",
        "x/../../evil",
        "/etc/evil",
        "x//evil",
        "./evil",
        "x/.",
        "nul\0",
        "line\n",
    ];
    desk.claim(&claimed);
    let always = Condition::Always;
    for with_manifest in [true, false] {
        if !with_manifest {
            desk.memory.delete(manifest::PATH, &always).await.unwrap();
        }
        let out = format!("out/{with_manifest}/deep");
        let error = desk.download(&out.replace('/', "-")).await.unwrap_err();
        let names: Vec<&str> = failed(&error).into_iter().map(|(name, _)| name).collect();
        let mut expected = claimed;
        expected.sort_unstable();
        assert_eq!(names, expected);
        let got = tree(&desk.path(&out.replace('/', "-")));
        assert_eq!(got, tree(&desk.path("in")), "the others go on");
    }
    desk.claim(&["unlisted"]);
    let all: Vec<String> = tree(&desk.path("")).into_keys().collect();
    assert!(!all.iter().any(|name| name.contains("evil")), "{all:?}");
}

#[tokio::test]
async fn a_file_and_a_folder_of_one_name_do_not_lose_the_others() {
    let desk = Desk::new("plain");
    for name in ["a", "a/b", "c"] {
        let put = desk
            .memory
            .put_blob(name, "content".into(), &Condition::Absent);
        put.await.unwrap();
    }
    let mut desk = desk;
    desk.limits.parallel = 1;
    let error = desk.download("out").await.unwrap_err();
    assert_eq!(failed(&error), [("a/b", "CR-CLI-0001")]);
    let left: Vec<String> = tree(&desk.path("out")).into_keys().collect();
    assert_eq!(left, ["a", "c"]);
}

#[tokio::test]
async fn what_is_tampered_with_leaves_nothing_and_the_others_come() {
    for (format, code) in [
        ("v2", "CR-FORMAT-0006"),
        ("cse-v1-4m", "CR-FORMAT-0020"),
        ("azure-cse-2.1", "CR-FORMAT-0026"),
        ("plain", "CR-FORMAT-0032"),
    ] {
        let desk = Desk::new(format);
        let big: Vec<u8> = (0..9_u32 << 18).flat_map(u32::to_le_bytes).collect();
        desk.write("in", &[("bad", &big), ("good", b"one")]);
        desk.upload("in").await.unwrap();
        desk.memory.tamper("bad", |bytes| bytes[8 << 20] ^= 1);
        let error = desk.download("out").await.unwrap_err();
        assert_eq!(failed(&error), [("bad", code)]);
        let left: Vec<String> = tree(&desk.path("out")).into_keys().collect();
        assert_eq!(left, ["good"], "{format}");
    }
}

#[tokio::test]
async fn with_many_parts_and_little_memory_everything_still_goes_through() {
    for format in ["v2", "cse-v1-4m", "plain"] {
        let mut desk = Desk::new(format);
        desk.limits.parallel = 64;
        desk.limits.memory_mb = 64;
        let big = vec![3; 40 << 20];
        desk.write("in", &[("a", &big), ("b", &big), ("c", &big)]);
        desk.upload("in").await.unwrap();
        desk.download("out").await.unwrap();
        assert!(
            tree(&desk.path("out")) == tree(&desk.path("in")),
            "{format}"
        );
    }
}

#[tokio::test]
async fn another_key_reads_nothing() {
    let desk = Desk::new("v2");
    desk.write("in", &[("a", b"one")]);
    desk.upload("in").await.unwrap();
    let other = dataset("v2", 8, Place::Container(Arc::new(desk.store.clone())));
    let error = desk.download_from(&other, "out").await.unwrap_err();
    assert!(matches!(error, CliError::Format(_)), "{error}");
    assert!(!desk.path("out").exists());
}

#[tokio::test]
async fn a_link_in_the_target_leads_nowhere() {
    let desk = Desk::new("v2");
    let outside = tempfile::tempdir().unwrap();
    desk.write("in", &[("a", b"one"), ("b/c/d", b"two"), ("e", b"three")]);
    desk.upload("in").await.unwrap();
    std::fs::create_dir_all(desk.path("out/b")).unwrap();
    std::fs::create_dir(outside.path().join("c")).unwrap();
    let link = |to: &std::path::Path, name: &str| symlink(to, desk.path(name)).unwrap();
    link(&outside.path().join("c"), "out/b/c");
    std::fs::write(outside.path().join("e"), "theirs").unwrap();
    link(&outside.path().join("e"), "out/e");
    let error = desk.download("out").await.unwrap_err();
    assert_eq!(failed(&error), [("b/c/d", "CR-CLI-0002")]);
    assert!(tree(&outside.path().join("c")).is_empty());
    assert_eq!(std::fs::read(outside.path().join("e")).unwrap(), b"theirs");
    let meta = desk.path("out/e").symlink_metadata().unwrap();
    assert!(meta.is_file(), "the link gave way to the file");
    assert_eq!(meta.mode() & 0o777, 0o600);

    std::fs::remove_file(desk.path("out/b/c")).unwrap();
    desk.download("out").await.unwrap();
    std::fs::rename(desk.path("out/b/c"), outside.path().join("moved")).unwrap();
    link(&outside.path().join("moved"), "out/b/c");
    let error = desk.download("out").await.unwrap_err();
    assert_eq!(failed(&error), [("b/c/d", "CR-CLI-0002")]);

    // A folder of sealed files is written the same way.
    std::fs::create_dir_all(desk.path("sealed")).unwrap();
    link(&outside.path().join("c"), "sealed/b");
    let sealed = desk.folder("sealed");
    let error = desk.upload_to(&sealed, "in").await.unwrap_err();
    assert!(matches!(
        error,
        CliError::File { .. } | CliError::Files { .. }
    ));
    assert!(tree(&outside.path().join("c")).is_empty());
}

#[tokio::test]
async fn what_another_transfer_is_writing_stays_its_own() {
    let out = tempfile::tempdir().unwrap();
    let target = Target::open(out.path(), None).unwrap();
    let (_first, _) = Partial::resume(&target, "a", &[7; 32]).unwrap();
    let second = Partial::resume(&target, "a", &[7; 32]).map(|_| ());
    assert!(matches!(second, Err(CliError::Busy { .. })));
    assert_eq!(tree(out.path()).len(), 1);
}
