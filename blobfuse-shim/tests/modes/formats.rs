//! A mount reads the layout of its contract and no other.

use std::fs;

use blob_format::azure::SEAL;
use blob_store::testing::MemoryStore;

use crate::room::{errno, pattern};
use crate::{contract_modes, mount, refusal};

const LENGTH: usize = 100_003;

/// A store with one file of every format, named as the format.
fn files() -> MemoryStore {
    let memory = MemoryStore::default();
    for (name, mode) in contract_modes() {
        fs::write(mount(&memory, mode, 7, false).at(name), pattern(LENGTH)).unwrap();
    }
    // As an SDK writes it.
    memory.tamper_metadata("azure-cse-2.1", |metadata| {
        metadata.remove(SEAL).unwrap();
    });
    memory
}

/// What a mount says to a file of another format.
fn expected(pinned: &str, file: &str) -> Option<&'static str> {
    let is_azure = |name: &str| name.starts_with("azure-");
    match (pinned, file) {
        (pinned, file) if pinned == file => None,
        // Without a format there is none to compare with: what storage holds is what is read.
        ("CPK" | "SSE", _) => None,
        ("v2", _) => Some("CR-FORMAT-0001"),
        ("cse-v1" | "cse-v1-4m", _) => Some("CR-FORMAT-0017"),
        ("azure-cse-2.1", "azure-cse-2.1-sealed") => None,
        ("azure-cse-2.1-sealed", "azure-cse-2.1") => Some("CR-FORMAT-0027"),
        (pinned, file) if is_azure(pinned) && !is_azure(file) => Some("CR-FORMAT-0022"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_of_another_format_than_the_contracts_is_an_io_error_with_the_code_that_says_so() {
    let memory = files();
    for (pinned, mode) in contract_modes() {
        let mount = mount(&memory, mode, 7, true);
        for (name, _) in contract_modes() {
            let code = expected(pinned, name);
            assert_eq!(
                refusal(&mount, name).as_deref(),
                code,
                "{name} under {pinned}"
            );
            let read = fs::read(mount.at(name));
            match (code, pinned) {
                (Some(_), _) => assert_eq!(errno(read), libc::EIO, "{name} under {pinned}"),
                (None, "CPK" | "SSE") => assert!(read.unwrap() == memory.bytes(name).unwrap()),
                (None, _) => assert!(read.unwrap() == pattern(LENGTH), "{name} under {pinned}"),
            }
        }
    }
}

#[test]
fn every_mode_keeps_what_is_written_anywhere_and_shows_its_true_length() {
    use std::os::unix::fs::FileExt;

    for (name, mode) in contract_modes() {
        let memory = MemoryStore::default();
        let mut data = pattern(17 * (1 << 20) + 11);
        let sink = mount(&memory, mode, 7, false);
        fs::write(sink.at("file"), &data).unwrap();
        let file = fs::OpenOptions::new()
            .write(true)
            .open(sink.at("file"))
            .unwrap();
        // Over the edges of blocks and regions, and behind the end.
        for at in [0, (4 << 20) - 2, (16 << 20) - 2, data.len()] {
            file.write_all_at(b"changed", at as u64).unwrap();
            data.resize(data.len().max(at + 7), 0);
            data[at..at + 7].copy_from_slice(b"changed");
        }
        file.sync_all().unwrap();
        file.set_len(16 << 20).unwrap();
        data.truncate(16 << 20);
        file.sync_all().unwrap();
        drop(file);
        fs::write(sink.at("empty"), b"").unwrap();
        fs::rename(sink.at("file"), sink.at("moved")).unwrap();
        let source = mount(&memory, mode, 7, true);
        let length = |name| fs::metadata(source.at(name)).unwrap().len();
        assert_eq!((length("moved"), length("empty")), (16 << 20, 0), "{name}");
        assert!(fs::read(source.at("moved")).unwrap() == data, "{name}");
        assert_eq!(fs::read(source.at("empty")).unwrap(), b"", "{name}");
    }
}
