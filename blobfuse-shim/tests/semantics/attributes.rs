use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::time::{Duration, SystemTime};

use crate::room::{Mount, errno, sink};

#[test]
fn attr_1_owner_and_mode() {
    let (_, faulty, mount) = sink();
    fs::create_dir(mount.at("d")).unwrap();
    fs::write(mount.at("f"), b"x").unwrap();
    let look = |mount: &Mount, name: &str| {
        let meta = fs::metadata(mount.at(name)).unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    };
    assert_eq!(look(&mount, "f"), (1000, 1000, 0o644));
    assert_eq!(look(&mount, "d"), (1000, 1000, 0o755));
    drop(mount);
    let source = Mount::new(faulty, 7, true);
    assert_eq!(look(&source, "f"), (1000, 1000, 0o444));
    assert_eq!(look(&source, "d"), (1000, 1000, 0o555));
}

#[test]
fn attr_2_length() {
    let (memory, _, mount) = sink();
    let mut file = File::create(mount.at("a")).unwrap();
    for length in [1_u64, 2, 3] {
        file.write_all(&[7]).unwrap();
        assert_eq!(file.metadata().unwrap().len(), length);
        assert_eq!(fs::metadata(mount.at("a")).unwrap().len(), length);
    }
    file.set_len(5 << 20).unwrap();
    assert_eq!(fs::metadata(mount.at("a")).unwrap().len(), 5 << 20);
    assert!(memory.names().is_empty(), "nothing of it is committed");
}

#[test]
fn attr_3_time_of_the_last_commit() {
    let (_, faulty, mount) = sink();
    for name in ["a", "b"] {
        fs::write(mount.at(name), b"x").unwrap();
    }
    drop(mount);
    let mount = Mount::new(faulty, 7, true);
    // The store counts its commits in seconds.
    let time = |name: &str| {
        let modified = fs::metadata(mount.at(name)).unwrap().modified().unwrap();
        modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    assert_eq!((time("a"), time("b")), (1, 2));
    fs::read(mount.at("a")).unwrap();
    assert_eq!(time("a"), 1);
}

#[test]
fn attr_4_recorded_modes_and_times() {
    let (memory, _, mount) = sink();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let mut file = File::create(mount.at("a")).unwrap();
    file.write_all(b"x").unwrap();
    file.set_modified(time).unwrap();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    file.sync_all().unwrap();
    let stored = memory.bytes("a").unwrap();
    let dek = cleanroom_crypto::Dek::from_slice(&[7; 32]).unwrap();
    let view = blob_format::View::open(&dek, stored.len() as u64, &stored, None).unwrap();
    let recorded = (view.footer().mode, view.footer().mtime_ns);
    assert_eq!(recorded, (0o600, 1_000_000_000_000));
    drop(file);
    let refused = fs::set_permissions(mount.at("a"), Permissions::from_mode(0o600));
    assert_eq!(errno(refused), libc::ENOTSUP);
    let read = File::open(mount.at("a")).unwrap();
    assert_eq!(errno(read.set_modified(time)), libc::ENOTSUP);
}

#[test]
fn attr_5_ownership() {
    let (_, _, mount) = sink();
    fs::write(mount.at("a"), b"x").unwrap();
    assert_eq!(errno(chown(mount.at("a"), Some(0), None)), libc::EPERM);
    assert_eq!(errno(chown(mount.at("a"), None, Some(7))), libc::EPERM);
    assert_eq!(fs::metadata(mount.at("a")).unwrap().uid(), 1000);
}

#[test]
fn attr_6_room() {
    let (_, _, mount) = sink();
    let shown = nix::sys::statvfs::statvfs(&mount.at("")).unwrap();
    let total = shown.blocks() * shown.fragment_size();
    assert_eq!(total, 1 << 50);
    assert_eq!(shown.blocks_available(), shown.blocks());
    assert_eq!(shown.name_max(), 255);
}

#[test]
fn attr_7_directories() {
    let (_, _, mount) = sink();
    fs::create_dir(mount.at("d")).unwrap();
    let look = || {
        let meta = fs::metadata(mount.at("d")).unwrap();
        (meta.nlink(), meta.modified().unwrap())
    };
    let before = look();
    assert_eq!(before.0, 1);
    fs::create_dir(mount.at("d/e")).unwrap();
    fs::write(mount.at("d/f"), b"x").unwrap();
    fs::remove_file(mount.at("d/f")).unwrap();
    assert_eq!(look(), before);
}

#[test]
fn attr_8_time_of_access() {
    let (_, _, mount) = sink();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let file = File::create(mount.at("a")).unwrap();
    let alone = fs::FileTimes::new().set_accessed(time);
    assert_eq!(errno(file.set_times(alone)), libc::ENOTSUP);
    file.set_times(alone.set_modified(time)).unwrap();
    let meta = file.metadata().unwrap();
    assert_eq!(meta.accessed().unwrap(), meta.modified().unwrap());
}
