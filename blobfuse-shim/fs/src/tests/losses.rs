//! Content that did not reach storage is not forgotten: not by a rename, not by an edit, not by a caller that goes away.

use std::sync::Arc;
use std::time::Duration;

use blob_store::testing::{Failure, Faulty, MemoryStore, Operation};
use tokio::time::timeout;

use super::{Fixture, SMALL, bytes, dek, find, fixture, mount, options, write_file};
use crate::{FileSystem, FsError, Mode, ROOT};

/// Commits a first version of a file and loses the second one.
async fn lose(fs: &FileSystem, faulty: &Faulty, parent: u64, name: &str) {
    let (_, opened) = fs.create(parent, name).await.unwrap();
    fs.write(opened.handle, 0, b"old").await.unwrap();
    fs.flush(opened.handle).await.unwrap();
    fs.write(opened.handle, 3, b" and lost").await.unwrap();
    faulty.fail(Operation::Put, Failure::Down);
    assert_eq!(
        fs.flush(opened.handle).await.unwrap_err().errno(),
        libc::EIO
    );
    faulty.heal();
    fs.release(opened.handle).await.unwrap();
    assert_eq!(fs.lost(), 1);
}

#[tokio::test]
async fn a_rename_takes_along_that_content_was_lost() {
    let hierarchical = MemoryStore::default().hierarchical();
    for memory in [MemoryStore::default(), hierarchical] {
        let faulty = Faulty::new(memory);
        let fs = FileSystem::new(Arc::new(faulty.clone()), dek(7), SMALL, options());
        write_file(&fs, "out", b"replaced").await.unwrap();
        lose(&fs, &faulty, ROOT, "tmp").await;
        fs.rename((ROOT, "tmp"), (ROOT, "out"), true).await.unwrap();
        assert_eq!(fs.lost(), 1);
        // A whole file in its place makes up for it.
        write_file(&fs, "tmp", b"whole").await.unwrap();
        fs.rename((ROOT, "tmp"), (ROOT, "out"), true).await.unwrap();
        assert_eq!(fs.lost(), 0);
        lose(&fs, &faulty, ROOT, "tmp").await;
        fs.rename((ROOT, "tmp"), (ROOT, "out"), true).await.unwrap();
        assert_eq!(fs.seal().await, Err(FsError::Lost(1)));
    }
}

#[tokio::test]
async fn a_renamed_directory_takes_along_that_content_was_lost() {
    let faulty = Faulty::new(MemoryStore::default().hierarchical());
    let fs = FileSystem::new(Arc::new(faulty.clone()), dek(7), SMALL, options());
    let dir = fs.make_directory(ROOT, "tmp").await.unwrap();
    lose(&fs, &faulty, dir.ino, "a").await;
    fs.rename((ROOT, "tmp"), (ROOT, "out"), false)
        .await
        .unwrap();
    assert_eq!(fs.lost(), 1);
    let ino = find(&fs, "out").await.unwrap().ino;
    fs.unlink(ino, "a").await.unwrap();
    assert_eq!(fs.lost(), 0, "given up under its new name");
}

#[tokio::test]
async fn an_edit_of_the_old_version_does_not_make_up_for_a_loss() {
    for mode in [SMALL, Mode::Cpk] {
        let Fixture { fs, faulty, .. } = fixture(mode);
        lose(&fs, &faulty, ROOT, "a").await;
        let ino = find(&fs, "a").await.unwrap().ino;
        for (truncate, lost) in [(false, 1), (true, 0)] {
            let opened = fs.open(ino, true, truncate).await.unwrap();
            fs.write(opened.handle, 1, b"edit").await.unwrap();
            fs.flush(opened.handle).await.unwrap();
            fs.release(opened.handle).await.unwrap();
            assert_eq!(fs.lost(), lost);
        }
        assert_eq!(fs.seal().await.unwrap().files, 1);
    }
}

#[tokio::test]
async fn the_kernel_keeps_no_pages_of_content_that_was_lost() {
    let Fixture { fs, faulty, .. } = fixture(SMALL);
    lose(&fs, &faulty, ROOT, "a").await;
    let ino = find(&fs, "a").await.unwrap().ino;
    for keep in [false, true] {
        let opened = fs.open(ino, false, false).await.unwrap();
        assert_eq!(opened.keep, keep);
        fs.release(opened.handle).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_cut_off_fails_the_file() {
    for (operation, length, is_asked) in [
        (Operation::Put, 100, true),
        (Operation::Put, 100, false),
        (Operation::BlockList, 60_000, true),
        (Operation::BlockList, 60_000, false),
    ] {
        let Fixture { fs, memory, faulty } = fixture(SMALL);
        let (_, opened) = fs.create(ROOT, "a").await.unwrap();
        fs.write(opened.handle, 0, &bytes(length, 1)).await.unwrap();
        faulty.fail(operation, Failure::Hang);
        let cut = timeout(Duration::from_secs(1), fs.flush(opened.handle)).await;
        assert!(cut.is_err(), "no answer yet");
        faulty.heal();
        if is_asked {
            assert_eq!(fs.flush(opened.handle).await, Err(FsError::Lost(1)));
        }
        fs.release(opened.handle).await.unwrap();
        assert_eq!(memory.bytes("a"), None);
        assert_eq!(fs.seal().await, Err(FsError::Lost(1)));
    }
}

#[tokio::test]
async fn a_sync_through_any_handle_commits_the_file() {
    let Fixture { fs, memory, .. } = fixture(SMALL);
    let (attr, opened) = fs.create(ROOT, "a").await.unwrap();
    fs.write(opened.handle, 0, b"content").await.unwrap();
    let reader = fs.open(attr.ino, false, false).await.unwrap().handle;
    fs.flush(reader).await.unwrap();
    assert_eq!(memory.bytes("a"), None, "closing a reader commits nothing");
    fs.sync(reader).await.unwrap();
    let other = mount(&memory, SMALL, 7, true);
    assert_eq!(super::read_file(&other, "a").await.unwrap(), b"content");
}

#[tokio::test]
async fn the_first_upload_that_fails_ends_a_commit() {
    let Fixture { fs, faulty, .. } = fixture(SMALL);
    let (_, opened) = fs.create(ROOT, "a").await.unwrap();
    // Back to front: nothing is sent before the commit.
    let data = bytes(8192, 1);
    for index in (0..100).rev() {
        fs.write(opened.handle, index * 8192, &data).await.unwrap();
    }
    faulty.fail(Operation::Block, Failure::Down);
    let error = fs.flush(opened.handle).await.unwrap_err();
    assert_eq!(error.errno(), libc::EIO);
    let sent = faulty.log();
    let sent = sent.iter().filter(|op| **op == Operation::Block).count();
    assert!(sent < 50, "{sent} blocks of 100 sent to a dead store");
}

#[tokio::test(start_paused = true)]
async fn a_file_unlinked_while_the_mount_is_sealed_is_either_gone_or_sealed() {
    let faulty = Faulty::new(MemoryStore::default());
    let options = crate::Options {
        ttl: Duration::ZERO,
        ..options()
    };
    let fs = FileSystem::new(Arc::new(faulty.clone()), dek(7), SMALL, options);
    write_file(&fs, "a", b"a").await.unwrap();
    write_file(&fs, "b", b"b").await.unwrap();
    let (a, b) = (
        find(&fs, "a").await.unwrap().ino,
        find(&fs, "b").await.unwrap().ino,
    );
    fs.open(a, false, false).await.unwrap();
    fs.unlink(ROOT, "a").await.unwrap();
    // It is past the check whether the mount takes changes, and finds the file open when it goes on.
    faulty.fail(Operation::List, Failure::Slow(Duration::from_secs(1)));
    let unlinking = fs.clone();
    let unlinking = tokio::spawn(async move { unlinking.unlink(ROOT, "b").await });
    tokio::task::yield_now().await;
    faulty.heal();
    fs.open(b, false, false).await.unwrap();
    faulty.fail(Operation::Delete, Failure::Slow(Duration::from_secs(2)));
    let sealed = fs.seal().await.unwrap();
    let left = usize::from(unlinking.await.unwrap().is_err());
    assert_eq!(sealed.files, left);
}

#[tokio::test(start_paused = true)]
async fn a_truncation_while_the_writer_goes_is_not_lost() {
    let Fixture { fs, memory, faulty } = fixture(SMALL);
    let (attr, opened) = fs.create(ROOT, "a").await.unwrap();
    fs.write(opened.handle, 0, &bytes(9000, 1)).await.unwrap();
    // The kernel tells that a handle was closed when `close` has returned already: a `truncate` may overtake it.
    let moment = Failure::Slow(Duration::from_millis(1));
    for operation in [Operation::Put, Operation::Block, Operation::BlockList] {
        faulty.fail(operation, moment);
    }
    let (released, changed) = tokio::join!(
        fs.release(opened.handle),
        fs.set_attributes(attr.ino, size(1))
    );
    released.unwrap();
    assert_eq!(changed.unwrap().size, 1);
    assert_eq!(find(&fs, "a").await.unwrap().size, 1);
    let other = mount(&memory, SMALL, 7, true);
    assert_eq!(super::read_file(&other, "a").await.unwrap(), bytes(1, 1));
}

fn size(size: u64) -> crate::Changes {
    crate::Changes {
        size: Some(size),
        ..crate::Changes::default()
    }
}
