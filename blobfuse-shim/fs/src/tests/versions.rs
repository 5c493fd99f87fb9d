//! Files that change in storage, and files whose sizes are not the mount's.

use std::sync::Arc;
use std::time::Duration;

use blob_format::Params;
use blob_store::testing::{Failure, Faulty, MemoryStore, Operation};
use blob_store::{BlobStore, Condition};

use super::{SMALL, bytes, dek, find, fixture, mount, options, read_file, write_file};
use crate::{Changes, FileSystem, FsError, Mode, Options, ROOT};

/// A mount that believes no listing.
fn wary(memory: &MemoryStore, mode: Mode) -> FileSystem {
    let options = Options {
        ttl: Duration::ZERO,
        ..options()
    };
    FileSystem::new(Arc::new(memory.clone()), dek(7), mode, options)
}

#[tokio::test]
async fn a_replaced_file_has_a_new_inode_and_the_old_one_gives_nothing_of_it() {
    for mode in [SMALL, Mode::Cpk] {
        for write in [false, true] {
            let memory = MemoryStore::default();
            write_file(&mount(&memory, mode, 7, false), "a", &bytes(30_000, 1))
                .await
                .unwrap();
            let fs = wary(&memory, mode);
            let old = find(&fs, "a").await.unwrap().ino;
            let handle = fs.open(old, write, false).await.unwrap().handle;
            assert!(fs.read(handle, 0, 100).await.unwrap() == bytes(100, 1));
            let other = wary(&memory, mode);
            other.unlink(ROOT, "a").await.unwrap();
            write_file(&other, "a", &bytes(20_000, 2)).await.unwrap();
            // An open file does not hide what storage has now.
            assert_eq!(fs.open(old, false, false).await.unwrap_err(), FsError::Gone);
            assert_eq!(FsError::Gone.errno(), libc::ESTALE);
            let new = find(&fs, "a").await.unwrap();
            assert_ne!(new.ino, old);
            assert_eq!(new.size, 20_000);
            assert!(read_file(&fs, "a").await.unwrap() == bytes(20_000, 2));
            // The old inode's pages stay its own.
            for offset in [0, 15_000, 25_000] {
                let read = fs.read(handle, offset, 100).await;
                assert_eq!(read, Err(FsError::Stale));
            }
            if write {
                assert_eq!(fs.write(handle, 0, b"x").await, Err(FsError::Stale));
                let size = Changes {
                    size: Some(5),
                    ..Changes::default()
                };
                let cut = fs.set_attributes_through(handle, old, size).await;
                assert_eq!(cut, Err(FsError::Stale));
            }
            let left = fs.attributes(old).await.unwrap();
            assert!(left.unlinked);
            fs.release(handle).await.unwrap();
            assert!(read_file(&fs, "a").await.unwrap() == bytes(20_000, 2));
            assert_eq!(fs.lost(), 0);
        }
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_after_it_was_listed_is_opened_at_the_next_look() {
    for mode in [SMALL, Mode::Cpk] {
        let memory = MemoryStore::default();
        write_file(&mount(&memory, mode, 7, false), "a", &bytes(30_000, 1))
            .await
            .unwrap();
        // It believes its listing for long.
        let fs = mount(&memory, mode, 7, true);
        let told = find(&fs, "a").await.unwrap();
        assert_eq!(told.size, 30_000);
        let other = mount(&memory, mode, 7, false);
        other.unlink(ROOT, "a").await.unwrap();
        write_file(&other, "a", &bytes(20_000, 2)).await.unwrap();
        assert_eq!(
            fs.open(told.ino, false, false).await.unwrap_err(),
            FsError::Gone
        );
        assert_eq!(find(&fs, "a").await.unwrap().size, 20_000);
        assert!(read_file(&fs, "a").await.unwrap() == bytes(20_000, 2));
    }
}

#[tokio::test]
async fn a_file_deleted_in_storage_while_it_is_open_cannot_be_opened_again() {
    let memory = MemoryStore::default();
    write_file(&mount(&memory, SMALL, 7, false), "a", b"content")
        .await
        .unwrap();
    let fs = wary(&memory, SMALL);
    let ino = find(&fs, "a").await.unwrap().ino;
    let handle = fs.open(ino, false, false).await.unwrap().handle;
    memory.delete("a", &Condition::Always).await.unwrap();
    assert_eq!(fs.open(ino, false, false).await.unwrap_err(), FsError::Gone);
    assert_eq!(find(&fs, "a").await.unwrap_err(), FsError::NotFound);
    fs.release(handle).await.unwrap();
}

#[tokio::test]
async fn an_open_file_with_changes_meets_storage_at_its_commit() {
    let memory = MemoryStore::default();
    write_file(&mount(&memory, SMALL, 7, false), "a", b"content")
        .await
        .unwrap();
    let fs = wary(&memory, SMALL);
    let ino = find(&fs, "a").await.unwrap().ino;
    let writer = fs.open(ino, true, false).await.unwrap().handle;
    fs.write(writer, 0, b"C").await.unwrap();
    memory.delete("a", &Condition::Always).await.unwrap();
    let reader = fs.open(ino, false, false).await.unwrap().handle;
    assert_eq!(fs.read(reader, 0, 7).await.unwrap(), &b"Content"[..]);
    assert_eq!(fs.flush(writer).await, Err(FsError::Conflict));
}

#[tokio::test]
async fn the_kernel_keeps_no_pages_of_another_content_under_the_same_etag() {
    let memory = MemoryStore::default();
    let sink = mount(&memory, SMALL, 7, false);
    write_file(&sink, "a", &bytes(9000, 1)).await.unwrap();
    let earlier = memory.bytes("a").unwrap();
    let ino = find(&sink, "a").await.unwrap().ino;
    let opened = sink.open(ino, true, false).await.unwrap();
    sink.write(opened.handle, 0, &bytes(9000, 2)).await.unwrap();
    sink.flush(opened.handle).await.unwrap();
    let fs = mount(&memory, SMALL, 7, true);
    let ino = find(&fs, "a").await.unwrap().ino;
    for (keep, content) in [(false, 2), (true, 2), (false, 1)] {
        if content == 1 {
            // The commit before, under the ETag of the last one.
            let earlier = earlier.clone();
            memory.tamper("a", |blob| *blob = earlier);
        }
        let opened = fs.open(ino, false, false).await.unwrap();
        assert_eq!(opened.keep, keep);
        let read = fs.read(opened.handle, 0, 9000).await.unwrap();
        assert!(read == bytes(9000, content));
        fs.release(opened.handle).await.unwrap();
    }
}

#[tokio::test]
async fn a_length_that_a_listing_tells_wrong_is_told_right_before_the_file_is_read() {
    let other = Mode::CseV2(Params::new(14, 16).unwrap());
    let memory = MemoryStore::default();
    write_file(&mount(&memory, other, 7, false), "a", &bytes(100_000, 1))
        .await
        .unwrap();
    let fs = mount(&memory, SMALL, 7, false);
    let listed = find(&fs, "a").await.unwrap();
    assert_ne!(listed.size, 100_000, "the listing alone cannot know");
    // The kernel looks again, and knows the length of which it cuts reads and at which it appends.
    let refused = fs.open(listed.ino, false, false).await.unwrap_err();
    assert_eq!(refused, FsError::Gone);
    assert_eq!(find(&fs, "a").await.unwrap().size, 100_000);
    assert!(read_file(&fs, "a").await.unwrap() == bytes(100_000, 1));
    assert_eq!(find(&fs, "a").await.unwrap().size, 100_000);
    // Truncating needs no length.
    let fs = mount(&memory, SMALL, 7, false);
    let ino = find(&fs, "a").await.unwrap().ino;
    let opened = fs.open(ino, true, true).await.unwrap();
    fs.flush(opened.handle).await.unwrap();
    assert_eq!(find(&fs, "a").await.unwrap().size, 0);
}

#[tokio::test]
async fn files_with_other_sizes_than_the_mounts_are_copied_in_parts_of_the_mounts() {
    let tiny = Mode::CseV2(Params::new(12, 12).unwrap());
    let usual = Mode::CseV2(Params::default());
    let memory = MemoryStore::default();
    let data = bytes(9 << 20, 1);
    let (attr, opened) = {
        let fs = mount(&memory, tiny, 7, false);
        let (attr, opened) = fs.create(ROOT, "a").await.unwrap();
        for (part, at) in data.chunks(1 << 20).zip(0_u64..) {
            fs.write(opened.handle, at << 20, part).await.unwrap();
        }
        fs.flush(opened.handle).await.unwrap();
        (attr, opened)
    };
    assert_eq!((attr.size, opened.keep), (0, false));
    let faulty = Faulty::new(memory.clone());
    let fs = FileSystem::new(Arc::new(faulty.clone()), dek(7), usual, options());
    fs.rename((ROOT, "a"), (ROOT, "b"), false).await.unwrap();
    let blocks = |faulty: &Faulty| {
        let log = faulty.log();
        log.iter().filter(|op| **op == Operation::Block).count()
    };
    // Its 2304 extents in three parts.
    assert_eq!(blocks(&faulty), 3);
    // The next commit names them again as far as it can, and copies the rest in such parts, too.
    let _ = fs
        .open(find(&fs, "b").await.unwrap().ino, true, false)
        .await;
    let ino = find(&fs, "b").await.unwrap().ino;
    let opened = fs.open(ino, true, false).await.unwrap();
    fs.write(opened.handle, 5000, b"changed").await.unwrap();
    fs.flush(opened.handle).await.unwrap();
    fs.release(opened.handle).await.unwrap();
    assert!(blocks(&faulty) <= 8, "{}", blocks(&faulty));
    let mut expected = data;
    expected[5000..5007].copy_from_slice(b"changed");
    let reader = mount(&memory, tiny, 7, true);
    assert!(read_file(&reader, "b").await.unwrap() == expected);
}

#[tokio::test]
async fn a_file_whose_extents_the_memory_cannot_hold_is_read_and_not_changed() {
    let large = Mode::CseV2(Params::new(16, 22).unwrap());
    let memory = MemoryStore::default();
    let data = bytes(6 << 20, 1);
    write_file(&mount(&memory, large, 7, false), "a", &data)
        .await
        .unwrap();
    let mounted = |bytes| {
        let options = Options {
            memory: bytes,
            uploads: 100_000,
            ..options()
        };
        FileSystem::new(Arc::new(memory.clone()), dek(7), SMALL, options)
    };
    for (bytes, changes) in [(4 << 20, false), (64 << 20, true)] {
        let fs = mounted(bytes);
        let ino = find(&fs, "a").await.unwrap().ino;
        let _ = fs.open(ino, false, false).await;
        let ino = find(&fs, "a").await.unwrap().ino;
        let opened = fs.open(ino, true, false).await.unwrap();
        let read = fs.read(opened.handle, 5 << 20, 100).await.unwrap();
        assert!(read == data[5 << 20..(5 << 20) + 100]);
        let written = fs.write(opened.handle, 5 << 20, b"changed").await;
        assert_eq!(written.is_ok(), changes, "{bytes}");
        match written {
            Ok(()) => fs.flush(opened.handle).await.unwrap(),
            Err(error) => assert_eq!(error.errno(), libc::ENOTSUP),
        }
        fs.release(opened.handle).await.unwrap();
        assert_eq!(fs.lost(), 0);
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_deletion_is_no_error() {
    let fixture = fixture(SMALL);
    write_file(&fixture.fs, "a", b"content").await.unwrap();
    fixture.faulty.fail(Operation::Delete, Failure::Repeated);
    fixture.fs.unlink(ROOT, "a").await.unwrap();
    assert!(fixture.memory.names().is_empty());
    assert_eq!(
        fixture.fs.unlink(ROOT, "a").await.unwrap_err(),
        FsError::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_opened_while_it_is_renamed_is_the_renamed_one() {
    let fixture = fixture(SMALL);
    let fs = &fixture.fs;
    write_file(fs, "a", b"content").await.unwrap();
    let ino = find(fs, "a").await.unwrap().ino;
    fixture
        .faulty
        .fail(Operation::Delete, Failure::Slow(Duration::from_secs(1)));
    let renaming = fs.rename((ROOT, "a"), (ROOT, "b"), false);
    let opening = async {
        // The rename is under way: its copy is there, the old name still is, too.
        while fixture.memory.bytes("b").is_none() {
            tokio::task::yield_now().await;
        }
        fs.open(ino, true, false).await.unwrap()
    };
    let (renamed, opened) = tokio::join!(renaming, opening);
    renamed.unwrap();
    fs.write(opened.handle, 0, b"CONTENT").await.unwrap();
    fs.flush(opened.handle).await.unwrap();
    fs.release(opened.handle).await.unwrap();
    assert_eq!(fixture.memory.names(), ["b"]);
    assert_eq!(read_file(fs, "b").await.unwrap(), b"CONTENT");
}
