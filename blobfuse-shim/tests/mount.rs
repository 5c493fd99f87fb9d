//! A real kernel mount over a store in memory. Needs root and /dev/fuse, and fails without them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

#[path = "semantics/room.rs"]
mod room;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use blob_format::Params;
use blob_store::testing::{Failure, Operation};

use room::{Mount, close, errno, pattern, store, write_synced};

#[test]
fn what_is_written_front_to_back_is_read_back_anywhere_and_stored_as_cipher_text() {
    let (memory, faulty) = store();
    let data = pattern(11_000_003);
    let mount = Mount::new(faulty.clone(), 7, false);
    write_synced(&mount.at("big"), &data).unwrap();
    assert!(fs::read(mount.at("big")).unwrap() == data);
    let stored = memory.bytes("big").unwrap();
    assert_eq!(
        stored.len() as u64,
        Params::default().blob_len(11_000_003).unwrap()
    );
    assert!(
        !stored
            .windows(64)
            .any(|window| window == &data[5_000_000..5_000_064])
    );
    drop(mount);

    let mount = Mount::new(faulty, 7, true);
    let file = File::open(mount.at("big")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 11_000_003);
    for at in [10_999_990_u64, 0, 4_194_300, 65_535, 8_388_607] {
        let mut part = vec![0; 13];
        file.read_exact_at(&mut part, at).unwrap();
        let start = usize::try_from(at).unwrap();
        assert_eq!(part, data[start..start + 13]);
    }
    let mut end = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::End(-5)).unwrap();
    file.read_to_end(&mut end).unwrap();
    assert_eq!(end, data[data.len() - 5..]);
}

#[test]
fn files_belong_to_the_application_and_names_form_a_tree() {
    let (_, faulty) = store();
    let mount = Mount::new(faulty, 7, false);
    fs::create_dir(mount.at("dir")).unwrap();
    fs::write(mount.at("dir/file"), b"hello").unwrap();
    let meta = fs::metadata(mount.at("dir/file")).unwrap();
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mode(), meta.len()),
        (1000, 1000, 0o100_644, 5)
    );
    assert_eq!(fs::metadata(mount.at("dir")).unwrap().mode(), 0o040_755);
    let names: Vec<_> = fs::read_dir(mount.at(""))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["dir"]);
    fs::rename(mount.at("dir/file"), mount.at("moved")).unwrap();
    assert_eq!(fs::read(mount.at("moved")).unwrap(), b"hello");
    fs::remove_dir(mount.at("dir")).unwrap();
    fs::remove_file(mount.at("moved")).unwrap();
    assert_eq!(fs::read_dir(mount.at("")).unwrap().count(), 0);
}

#[test]
fn appending_overwriting_and_replacing_work_and_links_are_refused() {
    let (_, faulty) = store();
    let mount = Mount::new(faulty, 7, false);
    let path = mount.at("log");
    fs::write(&path, b"one\n").unwrap();
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"two\n")
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_at(b"T", 4).unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), b"one\nTwo\n");
    fs::write(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");

    let mut file = File::create(mount.at("big")).unwrap();
    let mut data = pattern(9 << 20);
    file.write_all(&data).unwrap();
    for at in [10, (4 << 20) - 1, 6 << 20] {
        file.write_at(b"xyz", at).unwrap();
        let at = usize::try_from(at).unwrap();
        data[at..at + 3].copy_from_slice(b"xyz");
    }
    assert!(
        fs::read(mount.at("big")).unwrap() == data,
        "before the commit"
    );
    file.sync_all().unwrap();
    drop(file);
    assert!(fs::read(mount.at("big")).unwrap() == data);
    assert_eq!(
        errno(std::os::unix::fs::symlink("a", mount.at("b"))),
        libc::ENOTSUP
    );
    assert_eq!(errno(fs::hard_link(&path, mount.at("b"))), libc::ENOTSUP);
    assert_eq!(errno(fs::create_dir(mount.at(".cleanroom"))), libc::EEXIST);
    assert_eq!(errno(File::create(mount.at(".cleanroom/x"))), libc::EINVAL);
}

#[test]
fn a_source_is_read_only() {
    let (memory, faulty) = store();
    let sink = Mount::new(faulty.clone(), 7, false);
    fs::write(sink.at("a"), b"content").unwrap();
    drop(sink);
    let source = Mount::new(faulty, 7, true);
    assert_eq!(fs::read(source.at("a")).unwrap(), b"content");
    assert_eq!(fs::metadata(source.at("a")).unwrap().mode(), 0o100_444);
    assert_eq!(errno(File::create(source.at("b"))), libc::EROFS);
    assert_eq!(
        errno(OpenOptions::new().write(true).open(source.at("a"))),
        libc::EROFS
    );
    assert_eq!(errno(fs::remove_file(source.at("a"))), libc::EROFS);
    assert_eq!(errno(fs::create_dir(source.at("d"))), libc::EROFS);
    assert_eq!(memory.names(), ["a"]);
}

#[test]
fn a_wrong_key_and_changed_bytes_are_io_errors() {
    let (memory, faulty) = store();
    let sink = Mount::new(faulty.clone(), 7, false);
    fs::write(sink.at("a"), pattern(500_000)).unwrap();
    drop(sink);
    let wrong = Mount::new(faulty.clone(), 8, true);
    assert_eq!(errno(fs::read(wrong.at("a"))), libc::EIO);
    drop(wrong);
    memory.tamper("a", |blob| blob[300_000] ^= 1);
    let source = Mount::new(faulty, 7, true);
    let mut file = File::open(source.at("a")).unwrap();
    let mut first = vec![0; 1000];
    file.read_exact(&mut first).unwrap();
    assert_eq!(first, pattern(1000), "what was not changed is readable");
    assert_eq!(errno(file.read_exact_at(&mut first, 299_000)), libc::EIO);
}

#[test]
fn lost_data_is_an_error_at_fsync_at_close_and_at_the_end() {
    let (_, faulty) = store();
    let mount = Mount::new(faulty.clone(), 7, false);
    for (failure, operation) in [
        (Failure::Overtaken, Operation::Put),
        (Failure::Down, Operation::Put),
        (Failure::Hang, Operation::Put),
    ] {
        let mut file = File::create(mount.at("a")).unwrap();
        file.write_all(b"precious").unwrap();
        faulty.fail(operation, failure);
        assert_eq!(errno(file.sync_all()), libc::EIO, "{failure:?}");
        assert_eq!(errno(close(file)), libc::EIO, "{failure:?}");
        faulty.heal();
        let _ = fs::remove_file(mount.at("a"));
        // Gone for the application, so no longer lost.
        fs::write(mount.at("a"), b"again").unwrap();
        fs::remove_file(mount.at("a")).unwrap();
    }
    assert_eq!(mount.fs.lost(), 0);
    let mut file = File::create(mount.at("b")).unwrap();
    file.write_all(b"precious").unwrap();
    faulty.fail(Operation::Put, Failure::Down);
    assert_eq!(errno(close(file)), libc::EIO);
    assert_eq!(mount.fs.lost(), 1);
    assert!(mount.runtime.block_on(mount.fs.finish()).is_err());
}

#[test]
fn the_nonce_is_always_the_last_one_and_sealing_ends_writing() {
    let (memory, faulty) = store();
    let mount = Mount::new(faulty, 7, false);
    for nonce in ["0123456789abcdef", "fedcba98765432100123"] {
        mount.fs.set_nonce(nonce);
        assert_eq!(
            fs::read_to_string(mount.at(".cleanroom/nonce")).unwrap(),
            nonce
        );
    }
    let mut file = File::create(mount.at("a")).unwrap();
    file.write_all(b"content").unwrap();
    let sealed = mount.runtime.block_on(mount.fs.seal()).unwrap();
    assert_eq!((sealed.files, sealed.bytes), (1, 7));
    assert_eq!(errno(file.write_all(b"more")), libc::EROFS);
    assert_eq!(errno(File::create(mount.at("b"))), libc::EROFS);
    drop(file);
    assert_eq!(memory.names(), [".cleanroom/manifest", "a"]);
}
