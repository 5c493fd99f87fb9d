use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use crate::room::{Mount, committed, errno, pattern, sink, store, write_synced};

#[test]
fn open_1_readers_beside_a_writer() {
    let (_, _, mount) = sink();
    let mut writer = File::create(mount.at("a")).unwrap();
    writer.write_all(b"first").unwrap();
    let readers: Vec<_> = (0..5).map(|_| File::open(mount.at("a")).unwrap()).collect();
    writer.write_all(b" second").unwrap();
    for mut reader in readers {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first second");
    }
}

#[test]
fn open_2_a_second_writer_is_refused() {
    let (_, _, mount) = sink();
    let first = File::create(mount.at("a")).unwrap();
    let again = || OpenOptions::new().write(true).open(mount.at("a"));
    assert_eq!(errno(again()), libc::EBUSY);
    drop(first);
    again().unwrap();
}

#[test]
fn open_3_exclusive_creation() {
    let (_, _, mount) = sink();
    fs::write(mount.at("a"), b"x").unwrap();
    assert_eq!(errno(File::create_new(mount.at("a"))), libc::EEXIST);
    File::create_new(mount.at("b")).unwrap();
    assert_eq!(fs::read(mount.at("a")).unwrap(), b"x");
}

#[test]
fn open_4_truncation_at_open() {
    let (memory, _, mount) = sink();
    write_synced(&mount.at("a"), b"old content").unwrap();
    let mut file = File::create(mount.at("a")).unwrap();
    assert_eq!(fs::read(mount.at("a")).unwrap(), b"");
    assert_eq!(committed(&memory, "a").unwrap(), b"old content");
    file.write_all(b"new").unwrap();
    file.sync_all().unwrap();
    assert_eq!(committed(&memory, "a").unwrap(), b"new");
}

#[test]
fn open_5_appending() {
    let (memory, _, mount) = sink();
    let mut data = pattern(5 << 20);
    write_synced(&mount.at("a"), &data).unwrap();
    for part in [&b"one"[..], b"two"] {
        let mut file = OpenOptions::new().append(true).open(mount.at("a")).unwrap();
        file.write_all(part).unwrap();
        data.extend_from_slice(part);
    }
    assert!(fs::read(mount.at("a")).unwrap() == data);
    assert!(committed(&memory, "a").unwrap() == data);
}

#[test]
fn open_6_a_read_only_mount() {
    let (memory, faulty) = store();
    let sink = Mount::new(faulty.clone(), 7, false);
    fs::write(sink.at("a"), b"content").unwrap();
    drop(sink);
    let source = Mount::new(faulty, 7, true);
    assert_eq!(fs::read(source.at("a")).unwrap(), b"content");
    let write = OpenOptions::new().write(true).open(source.at("a"));
    assert_eq!(errno(write), libc::EROFS);
    assert_eq!(errno(File::create(source.at("b"))), libc::EROFS);
    assert_eq!(errno(fs::remove_file(source.at("a"))), libc::EROFS);
    assert_eq!(errno(fs::create_dir(source.at("d"))), libc::EROFS);
    assert_eq!(
        errno(fs::rename(source.at("a"), source.at("b"))),
        libc::EROFS
    );
    assert_eq!(memory.names(), ["a"]);
}

#[test]
fn open_7_direct_access() {
    let (_, _, mount) = sink();
    let data = pattern(3 << 20);
    let direct = |options: &mut OpenOptions| {
        let options = options.custom_flags(libc::O_DIRECT);
        options.open(mount.at("a")).unwrap()
    };
    let file = direct(OpenOptions::new().write(true).create(true));
    file.write_all_at(&data[..2 << 20], 0).unwrap();
    file.write_all_at(&data[2 << 20..], 2 << 20).unwrap();
    drop(file);
    let file = direct(OpenOptions::new().read(true));
    let mut read = vec![0; data.len()];
    file.read_exact_at(&mut read, 0).unwrap();
    assert!(read == data);
    assert!(fs::read(mount.at("a")).unwrap() == data);
}
