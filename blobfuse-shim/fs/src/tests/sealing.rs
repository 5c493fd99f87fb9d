//! A sealed sink: final, complete, and described by its manifest.

use blob_format::View;
use blob_format::manifest::{self, Manifest};

use blob_store::testing::MemoryStore;
use blob_store::{BlobStore, Condition};

use super::{Fixture, SMALL, bytes, dek, fixture, mount, write_file};
use crate::{FsError, Mode, ROOT};

fn read_manifest(blob: &[u8]) -> Manifest {
    let view = View::open(&dek(7), blob.len() as u64, blob, Some(manifest::PATH)).unwrap();
    let plan = view.plan(0..view.len()).unwrap();
    let end = usize::try_from(plan.sealed.end).unwrap();
    Manifest::decode(&view.decrypt(&plan, blob[..end].to_vec()).unwrap()).unwrap()
}

#[tokio::test]
async fn sealing_commits_open_files_and_refuses_everything_after() {
    let Fixture { fs, memory, .. } = fixture(SMALL);
    let (_, opened) = fs.create(ROOT, "open").await.unwrap();
    fs.write(opened.handle, 0, b"not flushed").await.unwrap();
    let sealed = fs.seal().await.unwrap();
    assert_eq!((sealed.files, sealed.bytes, sealed.root.len()), (1, 11, 64));
    assert_eq!(
        fs.write(opened.handle, 11, b"x").await,
        Err(FsError::Sealed)
    );
    assert_eq!(FsError::Sealed.errno(), libc::EROFS);
    assert_eq!(fs.create(ROOT, "later").await.unwrap_err(), FsError::Sealed);
    assert_eq!(fs.unlink(ROOT, "open").await.unwrap_err(), FsError::Sealed);
    fs.flush(opened.handle).await.unwrap();
    fs.release(opened.handle).await.unwrap();
    assert_eq!(fs.seal().await.unwrap(), sealed);
    assert_eq!(memory.names(), [manifest::PATH, "open"]);
    assert_eq!(super::read_file(&fs, "open").await.unwrap(), b"not flushed");
}

#[tokio::test]
async fn the_manifest_is_the_same_whether_files_were_written_or_found() {
    for mode in [SMALL, Mode::Cpk] {
        let Fixture { fs, memory, .. } = fixture(mode);
        write_file(&fs, "b", &bytes(100_000, 1)).await.unwrap();
        write_file(&fs, "a", b"").await.unwrap();
        let dir = fs.make_directory(ROOT, "d").await.unwrap();
        fs.rename((ROOT, "a"), (dir.ino, "a"), false).await.unwrap();
        let sealed = fs.seal().await.unwrap();
        let manifest = read_manifest(&memory.bytes(manifest::PATH).unwrap());
        let paths: Vec<_> = manifest
            .entries()
            .iter()
            .map(|entry| entry.path.as_str())
            .collect();
        assert_eq!(paths, ["b", "d/a"]);
        assert_eq!(manifest.entries()[0].length, 100_000);

        let again = mount(&memory, mode, 7, false).seal().await.unwrap();
        assert_eq!(again, sealed);
        let other_key = Manifest::keyed_root(&manifest, &dek(8)).unwrap();
        assert_ne!(
            sealed.root,
            other_key
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        );
    }
}

#[tokio::test]
async fn a_file_put_into_the_sink_by_somebody_else_prevents_sealing_or_changes_the_root() {
    let Fixture { fs, memory, .. } = fixture(SMALL);
    write_file(&fs, "a", b"mine").await.unwrap();
    memory.tamper("a", |blob| blob[40] ^= 1);
    // Known by its version: the mount vouches for what it wrote, not for what storage serves later.
    let sealed = fs.seal().await.unwrap();
    assert_eq!(sealed.files, 1);

    let Fixture { fs, memory, .. } = fixture(SMALL);
    write_file(&fs, "a", b"mine").await.unwrap();
    BlobStore::put_blob(&memory, "b", vec![1; 500].into(), &Condition::Always)
        .await
        .unwrap();
    let error = fs.seal().await.unwrap_err();
    assert_eq!(error.errno(), libc::EIO);
}

#[tokio::test]
async fn what_this_mount_committed_is_what_storage_lists_or_the_sink_is_not_sealed() {
    for mode in [SMALL, Mode::Cpk] {
        // A version of before comes back, the file is deleted, or it comes back and is then edited or renamed.
        for attack in ["roll back", "delete", "edit", "rename", "move"] {
            let Fixture { fs, memory, .. } = fixture(mode);
            write_file(&fs, "a", b"first").await.unwrap();
            let first = memory.bytes("a").unwrap();
            let attr = super::find(&fs, "a").await.unwrap();
            let opened = fs.open(attr.ino, true, true).await.unwrap();
            fs.write(opened.handle, 0, b"second").await.unwrap();
            fs.flush(opened.handle).await.unwrap();
            fs.release(opened.handle).await.unwrap();
            if attack == "rename" {
                fs.rename((ROOT, "a"), (ROOT, "b"), false).await.unwrap();
            }
            let name = if attack == "rename" { "b" } else { "a" };
            let always = Condition::Always;
            match attack {
                "delete" => memory.delete(name, &always).await.unwrap(),
                _ => {
                    let put = memory.put_blob(name, first.into(), &always);
                    put.await.unwrap();
                }
            }
            // The listing of a moment ago would make the next operation fail already.
            fs.0.directories.forget();
            match attack {
                "edit" => {
                    let attr = super::find(&fs, "a").await.unwrap();
                    let opened = fs.open(attr.ino, true, false).await.unwrap();
                    fs.write(opened.handle, 0, b"F").await.unwrap();
                    fs.flush(opened.handle).await.unwrap();
                    fs.release(opened.handle).await.unwrap();
                }
                "move" => fs.rename((ROOT, "a"), (ROOT, "b"), false).await.unwrap(),
                _ => {}
            }
            assert_eq!(fs.seal().await, Err(FsError::Conflict), "{attack}");
        }
    }
}

#[tokio::test]
async fn removed_and_replaced_files_are_not_missed() {
    let hierarchical = MemoryStore::default().hierarchical();
    for memory in [MemoryStore::default(), hierarchical.clone()] {
        let fs = mount(&memory, SMALL, 7, false);
        for name in ["a", "b", "c", "d"] {
            write_file(&fs, name, name.as_bytes()).await.unwrap();
        }
        let a = super::find(&fs, "a").await.unwrap().ino;
        fs.open(a, false, false).await.unwrap();
        fs.unlink(ROOT, "a").await.unwrap();
        fs.unlink(ROOT, "b").await.unwrap();
        fs.rename((ROOT, "c"), (ROOT, "d"), true).await.unwrap();
        assert_eq!(fs.seal().await.unwrap().files, 1);
    }
    // A renamed directory is known by what is in it.
    for attack in [None, Some("roll back"), Some("rename")] {
        let memory = MemoryStore::default().hierarchical();
        let fs = mount(&memory, SMALL, 7, false);
        let dir = fs.make_directory(ROOT, "d").await.unwrap();
        write_file(&fs, "a", b"first").await.unwrap();
        let first = memory.bytes("a").unwrap();
        fs.unlink(ROOT, "a").await.unwrap();
        write_file(&fs, "a", b"second").await.unwrap();
        fs.rename((ROOT, "a"), (dir.ino, "a"), false).await.unwrap();
        fs.rename((ROOT, "d"), (ROOT, "e"), false).await.unwrap();
        if attack.is_some() {
            let put = memory.put_blob("e/a", first.into(), &Condition::Always);
            put.await.unwrap();
        }
        if attack == Some("rename") {
            let dir = super::find(&fs, "e").await.unwrap().ino;
            fs.rename((dir, "a"), (ROOT, "a"), false).await.unwrap();
        }
        let sealed = fs.seal().await.map(|sealed| sealed.files);
        let expected = if attack.is_none() {
            Ok(1)
        } else {
            Err(FsError::Conflict)
        };
        assert_eq!(sealed, expected, "{attack:?}");
    }
}
