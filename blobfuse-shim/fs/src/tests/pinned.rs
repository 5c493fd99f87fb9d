//! A source whose manifest the contract pins shows exactly the files that were agreed, or errors that the parties hear of.

use std::sync::Arc;
use std::time::Duration;

use blob_format::manifest::{self, ManifestHmac};
use blob_store::testing::{Faulty, MemoryStore, Operation};
use blob_store::{BlobStore, Condition, Metadata, StoreError};
use sidecar_http::Coded;

use super::{SMALL, bytes, dek, find, fixture, list, mount, options, read_file, write_file};
use crate::{FileSystem, Finding, FsError, Kind, Mode, Options};

/// Every mode but the one without a key.
fn modes() -> impl Iterator<Item = Mode> {
    super::modes().into_iter().filter(|mode| *mode != Mode::Sse)
}

type Blob = (Vec<u8>, Metadata);

/// Two commits of every file, and the keyed root of the later ones.
struct Dataset {
    mode: Mode,
    memory: MemoryStore,
    earlier: MemoryStore,
    root: ManifestHmac,
}

async fn dataset(mode: Mode) -> Dataset {
    let memory = MemoryStore::default();
    let mut root = None;
    let mut states = Vec::new();
    for seed in [1, 2] {
        let fs = mount(&memory, mode, 7, false);
        for (path, length) in FILES {
            let inside = path.rsplit_once('/');
            let dir = match inside {
                Some((dir, _)) => match fs.look_up(crate::ROOT, dir).await {
                    Ok(dir) => dir.ino,
                    Err(_) => fs.make_directory(crate::ROOT, dir).await.unwrap().ino,
                },
                None => crate::ROOT,
            };
            let name = inside.map_or(path, |(_, name)| name);
            let ino = match fs.create(dir, name).await {
                Ok((attr, opened)) => {
                    fs.flush(opened.handle).await.unwrap();
                    fs.release(opened.handle).await.unwrap();
                    attr.ino
                }
                Err(_) => fs.look_up(dir, name).await.unwrap().ino,
            };
            // An edit, so that the file keeps its identity.
            let opened = fs.open(ino, true, false).await.unwrap();
            fs.write(opened.handle, 0, &content(path, length, seed))
                .await
                .unwrap();
            fs.flush(opened.handle).await.unwrap();
            fs.release(opened.handle).await.unwrap();
        }
        root = Some(fs.seal().await.unwrap().root.parse().unwrap());
        states.push(memory.snapshot());
    }
    Dataset {
        mode,
        memory,
        earlier: states.swap_remove(0),
        root: root.unwrap(),
    }
}

/// Files of one length differ.
fn content(path: &str, length: usize, seed: u8) -> Vec<u8> {
    let last = path.bytes().next_back().unwrap();
    bytes(length, seed ^ last)
}

const FILES: [(&str, usize); 4] = [("a", 100_000), ("d/b", 9000), ("d/e", 9000), ("z", 1)];

fn stored(memory: &MemoryStore, name: &str) -> Blob {
    (memory.bytes(name).unwrap(), memory.metadata(name).unwrap())
}

impl Dataset {
    async fn mount(&self) -> Result<FileSystem, FsError> {
        self.mount_over(Arc::new(self.memory.clone())).await
    }

    async fn mount_over(&self, store: Arc<dyn BlobStore>) -> Result<FileSystem, FsError> {
        FileSystem::pinned(store, dek(7), self.mode, options(), self.root).await
    }

    async fn put(&self, name: &str, body: Vec<u8>) {
        self.put_with(name, (body, Metadata::new())).await;
    }

    async fn put_with(&self, name: &str, (body, metadata): Blob) {
        let always = Condition::Always;
        let put = self
            .memory
            .put_blob_with(name, body.into(), &metadata, &always);
        put.await.unwrap();
    }
}

#[tokio::test]
async fn names_lengths_and_content_are_the_manifests_and_nothing_is_listed() {
    for mode in modes() {
        let data = dataset(mode).await;
        data.put("extra", vec![1; 500]).await;
        data.put("d/extra", vec![1; 500]).await;
        data.memory.put_directory("empty").await.unwrap();
        let store = Faulty::new(data.memory.clone());
        let fs = data.mount_over(Arc::new(store.clone())).await.unwrap();
        assert!(fs.is_read_only());
        assert_eq!(list(&fs, "").await, ["a", "d", "z"]);
        assert_eq!(list(&fs, "d").await, ["b", "e"]);
        for path in ["extra", "d/extra", "empty", ".cleanroom/manifest"] {
            assert_eq!(find(&fs, path).await.unwrap_err(), FsError::NotFound);
        }
        assert_eq!(find(&fs, "a/x").await.unwrap_err(), FsError::NotDirectory);
        assert_eq!(find(&fs, "d").await.unwrap().kind, Kind::Directory);
        let before = store.log().len();
        for (path, length) in FILES {
            let attr = find(&fs, path).await.unwrap();
            assert_eq!((attr.kind, attr.size), (Kind::File, length as u64));
        }
        assert_eq!(store.log().len(), before, "a look-up asks nobody");
        for _ in 0..2 {
            for (path, length) in FILES {
                assert!(read_file(&fs, path).await.unwrap() == content(path, length, 2));
            }
        }
        assert!(!store.log().contains(&Operation::List));
        assert_eq!(fs.findings(0), []);
        assert_eq!(fs.seal().await, Err(FsError::ReadOnly));
    }
}

/// What is done to a file, and the code of the error where the format authenticates and where only a digest does.
const ATTACKS: [(&str, [&str; 2]); 9] = [
    ("flip", ["CR-FORMAT-0006", "CR-FORMAT-0032"]),
    ("flip the end", ["CR-FORMAT-0005", "CR-FORMAT-0032"]),
    ("truncate", ["CR-FORMAT-0001", "CR-FORMAT-0032"]),
    ("extend", ["CR-FORMAT-0001", "CR-FORMAT-0032"]),
    ("another file", ["CR-FORMAT-0032", "CR-FORMAT-0032"]),
    ("roll back", ["CR-FORMAT-0033", "CR-FORMAT-0032"]),
    ("another key", ["CR-FORMAT-0004", "CR-FORMAT-0032"]),
    ("delete", ["CR-MOUNT-0020", "CR-MOUNT-0020"]),
    ("directory", ["CR-FORMAT-0032", "CR-FORMAT-0032"]),
];

#[tokio::test]
async fn every_other_version_of_a_file_is_an_error_and_a_finding() {
    for mode in modes() {
        for (attack, codes) in ATTACKS {
            let data = dataset(mode).await;
            let fs = data.mount().await.unwrap();
            let old = stored(&data.memory, "d/b");
            let changed = |change: fn(&mut Vec<u8>)| {
                let (mut body, metadata) = old.clone();
                change(&mut body);
                (body, metadata)
            };
            match attack {
                "flip" => data.memory.tamper("d/b", |blob| blob[4000] ^= 1),
                "flip the end" => data.memory.tamper("d/b", |blob| {
                    let at = blob.len() - 60;
                    blob[at] ^= 1;
                }),
                "truncate" => {
                    data.put_with("d/b", changed(|body| body.truncate(body.len() - 1)))
                        .await
                }
                "extend" => data.put_with("d/b", changed(|body| body.push(0))).await,
                "another file" => data.put_with("d/b", stored(&data.memory, "d/e")).await,
                "roll back" => {
                    let (body, metadata) = stored(&data.earlier, "d/b");
                    // Under the same version, too.
                    data.memory.tamper("d/b", |blob| *blob = body);
                    data.memory.tamper_metadata("d/b", |of| *of = metadata);
                }
                "another key" => {
                    let other = MemoryStore::default();
                    write_file(&mount(&other, mode, 8, false), "b", &bytes(9000, 3))
                        .await
                        .unwrap();
                    data.put_with("d/b", stored(&other, "b")).await;
                }
                _ => {
                    data.memory.delete("d/b", &Condition::Always).await.unwrap();
                    if attack == "directory" {
                        data.memory.put_directory("d/b").await.unwrap();
                    }
                }
            }
            let attr = find(&fs, "d/b").await.unwrap();
            assert_eq!(attr.size, 9000, "the name stays, with its length");
            for _ in 0..2 {
                let read = read_file(&fs, "d/b").await;
                assert!(read.is_err(), "{mode:?} {attack}");
                let error = read.unwrap_err();
                assert_eq!(error.errno(), libc::EIO, "{attack}");
                match mode {
                    Mode::CseV2(_) => assert_eq!(error.code(), codes[0], "{attack}"),
                    Mode::Cpk => assert_eq!(error.code(), codes[1], "{attack}"),
                    _ => assert!(
                        fs.findings(0)
                            .iter()
                            .any(|found| found.code == error.code())
                    ),
                }
            }
            let found = fs.findings(0);
            assert_eq!(found.len(), 1, "{attack}: once for each reason");
            let file = found[0].file.clone().unwrap();
            assert_eq!(file.len(), 32);
            assert_eq!(fs.findings(1), []);
            // The others are not touched by it.
            assert!(read_file(&fs, "d/e").await.unwrap() == content("d/e", 9000, 2));
            // The same file again under a new version is the file.
            data.put_with("d/b", old).await;
            assert!(read_file(&fs, "d/b").await.unwrap() == content("d/b", 9000, 2));
        }
    }
}

#[tokio::test]
async fn a_file_is_compared_whenever_a_part_of_it_is_fetched() {
    for mode in modes() {
        for (attack, code) in [
            ("same content", None),
            ("change in place", Some("CR-FORMAT-0006")),
            ("delete", Some("CR-MOUNT-0020")),
        ] {
            let data = dataset(mode).await;
            let fs = data.mount().await.unwrap();
            let ino = find(&fs, "a").await.unwrap().ino;
            let handle = fs.open(ino, false, false).await.unwrap().handle;
            assert!(fs.read(handle, 0, 100).await.unwrap() == content("a", 100, 2));
            fs.0.cache.clear();
            match attack {
                "same content" => data.put_with("a", stored(&data.memory, "a")).await,
                "delete" => data.memory.delete("a", &Condition::Always).await.unwrap(),
                _ => data.memory.tamper("a", |blob| blob[90_000] ^= 1),
            }
            let read = fs.read(handle, 90_000, 100).await;
            match code {
                None => assert!(read.unwrap() == content("a", 90_100, 2)[90_000..]),
                Some(code) => {
                    let error = read.unwrap_err();
                    assert_eq!(error.errno(), libc::EIO, "{mode:?} {attack}");
                    if matches!(mode, Mode::CseV2(_) | Mode::Cpk) {
                        assert_eq!(error.code(), code, "{mode:?}");
                    }
                    assert_eq!(fs.findings(0).len(), 1);
                }
            }
        }
    }
}

#[tokio::test]
async fn another_manifest_than_the_pinned_one_is_not_mounted() {
    for mode in modes() {
        for (attack, code) in [
            ("roll back", "CR-FORMAT-0030"),
            ("flip", "CR-FORMAT-0006"),
            ("delete", "CR-MOUNT-0021"),
            ("another file", "CR-FORMAT-0008"),
            ("empty", "CR-FORMAT-0002"),
        ] {
            let data = dataset(mode).await;
            let path = manifest::PATH;
            match attack {
                "roll back" => data.put(path, data.earlier.bytes(path).unwrap()).await,
                "flip" => data.memory.tamper(path, |blob| blob[60] ^= 1),
                "empty" => data.put(path, Vec::new()).await,
                "another file" => {
                    // The owner's own file, bound to another path.
                    let mut writer =
                        blob_format::Writer::create(&dek(7), Default::default(), Some("x"))
                            .unwrap();
                    let mut blob = writer.write(0, &bytes(100, 1)).unwrap().concat();
                    blob.append(&mut writer.commit(Default::default()).unwrap().tail);
                    data.put(path, blob).await;
                }
                _ => data.memory.delete(path, &Condition::Always).await.unwrap(),
            }
            let error = data.mount().await.unwrap_err();
            assert_eq!(error.code(), code, "{attack}");
        }
        let mut data = dataset(mode).await;
        data.root = "0".repeat(64).parse().unwrap();
        let error = data.mount().await.unwrap_err();
        assert_eq!(error.code(), "CR-FORMAT-0030");
        let other = FileSystem::pinned(
            Arc::new(data.memory.clone()),
            dek(8),
            mode,
            options(),
            data.root,
        );
        assert_eq!(other.await.unwrap_err().code(), "CR-FORMAT-0004");
    }
}

#[tokio::test]
async fn a_manifest_that_the_memory_limit_does_not_hold_is_refused() {
    let data = dataset(SMALL).await;
    let small = Options {
        memory: 8 << 20,
        ..options()
    };
    let store = Faulty::new(data.memory.clone());
    let mounted = FileSystem::pinned(Arc::new(store.clone()), dek(7), SMALL, small, data.root);
    let error = mounted.await.unwrap_err();
    assert_eq!(
        (error.errno(), error.code()),
        (libc::ENOMEM, "CR-MOUNT-0022")
    );
}

#[tokio::test]
async fn findings_are_told_when_they_come_and_are_bounded() {
    let fixture = fixture(SMALL);
    let fs = &fixture.fs;
    for number in 0..70 {
        let name = format!("f{number}");
        write_file(fs, &name, b"content").await.unwrap();
        fixture.memory.tamper(&name, |blob| blob[40] ^= 1);
    }
    let reader = mount(&fixture.memory, SMALL, 7, true);
    let waiting = reader.clone();
    let waiting = tokio::spawn(async move { waiting.next_findings(0).await });
    tokio::task::yield_now().await;
    read_file(&reader, "f0").await.unwrap_err();
    let first = waiting.await.unwrap();
    assert_eq!(first.len(), 1);
    for number in 0..70 {
        read_file(&reader, &format!("f{number}")).await.unwrap_err();
    }
    let found = reader.next_findings(1).await;
    assert_eq!(found.len(), 64);
    let rest = Finding {
        file: None,
        code: "CR-FORMAT-0006".to_owned(),
    };
    assert_eq!(found.last(), Some(&rest));
    let more = tokio::time::timeout(Duration::from_millis(10), reader.next_findings(65));
    assert!(more.await.is_err());
}

#[tokio::test]
async fn a_file_that_was_told_is_no_further_file() {
    let fixture = fixture(SMALL);
    for number in 0..64 {
        let name = format!("f{number}");
        write_file(&fixture.fs, &name, b"content").await.unwrap();
        fixture.memory.tamper(&name, |blob| blob[40] ^= 1);
    }
    let reader = mount(&fixture.memory, SMALL, 7, true);
    for number in (0..64).chain(0..64) {
        read_file(&reader, &format!("f{number}")).await.unwrap_err();
    }
    let found = reader.findings(0);
    assert_eq!(found.len(), 64);
    assert!(found.iter().all(|finding| finding.file.is_some()));
}

#[tokio::test]
async fn a_service_that_holds_content_under_another_key_is_a_finding() {
    let dek = dek(7);
    let findings = crate::findings::Findings::default();
    for (error, told) in [
        (StoreError::WrongKey, true),
        (StoreError::KeyNotUsed, true),
        (StoreError::Full, false),
    ] {
        let before = findings.after(0).len();
        findings.report(&dek, "a", &FsError::from(error));
        assert_eq!(findings.after(before).len(), usize::from(told));
    }
}

#[tokio::test]
async fn content_that_a_commit_cannot_take_over_is_a_finding() {
    for mode in modes().filter(|mode| matches!(mode, Mode::CseAzure(..))) {
        let memory = MemoryStore::default();
        write_file(&mount(&memory, mode, 7, false), "a", &bytes(100_000, 1))
            .await
            .unwrap();
        let fs = mount(&memory, mode, 7, false);
        let ino = find(&fs, "a").await.unwrap().ino;
        let handle = fs.open(ino, true, false).await.unwrap().handle;
        memory.tamper("a", |blob| *blob.last_mut().unwrap() ^= 1);
        fs.write(handle, 0, b"x").await.unwrap();
        fs.flush(handle).await.unwrap_err();
        assert_eq!(fs.findings(0).len(), 1, "{mode:?}");
        fs.release(handle).await.unwrap();
    }
}
