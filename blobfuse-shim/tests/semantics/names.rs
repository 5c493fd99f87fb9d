use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use blob_fs::Mode;
use blob_store::testing::{Failure, Faulty, MemoryStore, Operation};
use blob_store::{BlobStore, Condition};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::room::{Mount, committed, errno, options, pattern, sink, write_synced};

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn names_1_paths() {
    let (memory, _, mount) = sink();
    fs::create_dir(mount.at("made")).unwrap();
    fs::create_dir_all(mount.at("x/y")).unwrap();
    fs::write(mount.at("x/y/file"), b"1").unwrap();
    assert_eq!(memory.names(), ["made", "x", "x/y", "x/y/file"]);
    let put = memory.put_blob("p/q", vec![0; 176].into(), &Condition::Always);
    mount.runtime.block_on(put).unwrap();
    drop(mount);
    let mount = Mount::new(Faulty::new(memory), 7, true);
    assert_eq!(names(&mount.at("")), ["made", "p", "x"]);
    assert_eq!(names(&mount.at("p")), ["q"]);
    assert_eq!(names(&mount.at("x")), ["y"]);
    assert!(names(&mount.at("made")).is_empty());
}

#[test]
fn names_2_directories() {
    let (memory, _, mount) = sink();
    fs::create_dir(mount.at("d")).unwrap();
    assert_eq!(errno(fs::create_dir(mount.at("d"))), libc::EEXIST);
    let open = File::create(mount.at("d/f")).unwrap();
    assert_eq!(errno(fs::remove_dir(mount.at("d"))), libc::ENOTEMPTY);
    drop(open);
    assert_eq!(errno(fs::remove_dir(mount.at("d"))), libc::ENOTEMPTY);
    fs::remove_file(mount.at("d/f")).unwrap();
    fs::remove_dir(mount.at("d")).unwrap();
    assert!(memory.names().is_empty());
}

#[test]
fn names_3_renaming() {
    let (memory, _, mount) = sink();
    write_synced(&mount.at("target"), b"old").unwrap();
    let mut data = pattern(6 << 20);
    let mut writer = File::create(mount.at("part")).unwrap();
    writer.write_all(&data).unwrap();
    let reader = File::open(mount.at("part")).unwrap();
    fs::rename(mount.at("part"), mount.at("target")).unwrap();
    assert!(committed(&memory, "target").unwrap() == data);
    assert_eq!(names(&mount.at("")), ["target"]);
    writer.write_all(b"more").unwrap();
    data.extend_from_slice(b"more");
    let mut end = [0; 6];
    reader.read_exact_at(&mut end, (6 << 20) - 2).unwrap();
    assert_eq!(end, data[(6 << 20) - 2..]);
    writer.sync_all().unwrap();
    assert!(committed(&memory, "target").unwrap() == data);
    assert_eq!(memory.names(), ["target"]);
}

#[test]
fn names_4_renaming_by_copy() {
    for (operation, left) in [
        (Operation::Block, &["a"][..]),
        (Operation::BlockList, &["a"]),
        (Operation::Delete, &["a", "b"]),
    ] {
        let (memory, faulty, mount) = sink();
        let data = pattern(6 << 20);
        write_synced(&mount.at("a"), &data).unwrap();
        faulty.fail(operation, Failure::Down);
        let renamed = fs::rename(mount.at("a"), mount.at("b"));
        assert_eq!(errno(renamed), libc::EIO, "{operation:?}");
        faulty.heal();
        assert_eq!(memory.names(), left);
        for name in left {
            assert!(committed(&memory, name).unwrap() == data);
        }
        fs::rename(mount.at("a"), mount.at("b")).unwrap();
        assert_eq!(memory.names(), ["b"]);
    }
}

#[test]
fn names_5_directories_are_not_renamed() {
    let (memory, _, mount) = sink();
    fs::create_dir(mount.at("d")).unwrap();
    fs::write(mount.at("d/f"), b"content").unwrap();
    assert_eq!(errno(fs::rename(mount.at("d"), mount.at("e"))), libc::EXDEV);
    let mv = std::process::Command::new("mv")
        .args([mount.at("d"), mount.at("e")])
        .output()
        .unwrap();
    // What `mv` cannot keep are times and modes, of which it may complain; the files it moves.
    assert!(mount.at("e/f").exists(), "{mv:?}");
    assert_eq!(fs::read(mount.at("e/f")).unwrap(), b"content");
    assert_eq!(committed(&memory, "e/f").unwrap(), b"content");
}

#[test]
fn names_6_hierarchical_names() {
    let memory = MemoryStore::default().hierarchical();
    let faulty = Faulty::new(memory.clone());
    let mount = Mount::new(faulty.clone(), 7, false);
    fs::create_dir(mount.at("d")).unwrap();
    fs::write(mount.at("d/f"), pattern(5 << 20)).unwrap();
    fs::rename(mount.at("d/f"), mount.at("d/g")).unwrap();
    let open = File::open(mount.at("d/g")).unwrap();
    let busy = fs::rename(mount.at("d"), mount.at("e"));
    assert_eq!(errno(busy), libc::EBUSY);
    drop(open);
    fs::rename(mount.at("d"), mount.at("e")).unwrap();
    assert_eq!(memory.names(), ["e", "e/g"]);
    assert!(fs::read(mount.at("e/g")).unwrap() == pattern(5 << 20));
    let log = faulty.log();
    let renamed = log.iter().filter(|op| **op == Operation::Rename).count();
    let deleted = log.iter().filter(|op| **op == Operation::Delete).count();
    assert_eq!((renamed, deleted), (2, 0));
}

#[test]
fn names_7_flags_of_rename() {
    let (_, _, mount) = sink();
    fs::write(mount.at("a"), b"a").unwrap();
    fs::write(mount.at("b"), b"b").unwrap();
    let rename = |from: &str, to: &str, flags| {
        let path = |name| CString::new(mount.at(name).as_os_str().as_bytes()).unwrap();
        let (from, to) = (path(from), path(to));
        renameat2(AT_FDCWD, from.as_c_str(), AT_FDCWD, to.as_c_str(), flags)
    };
    let keep = RenameFlags::RENAME_NOREPLACE;
    assert_eq!(rename("a", "b", keep), Err(nix::errno::Errno::EEXIST));
    let exchange = RenameFlags::RENAME_EXCHANGE;
    assert_eq!(rename("a", "b", exchange), Err(nix::errno::Errno::EINVAL));
    rename("a", "c", keep).unwrap();
    assert_eq!(fs::read(mount.at("c")).unwrap(), b"a");
    assert_eq!(fs::read(mount.at("b")).unwrap(), b"b");
}

#[test]
fn names_8_unlinked_files() {
    let (memory, _, mount) = sink();
    let data = pattern(9 << 20);
    write_synced(&mount.at("a"), &data).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(mount.at("a"))
        .unwrap();
    fs::remove_file(mount.at("a")).unwrap();
    assert!(names(&mount.at("")).is_empty());
    assert_eq!(errno(File::open(mount.at("a"))), libc::ENOENT);
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    file.write_all_at(b"changed", 5 << 20).unwrap();
    file.sync_all().unwrap();
    let mut read = vec![0; data.len()];
    file.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(read[5 << 20..(5 << 20) + 7], *b"changed");
    assert!(read[..5 << 20] == data[..5 << 20]);
    drop(file);
    // The kernel tells of the last close after close has returned; making the name anew waits for nobody.
    fs::write(mount.at("a"), b"new").unwrap();
    fs::remove_file(mount.at("a")).unwrap();
    drop(mount);
    assert!(memory.names().is_empty());
}

#[test]
fn names_9_a_new_file_of_the_name_of_an_unlinked_one() {
    let (memory, _, mount) = sink();
    write_synced(&mount.at("a"), &pattern(64 << 20)).unwrap();
    let faulty = Faulty::new(memory.clone());
    drop(mount);
    let mount = Mount::new(faulty, 7, false);
    let mut old = File::open(mount.at("a")).unwrap();
    let mut first = [0; 16];
    old.read_exact(&mut first).unwrap();
    fs::remove_file(mount.at("a")).unwrap();
    fs::write(mount.at("a"), b"new").unwrap();
    assert_eq!(fs::read(mount.at("a")).unwrap(), b"new");
    let far = old.read_at(&mut first, 60 << 20);
    assert_eq!(errno(far), libc::ESTALE);
}

#[test]
fn names_10_many_names() {
    const COUNT: usize = 100_000;
    let memory = MemoryStore::with_page(5000);
    let faulty = Faulty::new(memory.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for number in 0..COUNT {
            let name = format!("d/{number:06}");
            let body = bytes::Bytes::from_static(b"x");
            memory
                .put_blob(&name, body, &Condition::Always)
                .await
                .unwrap();
        }
    });
    let mount = Mount::with(faulty.clone(), 7, Mode::Cpk, options(true));
    let listed = names(&mount.at("d"));
    assert_eq!(listed.len(), COUNT);
    assert!(
        listed
            .iter()
            .enumerate()
            .all(|(n, name)| *name == format!("{n:06}"))
    );
    let lists = faulty.log();
    let lists = lists.iter().filter(|op| **op == Operation::List).count();
    assert!(lists <= 25, "{lists} requests");
    assert_eq!(fs::metadata(mount.at("d/099999")).unwrap().len(), 1);
}

#[test]
fn names_11_the_mounts_own_directory() {
    let (memory, _, mount) = sink();
    assert_eq!(errno(fs::create_dir(mount.at(".cleanroom"))), libc::EEXIST);
    assert_eq!(errno(File::create(mount.at(".cleanroom/x"))), libc::EINVAL);
    fs::write(mount.at("a"), b"x").unwrap();
    let renamed = fs::rename(mount.at("a"), mount.at(".cleanroom/a"));
    assert_eq!(errno(renamed), libc::EINVAL);
    assert_eq!(memory.names(), ["a"]);
}

#[test]
fn names_12_lengths() {
    let (memory, _, mount) = sink();
    let long = "n".repeat(255);
    fs::write(mount.at(&long), b"x").unwrap();
    let longer = mount.at(&"n".repeat(256));
    assert_eq!(errno(File::create(&longer)), libc::ENAMETOOLONG);
    assert_eq!(errno(fs::metadata(&longer)), libc::ENAMETOOLONG);
    let renamed = fs::rename(mount.at(&long), &longer);
    assert_eq!(errno(renamed), libc::ENAMETOOLONG);
    fs::remove_file(mount.at(&long)).unwrap();
    // A path of 1021 bytes.
    let deep = mount.at(&[&long[..], &long, &long, &long[2..]].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("ab"), b"x").unwrap();
    assert_eq!(errno(File::create(deep.join("abc"))), libc::ENAMETOOLONG);
    assert_eq!(errno(fs::create_dir(deep.join("abc"))), libc::ENAMETOOLONG);
    let longest = memory.names().iter().map(String::len).max();
    assert_eq!(longest, Some(1024));
}
