//! A kernel mount with client-side encryption over the server. Needs root and /dev/fuse, and fails without them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use blob_format::Params;
use blob_fs::{Mode, Options};
use blob_store::testing::Faulty;
use blob_store::{BlobStore, S3Store};

use crate::room::{Mount, errno, options, pattern, write_synced};
use crate::server::server;

const MIB: usize = 1 << 20;

/// Extents of 2^22 bytes, as every dataset has, are joined to parts; those of 2^23 are parts.
fn mount(store: &S3Store, extent: u8) -> Mount {
    let mode = Mode::CseV2(Params::new(16, extent).unwrap());
    let options = Options {
        deadline: Duration::from_secs(60),
        ..options(false)
    };
    Mount::with(Faulty::new(store.clone()), 7, mode, options)
}

fn bucket(name: &str) -> S3Store {
    let server = server();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(server.bucket(name));
    // Connections belong to a runtime: the mount gets a store of its own.
    server.store(server.config(name))
}

#[test]
fn files_are_written_edited_renamed_listed_and_removed() {
    let store = bucket("mounted");
    let first = mount(&store, 22);
    let mut data = pattern(21 * MIB + 5);
    fs::create_dir(first.at("d")).unwrap();
    write_synced(&first.at("d/big"), &data).unwrap();
    // An edit keeps what it does not touch: the service copies it.
    let file = OpenOptions::new()
        .write(true)
        .open(first.at("d/big"))
        .unwrap();
    for at in [10, 9 * MIB, 21 * MIB] {
        file.write_all_at(b"edited", at as u64).unwrap();
        let end = data.len().max(at + 6);
        data.resize(end, 0);
        data[at..at + 6].copy_from_slice(b"edited");
    }
    file.sync_all().unwrap();
    drop(file);
    write_synced(&first.at("small"), b"small").unwrap();
    fs::rename(first.at("d/big"), first.at("moved")).unwrap();
    assert_eq!(errno(fs::rename(first.at("d"), first.at("e"))), libc::EXDEV);
    drop(first);

    let again = mount(&store, 22);
    assert!(fs::read(again.at("moved")).unwrap() == data);
    let mut names: Vec<_> = fs::read_dir(again.at(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["d", "moved", "small"]);
    assert!(again.at("d").is_dir());
    // Another process edits it: the blocks are found in the object's metadata.
    let mut file = OpenOptions::new()
        .append(true)
        .open(again.at("moved"))
        .unwrap();
    file.write_all(b"appended").unwrap();
    file.sync_all().unwrap();
    drop(file);
    data.extend_from_slice(b"appended");
    assert!(fs::read(again.at("moved")).unwrap() == data);
    for name in ["moved", "small"] {
        fs::remove_file(again.at(name)).unwrap();
    }
    fs::remove_dir(again.at("d")).unwrap();
    let left = again.runtime.block_on(store.list("", false, None));
    assert_eq!(left.unwrap().blobs, []);
}

#[test]
fn another_writer_is_a_conflict_and_a_replaced_file_is_stale() {
    let (server, store) = (server(), bucket("conflicts"));
    let (one, two) = (
        mount(&store, 22),
        mount(&server.store(server.config("conflicts")), 22),
    );
    write_synced(&one.at("a"), &pattern(9 * MIB)).unwrap();
    let reader = File::open(two.at("a")).unwrap();
    let mut mine = OpenOptions::new().write(true).open(one.at("a")).unwrap();
    mine.write_all(b"mine").unwrap();
    let mut theirs = OpenOptions::new().write(true).open(two.at("a")).unwrap();
    theirs.write_all(b"theirs").unwrap();
    theirs.sync_all().unwrap();
    assert_eq!(errno(mine.sync_all()), libc::EIO);
    drop(reader);
    assert_eq!(fs::read(two.at("a")).unwrap()[..6], b"theirs"[..]);
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below
    }
}

#[test]
fn random_operations_are_those_of_a_map() {
    let store = bucket("model");
    let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut dice = Dice(0x5eed);
    let mut mounted = mount(&store, 23);
    for step in 0..60 {
        let name = format!("f{}", dice.roll(4));
        let path = mounted.at(&name);
        match dice.roll(8) {
            0..=2 => {
                let at = dice.roll(17) * MIB / 2 + dice.roll(3);
                let part = pattern(1 + dice.roll(3 * MIB));
                let mut open = OpenOptions::new();
                let file = open.write(true).create(true).truncate(false).open(&path);
                let written = file.and_then(|file| file.write_all_at(&part, at as u64));
                assert!(written.is_ok(), "step {step} {name}: {written:?}");
                let content = model.entry(name).or_default();
                content.resize(content.len().max(at + part.len()), 0);
                content[at..at + part.len()].copy_from_slice(&part);
            }
            3 => {
                let length = dice.roll(12 * MIB);
                let file = OpenOptions::new().write(true).open(&path);
                match model.get_mut(&name) {
                    None => assert_eq!(errno(file), libc::ENOENT),
                    Some(content) => {
                        file.unwrap().set_len(length as u64).unwrap();
                        content.resize(length, 0);
                    }
                }
            }
            4 => {
                let other = format!("f{}", dice.roll(4));
                let renamed = fs::rename(&path, mounted.at(&other));
                match model.remove(&name) {
                    None => assert_eq!(errno(renamed), libc::ENOENT),
                    Some(content) => {
                        renamed.unwrap();
                        model.insert(other, content);
                    }
                }
            }
            5 => {
                let removed = fs::remove_file(&path);
                assert_eq!(removed.is_ok(), model.remove(&name).is_some());
            }
            6 => {
                drop(mounted);
                mounted = mount(&store, 23);
            }
            _ => match model.get(&name) {
                None => assert_eq!(errno(fs::read(&path)), libc::ENOENT),
                Some(content) => assert!(fs::read(&path).unwrap() == *content, "step {step}"),
            },
        }
    }
    for (name, content) in &model {
        assert!(fs::read(mounted.at(name)).unwrap() == *content, "{name}");
    }
    let names = fs::read_dir(mounted.at("")).unwrap().count();
    assert_eq!(names, model.len());
}
