use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use blob_format::Params;
use blob_fs::{Mode, Options};

use crate::room::{Mount, committed, errno, options, pattern, sink, store, write_synced};

#[test]
fn read_1_what_was_written_last() {
    let (memory, _, mount) = sink();
    let file = File::create(mount.at("a")).unwrap();
    let mut data = pattern(9 << 20);
    file.write_all_at(&data, 0).unwrap();
    let reader = File::open(mount.at("a")).unwrap();
    for at in [0_usize, 4_194_300, 8 << 20] {
        let mut part = [0; 8];
        reader.read_exact_at(&mut part, at as u64).unwrap();
        assert_eq!(part, data[at..at + 8]);
    }
    file.write_all_at(b"changed", 4_194_300).unwrap();
    data[4_194_300..4_194_307].copy_from_slice(b"changed");
    assert!(fs::read(mount.at("a")).unwrap() == data);
    assert_eq!(memory.bytes("a"), None, "not committed yet");
    file.sync_all().unwrap();
    assert!(fs::read(mount.at("a")).unwrap() == data);
}

#[test]
fn read_2_short_reads_only_at_the_end() {
    let (_, faulty, mount) = sink();
    let data = pattern((4 << 20) + 12_345);
    write_synced(&mount.at("a"), &data).unwrap();
    drop(mount);
    let mount = Mount::new(faulty, 7, true);
    let file = File::open(mount.at("a")).unwrap();
    let mut part = vec![0; 300_000];
    for at in (0..data.len()).step_by(250_007) {
        let read = file.read_at(&mut part, at as u64).unwrap();
        assert_eq!(read, part.len().min(data.len() - at), "at {at}");
        assert!(part[..read] == data[at..at + read]);
    }
    assert_eq!(file.read_at(&mut part, data.len() as u64).unwrap(), 0);
}

/// Maps a file, hands its bytes to `work`, and unmaps it.
#[allow(unsafe_code)]
fn mapped(file: &File, protection: i32, flags: i32, work: impl FnOnce(&mut [u8])) {
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    // SAFETY: a fresh mapping of the file's whole length, used by this function alone and unmapped before it returns.
    unsafe {
        let null = std::ptr::null_mut();
        let at = libc::mmap(null, length, protection, flags, file.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED);
        work(std::slice::from_raw_parts_mut(at.cast(), length));
        assert_eq!(libc::munmap(at, length), 0);
    }
}

#[test]
fn read_3_memory_maps() {
    let (_, faulty, mount) = sink();
    let data = pattern(5 << 20);
    write_synced(&mount.at("a"), &data).unwrap();
    drop(mount);
    let mount = Mount::new(faulty, 7, true);
    let file = File::open(mount.at("a")).unwrap();
    for flags in [libc::MAP_PRIVATE, libc::MAP_SHARED] {
        mapped(&file, libc::PROT_READ, flags, |bytes| {
            assert!(*bytes == data[..]);
        });
    }
}

#[test]
fn write_1_any_offset() {
    let (memory, faulty, mount) = sink();
    let mut data = pattern(13 << 20);
    let file = File::create(mount.at("a")).unwrap();
    file.write_all_at(&data, 0).unwrap();
    let mut change = |file: &File, at: usize, with: &[u8]| {
        file.write_all_at(with, at as u64).unwrap();
        data[at..at + with.len()].copy_from_slice(with);
    };
    change(&file, 0, b"front");
    change(&file, (8 << 20) - 2, b"over the border");
    file.sync_all().unwrap();
    change(&file, 5 << 20, b"after the commit");
    drop(file);
    let file = OpenOptions::new().write(true).open(mount.at("a")).unwrap();
    change(&file, 12 << 20, b"opened again");
    drop(file);
    assert!(committed(&memory, "a").unwrap() == data);
    drop(mount);
    // Another mount does not know the blocks and asks for them.
    let mount = Mount::new(faulty, 7, false);
    let file = OpenOptions::new().write(true).open(mount.at("a")).unwrap();
    file.write_all_at(b"another mount", 3).unwrap();
    data[3..16].copy_from_slice(b"another mount");
    drop(file);
    assert!(committed(&memory, "a").unwrap() == data);
    assert!(fs::read(mount.at("a")).unwrap() == data);
}

#[test]
fn write_2_zeros_between() {
    let (memory, _, mount) = sink();
    let file = File::create(mount.at("a")).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    file.write_all_at(b"end", 10 << 20).unwrap();
    let mut data = vec![0; (10 << 20) + 3];
    data[..5].copy_from_slice(b"start");
    data[10 << 20..].copy_from_slice(b"end");
    assert!(fs::read(mount.at("a")).unwrap() == data);
    drop(file);
    assert!(committed(&memory, "a").unwrap() == data);
}

#[test]
fn write_3_truncation() {
    let (memory, _, mount) = sink();
    let mut data = pattern(9 << 20);
    let file = File::create(mount.at("a")).unwrap();
    file.write_all_at(&data, 0).unwrap();
    for length in [(4 << 20) + 5, 7 << 20, 100, 5 << 20] {
        file.set_len(length).unwrap();
        data.resize(usize::try_from(length).unwrap(), 0);
        assert!(fs::read(mount.at("a")).unwrap() == data, "{length}");
    }
    drop(file);
    assert!(committed(&memory, "a").unwrap() == data);
    let path = nix::NixPath::with_nix_path(&mount.at("a"), |path| path.to_owned()).unwrap();
    nix::unistd::truncate(path.as_c_str(), 3).unwrap();
    assert_eq!(committed(&memory, "a").unwrap(), data[..3]);
}

#[test]
#[allow(unsafe_code)]
fn write_4_shared_memory_maps() {
    let (memory, _, mount) = sink();
    let mut data = pattern(5 << 20);
    write_synced(&mount.at("a"), &data).unwrap();
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).open(mount.at("a")).unwrap()
    };
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let file = open();
    mapped(&file, both, libc::MAP_SHARED, |bytes| {
        bytes[4_500_000..4_500_004].copy_from_slice(b"sync");
        let at = bytes.as_mut_ptr().cast();
        // SAFETY: the whole mapping, which outlives the call.
        assert_eq!(unsafe { libc::msync(at, bytes.len(), libc::MS_SYNC) }, 0);
    });
    data[4_500_000..4_500_004].copy_from_slice(b"sync");
    assert!(committed(&memory, "a").unwrap() == data);
    drop(file);
    let file = open();
    mapped(&file, both, libc::MAP_SHARED, |bytes| {
        bytes[10..14].copy_from_slice(b"more");
    });
    data[10..14].copy_from_slice(b"more");
    drop(file);
    assert!(committed(&memory, "a").unwrap() == data);
}

#[test]
fn write_5_too_many_zeros() {
    let (memory, _, mount) = sink();
    let file = File::create(mount.at("a")).unwrap();
    assert_eq!(errno(file.set_len((64 << 30) + 1)), libc::EFBIG);
    assert_eq!(errno(file.write_at(b"x", 65 << 30)), libc::EFBIG);
    file.write_all_at(b"small", 0).unwrap();
    drop(file);
    assert_eq!(committed(&memory, "a").unwrap(), b"small");
}

#[test]
fn short_memory_costs_no_content() {
    let (_, faulty) = store();
    let options = Options {
        memory: 40 << 20,
        ..options(false)
    };
    let mount = Mount::with(faulty, 7, Mode::CseV2(Params::default()), options);
    let data = pattern(24 << 20);
    // Six files that together are larger than the budget, all open and none complete at any time.
    let mut files: Vec<_> = (0..6)
        .map(|n| File::create(mount.at(&format!("f{n}"))).unwrap())
        .collect();
    for part in data.chunks(3 << 20) {
        for file in &mut files {
            file.write_all(part).unwrap();
        }
    }
    for file in &files {
        file.sync_all().unwrap();
    }
    drop(files);
    let readers: Vec<_> = (0..6)
        .map(|n| {
            let (path, data) = (mount.at(&format!("f{n}")), data.clone());
            std::thread::spawn(move || {
                let mut read = Vec::new();
                File::open(path).unwrap().read_to_end(&mut read).unwrap();
                assert!(read == data);
            })
        })
        .collect();
    for reader in readers {
        reader.join().unwrap();
    }
}
