use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

use blob_store::testing::{Failure, Operation};
use blob_store::{BlobStore, Condition};

use crate::room::{Mount, errno, options, pattern, sink, write_synced};

#[test]
fn trouble_1_changed_content() {
    let (memory, faulty, mount) = sink();
    let data = pattern(9 << 20);
    write_synced(&mount.at("a"), &data).unwrap();
    drop(mount);
    memory.tamper("a", |blob| blob[6 << 20] ^= 1);
    let mount = Mount::new(faulty, 7, true);
    let file = File::open(mount.at("a")).unwrap();
    let mut part = vec![0; 4096];
    file.read_exact_at(&mut part, 100).unwrap();
    assert!(part == data[100..4196]);
    assert_eq!(errno(file.read_at(&mut part, (6 << 20) - 2048)), libc::EIO);
    file.read_exact_at(&mut part, 8 << 20).unwrap();
    assert!(part == data[8 << 20..(8 << 20) + 4096]);
}

#[test]
fn trouble_2_a_replaced_file() {
    let (memory, faulty, mount) = sink();
    let old = pattern(48 << 20);
    write_synced(&mount.at("a"), &old).unwrap();
    let new = vec![9; 48 << 20];
    write_synced(&mount.at("b"), &new).unwrap();
    drop(mount);
    let mount = Mount::new(faulty, 7, true);
    let file = File::open(mount.at("a")).unwrap();
    let mut part = vec![0; 4096];
    file.read_exact_at(&mut part, 0).unwrap();
    let replacement = memory.bytes("b").unwrap().into();
    let put = memory.put_blob("a", replacement, &Condition::Always);
    mount.runtime.block_on(put).unwrap();
    assert_eq!(errno(file.read_at(&mut part, 40 << 20)), libc::ESTALE);
    let again = File::open(mount.at("a")).unwrap();
    again.read_exact_at(&mut part, 41 << 20).unwrap();
    assert_eq!(part, vec![9; 4096]);
    assert_eq!(errno(file.read_at(&mut part, 42 << 20)), libc::ESTALE);
    // The pages that the new handle read are not those of the old one.
    assert_eq!(errno(file.read_at(&mut part, 41 << 20)), libc::ESTALE);
    assert_ne!(
        again.metadata().unwrap().ino(),
        file.metadata().unwrap().ino()
    );

    // Nobody read the old one since: what is noticed is the listing.
    let (memory, faulty, mount) = sink();
    write_synced(&mount.at("a"), &old).unwrap();
    drop(mount);
    let wary = blob_fs::Options {
        ttl: Duration::ZERO,
        ..options(true)
    };
    let mode = blob_fs::Mode::CseV2(blob_format::Params::default());
    let mount = Mount::with(faulty, 7, mode, wary);
    let file = File::open(mount.at("a")).unwrap();
    file.read_exact_at(&mut part, 0).unwrap();
    let other = Mount::new(blob_store::testing::Faulty::new(memory.clone()), 7, false);
    write_synced(&other.at("a"), &new).unwrap();
    assert!(fs::read(mount.at("a")).unwrap() == new);
    for offset in [1 << 20, 40 << 20] {
        match file.read_at(&mut part, offset) {
            Ok(_) => assert!(part == old[usize::try_from(offset).unwrap()..][..4096]),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ESTALE)),
        }
    }
}

#[test]
fn trouble_3_another_key() {
    let (_, faulty, mount) = sink();
    write_synced(&mount.at("a"), &pattern(100)).unwrap();
    drop(mount);
    let mount = Mount::new(faulty, 8, true);
    assert_eq!(errno(fs::read(mount.at("a"))), libc::EIO);
}

#[test]
fn trouble_4_wrong_answers() {
    for failure in [Failure::Truncated, Failure::Extended, Failure::Reset] {
        let (_, faulty, mount) = sink();
        let data = pattern(9 << 20);
        write_synced(&mount.at("a"), &data).unwrap();
        drop(mount);
        let mount = Mount::new(faulty.clone(), 7, true);
        let file = File::open(mount.at("a")).unwrap();
        faulty.fail(Operation::Get, failure);
        let mut part = vec![0; 100_000];
        assert_eq!(errno(file.read_at(&mut part, 5 << 20)), libc::EIO);
        faulty.heal();
        file.read_exact_at(&mut part, 5 << 20).unwrap();
        assert!(part == data[5 << 20..(5 << 20) + 100_000], "{failure:?}");
    }
}

#[test]
fn trouble_5_no_answer() {
    let (_, faulty, mount) = sink();
    write_synced(&mount.at("a"), &pattern(9 << 20)).unwrap();
    drop(mount);
    let mount = Mount::new(faulty.clone(), 7, true);
    let file = File::open(mount.at("a")).unwrap();
    let started = Instant::now();
    faulty.fail(Operation::Get, Failure::Hang);
    let mut part = [0; 10];
    assert_eq!(errno(file.read_at(&mut part, 5 << 20)), libc::EIO);
    faulty.heal();
    faulty.fail(Operation::List, Failure::Hang);
    assert_eq!(errno(fs::read_dir(mount.at(""))), libc::EIO);
    // The mount of this test gives each operation 2 s; that it ends at all is what counts.
    assert!(started.elapsed() < Duration::from_secs(120));
}
