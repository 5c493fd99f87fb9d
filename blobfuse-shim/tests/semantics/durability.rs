use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;

use blob_fs::FsError;
use blob_store::testing::{Failure, Operation};
use blob_store::{BlobStore, Condition};
use blobfuse_shim::mount;
use nix::mount::{MntFlags, umount2};

use crate::room::{close, committed, errno, pattern, sink, write_synced};

#[test]
fn durable_1_fsync() {
    let (memory, _, mount) = sink();
    let mut file = File::create(mount.at("a")).unwrap();
    let data = pattern(6 << 20);
    for (part, end) in data.chunks(1 << 20).zip(1..) {
        file.write_all(part).unwrap();
        file.sync_all().unwrap();
        assert!(committed(&memory, "a").unwrap() == data[..end << 20]);
    }
    let reader = File::open(mount.at("a")).unwrap();
    file.write_all(b"more").unwrap();
    reader.sync_all().unwrap();
    assert!(committed(&memory, "a").unwrap().ends_with(b"more"));
}

#[test]
fn durable_2_close() {
    let (memory, _, mount) = sink();
    for (name, length) in [("empty", 0), ("small", 5), ("large", 9 << 20)] {
        let mut file = File::create(mount.at(name)).unwrap();
        file.write_all(&pattern(length)).unwrap();
        close(file).unwrap();
        assert!(committed(&memory, name).unwrap() == pattern(length));
    }
}

#[test]
fn durable_3_the_previous_version_until_then() {
    let (memory, _, mount) = sink();
    let old = pattern(5 << 20);
    write_synced(&mount.at("a"), &old).unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(mount.at("a"))
        .unwrap();
    file.write_all_at(&[1; 100_000], 4_150_000).unwrap();
    file.set_len(9 << 20).unwrap();
    file.set_len(10).unwrap();
    assert!(committed(&memory, "a").unwrap() == old);
    file.sync_all().unwrap();
    assert_eq!(committed(&memory, "a").unwrap(), old[..10]);
}

#[test]
fn durable_4_somebody_elses_version() {
    for (operation, length) in [(Operation::Put, 10), (Operation::BlockList, 5 << 20)] {
        let (memory, faulty, mount) = sink();
        let mut file = File::create(mount.at("a")).unwrap();
        file.write_all(&pattern(length)).unwrap();
        faulty.fail(operation, Failure::Overtaken);
        assert_eq!(errno(file.sync_all()), libc::EIO);
        faulty.heal();
        assert_eq!(errno(file.write_all(b"more")), libc::EIO);
        assert_eq!(errno(close(file)), libc::EIO);
        assert_eq!(memory.bytes("a").unwrap(), b"another writer");
        assert_eq!(mount.fs.lost(), 1);
    }
}

#[test]
fn durable_5_storage_that_does_not_serve() {
    for failure in [
        Failure::Down,
        Failure::Throttled,
        Failure::Hang,
        Failure::Reset,
    ] {
        for (operation, length) in [(Operation::Put, 10), (Operation::Block, 5 << 20)] {
            let (memory, faulty, mount) = sink();
            let mut file = File::create(mount.at("a")).unwrap();
            faulty.fail(operation, failure);
            // A block that leaves early may fail before fsync asks.
            let _ = file.write_all(&pattern(length));
            assert_eq!(errno(file.sync_all()), libc::EIO, "{failure:?}");
            assert_eq!(errno(close(file)), libc::EIO, "{failure:?}");
            // The kernel tells of the last close after close has returned, and then it is tried once more.
            drop(mount);
            faulty.heal();
            assert!(memory.names().is_empty());
        }
    }
}

#[test]
fn durable_6_full_storage() {
    let (memory, faulty, mount) = sink();
    write_synced(&mount.at("a"), b"old").unwrap();
    for (operation, length) in [(Operation::Put, 10), (Operation::Block, 5 << 20)] {
        let mut file = File::create(mount.at("a")).unwrap();
        faulty.fail(operation, Failure::Full);
        let _ = file.write_all(&pattern(length));
        assert_eq!(errno(file.sync_all()), libc::ENOSPC);
        assert_eq!(errno(close(file)), libc::ENOSPC);
        faulty.heal();
        assert_eq!(committed(&memory, "a").unwrap(), b"old");
    }
}

#[test]
fn durable_10_losses_prevent_sealing() {
    let (_, faulty, mount) = sink();
    let lose = || {
        write_synced(&mount.at("a"), b"old").unwrap();
        let mut file = File::create(mount.at("a")).unwrap();
        file.write_all(b"new").unwrap();
        faulty.fail(Operation::Put, Failure::Down);
        assert_eq!(errno(close(file)), libc::EIO);
        faulty.heal();
    };
    lose();
    let edit = File::options().write(true).open(mount.at("a")).unwrap();
    edit.write_all_at(b"x", 0).unwrap();
    edit.sync_all().unwrap();
    close(edit).unwrap();
    fs::rename(mount.at("a"), mount.at("b")).unwrap();
    assert_eq!(mount.fs.lost(), 1);
    write_synced(&mount.at("b"), b"whole").unwrap();
    assert_eq!(mount.fs.lost(), 0);
    lose();
    fs::rename(mount.at("a"), mount.at("b")).unwrap();
    assert_eq!(mount.fs.lost(), 1);
    fs::remove_file(mount.at("b")).unwrap();
    assert_eq!(mount.fs.lost(), 0);
    lose();
    fs::rename(mount.at("a"), mount.at("b")).unwrap();
    let sealed = mount.runtime.block_on(mount.fs.seal());
    assert_eq!(sealed, Err(FsError::Lost(1)));
}

#[test]
fn durable_11_a_sink_that_is_not_what_was_committed() {
    for is_deleted in [false, true] {
        let (memory, _, mount) = sink();
        write_synced(&mount.at("a"), b"first").unwrap();
        let first = memory.bytes("a").unwrap();
        write_synced(&mount.at("a"), b"second").unwrap();
        let sealed = mount.runtime.block_on(async {
            if is_deleted {
                memory.delete("a", &Condition::Always).await.unwrap();
            } else {
                let put = memory.put_blob("a", first.into(), &Condition::Always);
                put.await.unwrap();
            }
            mount.fs.seal().await
        });
        assert_eq!(sealed, Err(FsError::Conflict));
    }
}

#[test]
fn durable_9_a_dead_mount_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mount");
    drop(mount::attach(&path, 10020, false).unwrap());
    let dead = fs::symlink_metadata(&path).unwrap_err();
    assert_eq!(dead.raw_os_error(), Some(libc::ENOTCONN));
    let device = mount::attach(&path, 10020, false).unwrap();
    drop(device);
    umount2(&path, MntFlags::MNT_DETACH).unwrap();
    assert!(
        fs::symlink_metadata(&path).unwrap().is_dir(),
        "one mount, not two"
    );
}
