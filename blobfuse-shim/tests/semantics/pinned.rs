use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use blob_format::Params;
use blob_fs::Mode;
use blob_store::testing::{Faulty, MemoryStore, Operation};
use blob_store::{BlobStore, Condition};

use crate::room::{Mount, errno, options, pattern, store, write_synced};

fn modes() -> [Mode; 2] {
    [Mode::Cpk, Mode::CseV2(Params::default())]
}

/// A sealed dataset with one large file, and the state of storage before its last commit.
struct Dataset {
    memory: MemoryStore,
    faulty: Faulty,
    earlier: Vec<u8>,
    mode: Mode,
    root: String,
}

fn content() -> Vec<u8> {
    pattern(9 << 20)
}

fn dataset(mode: Mode) -> Dataset {
    let (memory, faulty) = store();
    let mount = Mount::with(faulty.clone(), 7, mode, options(false));
    fs::create_dir(mount.at("empty")).unwrap();
    write_synced(&mount.at("small"), b"small").unwrap();
    write_synced(&mount.at("a"), &content()).unwrap();
    let earlier = memory.bytes("a").unwrap();
    let file = File::options().write(true).open(mount.at("a")).unwrap();
    file.write_all_at(b"changed", 5 << 20).unwrap();
    file.sync_all().unwrap();
    drop(file);
    let root = mount.runtime.block_on(mount.fs.seal()).unwrap().root;
    Dataset {
        memory,
        faulty,
        earlier,
        mode,
        root,
    }
}

impl Dataset {
    fn mount(&self) -> Mount {
        Mount::pinned(self.faulty.clone(), self.mode, &self.root)
    }

    fn put(&self, mount: &Mount, name: &str, body: Vec<u8>) {
        let put = self.memory.put_blob(name, body.into(), &Condition::Always);
        mount.runtime.block_on(put).unwrap();
    }
}

#[test]
fn pinned_2_every_other_version_is_an_error() {
    for mode in modes() {
        for attack in ["roll back", "another file", "cut", "flip", "delete"] {
            let data = dataset(mode);
            let mount = data.mount();
            let old = data.memory.bytes("a").unwrap();
            match attack {
                "roll back" => data.put(&mount, "a", data.earlier.clone()),
                "another file" => data.put(&mount, "a", data.memory.bytes("small").unwrap()),
                "cut" => data.put(&mount, "a", old[..old.len() - 1].to_vec()),
                "flip" => data.memory.tamper("a", |blob| blob[8 << 20] ^= 1),
                _ => {
                    let gone = data.memory.delete("a", &Condition::Always);
                    mount.runtime.block_on(gone).unwrap();
                }
            }
            assert_eq!(fs::metadata(mount.at("a")).unwrap().len(), 9 << 20);
            assert_eq!(errno(fs::read(mount.at("a"))), libc::EIO, "{attack}");
            assert_eq!(mount.fs.findings(0).len(), 1, "{attack}");
            assert_eq!(fs::read(mount.at("small")).unwrap(), b"small");
        }
    }
}

#[test]
fn pinned_3_content_that_only_a_digest_names() {
    let data = dataset(Mode::Cpk);
    let mount = data.mount();
    let before = data.faulty.log().len();
    let file = File::open(mount.at("a")).unwrap();
    let log = data.faulty.log();
    let gets = log[before..].iter().filter(|op| **op == Operation::Get);
    assert_eq!(gets.count(), 3, "each extent once");
    let mut part = [0; 7];
    file.read_exact_at(&mut part, 5 << 20).unwrap();
    assert_eq!(&part, b"changed");
    // In place, after the whole was found good.
    data.memory.tamper("a", |blob| blob[8 << 20] ^= 1);
    assert_eq!(errno(file.read_at(&mut part, 8 << 20)), libc::EIO);
    drop(file);
    assert!(File::open(mount.at("a")).is_ok(), "the rest is as it was");
    assert_eq!(errno(fs::read(mount.at("a"))), libc::EIO);
}

#[test]
fn pinned_4_the_same_content_again() {
    for mode in modes() {
        let data = dataset(mode);
        let mount = data.mount();
        let file = File::open(mount.at("a")).unwrap();
        let mut part = [0; 7];
        file.read_exact_at(&mut part, 0).unwrap();
        data.put(&mount, "a", data.memory.bytes("a").unwrap());
        file.read_exact_at(&mut part, 5 << 20).unwrap();
        assert_eq!(&part, b"changed");
        let mut all = content();
        all[5 << 20..(5 << 20) + 7].copy_from_slice(b"changed");
        assert!(fs::read(mount.at("a")).unwrap() == all);
        assert!(mount.fs.findings(0).is_empty());
    }
}

#[test]
fn pinned_5_times_and_empty_directories() {
    let data = dataset(Mode::Cpk);
    let mount = data.mount();
    assert_eq!(fs::read(mount.at("small")).unwrap(), b"small");
    assert_eq!(fs::metadata(mount.at("small")).unwrap().mtime(), 0);
    assert_eq!(errno(fs::metadata(mount.at("empty"))), libc::ENOENT);
}
