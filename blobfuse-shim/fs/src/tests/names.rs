//! Listings as directories, and what may be made where.

use std::time::Duration;

use blob_store::testing::{Failure, Operation};
use blob_store::{BlobStore, Condition};
use bytes::Bytes;

use super::{Fixture, SMALL, find, fixture, list, mount, write_file};
use crate::{Changes, FsError, Kind, Mode, ROOT};

#[tokio::test]
async fn names_with_slashes_are_a_tree_and_impossible_ones_are_hidden() {
    let Fixture { memory, .. } = fixture(Mode::Cpk);
    let put = async |name: &str| {
        let body = Bytes::from_static(b"x");
        memory
            .put_blob(name, body, &Condition::Always)
            .await
            .unwrap();
    };
    for name in [
        "a/b/c",
        "a/d",
        "e",
        "both",
        "both/f",
        "g/",
        "h//i",
        "./j",
        "k/../l",
        ".cleanroom/manifest",
        "a/.cleanroom",
    ] {
        put(name).await;
    }
    memory.put_directory("marked").await.unwrap();
    let fs = mount(&memory, Mode::Cpk, 7, true);
    assert_eq!(
        list(&fs, "").await,
        ["a", "both", "e", "g", "h", "k", "marked"]
    );
    assert_eq!(list(&fs, "a").await, [".cleanroom", "b", "d"]);
    assert_eq!(list(&fs, "both").await, ["f"]);
    assert!(list(&fs, "g").await.is_empty() && list(&fs, "h").await.is_empty());
    assert!(list(&fs, "k").await.is_empty() && list(&fs, "marked").await.is_empty());
    assert_eq!(find(&fs, "a/b/c").await.unwrap().kind, Kind::File);
    assert_eq!(find(&fs, "both").await.unwrap().kind, Kind::Directory);
    assert_eq!(find(&fs, "a/x").await.unwrap_err(), FsError::NotFound);
    assert_eq!(find(&fs, "e/x").await.unwrap_err(), FsError::NotDirectory);
    for name in ["", ".", "..", "a/b", "nul\0"] {
        assert_eq!(fs.look_up(ROOT, name).await.unwrap_err(), FsError::Name);
    }
}

#[tokio::test]
async fn a_read_only_mount_refuses_every_change() {
    let Fixture { fs, memory, .. } = fixture(SMALL);
    write_file(&fs, "a", b"content").await.unwrap();
    let fs = mount(&memory, SMALL, 7, true);
    let ino = find(&fs, "a").await.unwrap().ino;
    let before = memory.names();
    assert_eq!(fs.create(ROOT, "b").await.unwrap_err().errno(), libc::EROFS);
    assert_eq!(
        fs.open(ino, true, false).await.unwrap_err(),
        FsError::ReadOnly
    );
    assert_eq!(
        fs.make_directory(ROOT, "d").await.unwrap_err(),
        FsError::ReadOnly
    );
    assert_eq!(fs.unlink(ROOT, "a").await.unwrap_err(), FsError::ReadOnly);
    assert_eq!(
        fs.remove_directory(ROOT, "a").await.unwrap_err(),
        FsError::ReadOnly
    );
    let renamed = fs.rename((ROOT, "a"), (ROOT, "b"), true).await;
    assert_eq!(renamed.unwrap_err(), FsError::ReadOnly);
    let changes = Changes {
        size: Some(0),
        ..Changes::default()
    };
    assert_eq!(
        fs.set_attributes(ino, changes).await.unwrap_err(),
        FsError::ReadOnly
    );
    assert_eq!(fs.seal().await.unwrap_err(), FsError::ReadOnly);
    assert_eq!(memory.names(), before);
}

#[tokio::test]
async fn directories_are_made_and_removed_only_when_empty() {
    let Fixture { fs, memory, .. } = fixture(SMALL);
    let dir = fs.make_directory(ROOT, "d").await.unwrap();
    assert_eq!(
        fs.make_directory(ROOT, "d").await.unwrap_err(),
        FsError::Exists
    );
    let (_, opened) = fs.create(dir.ino, "f").await.unwrap();
    assert_eq!(
        list(&fs, "d").await,
        ["f"],
        "visible before it is committed"
    );
    assert_eq!(
        fs.remove_directory(ROOT, "d").await.unwrap_err(),
        FsError::NotEmpty
    );
    fs.flush(opened.handle).await.unwrap();
    fs.release(opened.handle).await.unwrap();
    assert_eq!(memory.names(), ["d", "d/f"]);
    let renamed = fs.rename((ROOT, "d"), (ROOT, "e"), true).await;
    assert_eq!(renamed.unwrap_err().errno(), libc::EXDEV);
    fs.rename((dir.ino, "f"), (ROOT, "f"), false).await.unwrap();
    fs.remove_directory(ROOT, "d").await.unwrap();
    assert_eq!(list(&fs, "").await, ["f"]);
}

#[tokio::test]
async fn the_mounts_own_directory_holds_the_nonce_and_nothing_can_be_made_in_it() {
    let Fixture { fs, .. } = fixture(SMALL);
    fs.set_nonce("00ff");
    assert!(list(&fs, "").await.is_empty());
    let nonce = find(&fs, ".cleanroom/nonce").await.unwrap();
    let opened = fs.open(nonce.ino, false, false).await.unwrap();
    assert!(opened.direct);
    assert_eq!(fs.read(opened.handle, 0, 100).await.unwrap(), &b"00ff"[..]);
    assert_eq!(fs.read(opened.handle, 2, 1).await.unwrap(), &b"f"[..]);
    assert_eq!(fs.read(opened.handle, 9, 1).await.unwrap(), &b""[..]);
    let own = find(&fs, ".cleanroom").await.unwrap();
    assert_eq!(
        fs.create(ROOT, ".cleanroom").await.unwrap_err(),
        FsError::Name
    );
    assert_eq!(
        fs.create(own.ino, "manifest").await.unwrap_err(),
        FsError::Name
    );
    assert_eq!(
        fs.make_directory(ROOT, ".cleanroom").await.unwrap_err(),
        FsError::Name
    );
    assert_eq!(
        find(&fs, ".cleanroom/manifest").await.unwrap_err(),
        FsError::NotFound
    );
    assert_eq!(
        fs.open(nonce.ino, true, false).await.unwrap_err(),
        FsError::ReadOnly
    );
}

#[tokio::test]
async fn an_unlinked_file_can_be_made_again_while_a_reader_still_holds_it() {
    let Fixture { fs, .. } = fixture(SMALL);
    write_file(&fs, "a", b"old").await.unwrap();
    let ino = find(&fs, "a").await.unwrap().ino;
    let old = fs.open(ino, false, false).await.unwrap().handle;
    fs.unlink(ROOT, "a").await.unwrap();
    assert_eq!(find(&fs, "a").await.unwrap_err(), FsError::NotFound);
    write_file(&fs, "a", b"new").await.unwrap();
    fs.release(old).await.unwrap();
    assert_eq!(super::read_file(&fs, "a").await.unwrap(), b"new");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_made_anew_while_the_blob_of_the_unlinked_file_is_being_deleted() {
    let Fixture { fs, faulty, .. } = fixture(SMALL);
    write_file(&fs, "a", b"old").await.unwrap();
    let ino = find(&fs, "a").await.unwrap().ino;
    let old = fs.open(ino, false, false).await.unwrap().handle;
    // The listing is remembered with it.
    assert_eq!(list(&fs, "").await, ["a"]);
    fs.unlink(ROOT, "a").await.unwrap();
    faulty.fail(Operation::Delete, Failure::Slow(Duration::from_secs(1)));
    let closing = tokio::spawn({
        let fs = fs.clone();
        async move { fs.release(old).await }
    });
    while !faulty.log().contains(&Operation::Delete) {
        tokio::task::yield_now().await;
    }
    assert_eq!(find(&fs, "a").await.unwrap_err(), FsError::NotFound);
    write_file(&fs, "a", b"new").await.unwrap();
    closing.await.unwrap().unwrap();
    assert_eq!(super::read_file(&fs, "a").await.unwrap(), b"new");
}

#[tokio::test]
async fn modes_and_times_are_recorded_where_the_format_can_and_refused_elsewhere() {
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let changes = Changes {
        mode: Some(0o100_600),
        modified: Some(Some(time)),
        size: None,
    };
    let Fixture { fs, memory, .. } = fixture(SMALL);
    let (attr, opened) = fs.create(ROOT, "a").await.unwrap();
    fs.set_attributes(attr.ino, changes).await.unwrap();
    fs.flush(opened.handle).await.unwrap();
    fs.release(opened.handle).await.unwrap();
    let blob = memory.bytes("a").unwrap();
    let view = blob_format::View::open(&super::dek(7), blob.len() as u64, &blob, None).unwrap();
    assert_eq!(
        (view.footer().mode, view.footer().mtime_ns),
        (0o600, 1_000_000_000_000)
    );
    let refused = fs.set_attributes(attr.ino, changes).await.unwrap_err();
    assert_eq!(refused.errno(), libc::ENOTSUP);

    let Fixture { fs, .. } = fixture(Mode::Cpk);
    let (attr, _) = fs.create(ROOT, "a").await.unwrap();
    assert_eq!(
        fs.set_attributes(attr.ino, changes)
            .await
            .unwrap_err()
            .errno(),
        libc::ENOTSUP
    );
    let now = Changes {
        modified: Some(None),
        ..Changes::default()
    };
    fs.set_attributes(attr.ino, now).await.unwrap();
}
