//! What differs between the modes.

use std::collections::BTreeSet;
use std::sync::Arc;

use blob_format::FormatError;
use blob_format::azure::{Draft, ENCRYPTION_DATA, Integrity, RegionSize, SEAL};
use blob_store::testing::MemoryStore;
use blob_store::{BlobStore, Condition, Metadata};

use super::{bytes, dek, find, modes, mount, options, read_file, write_file};
use crate::{FileSystem, FsError, Mode, Options, ROOT};

fn azure(integrity: Integrity) -> Mode {
    Mode::CseAzure(RegionSize::new(8 << 10).unwrap(), integrity)
}

/// A blob as an SDK writes it.
async fn foreign(memory: &MemoryStore, name: &str, region: u32, clear: &[u8]) {
    let region = RegionSize::new(region).unwrap();
    let mut draft = Draft::create(&dek(7), "", region).unwrap();
    let mut body = Vec::new();
    for part in clear.chunks(usize::try_from(region.bytes()).unwrap()) {
        let ticket = draft.next_region(part.len() as u64).unwrap();
        let mut sealed = vec![0; part.len() + 28];
        ticket.seal(part, &mut sealed).unwrap();
        body.extend(sealed);
    }
    let data = draft.finish(&dek(7), name).unwrap().encryption_data;
    let metadata = Metadata::from([(ENCRYPTION_DATA.to_owned(), data)]);
    let put = memory.put_blob_with(name, body.into(), &metadata, &Condition::Always);
    put.await.unwrap();
}

async fn change(fs: &FileSystem, name: &str) -> Result<(), FsError> {
    let ino = find(fs, name).await?.ino;
    let opened = fs.open(ino, true, false).await?;
    let written = fs.write(opened.handle, 5000, b"changed").await;
    let outcome = written.and(fs.flush(opened.handle).await);
    fs.release(opened.handle).await?;
    outcome
}

#[tokio::test]
async fn regions_of_any_length_are_read_and_of_the_usual_ones_changed() {
    let memory = MemoryStore::default();
    let mut clear = bytes(40_003, 3);
    for region in [100, 1 << 10, 4 << 10, 12 << 10, 1 << 20] {
        foreign(&memory, &region.to_string(), region, &clear).await;
    }
    foreign(&memory, "longest", 32 << 20, &clear).await;
    let fs = mount(&memory, azure(Integrity::Foreign), 7, false);
    for region in [100, 1 << 10, 4 << 10, 12 << 10, 1 << 20] {
        let name = region.to_string();
        assert_eq!(find(&fs, &name).await.unwrap().size, 40_003, "{name}");
        assert!(read_file(&fs, &name).await.unwrap() == clear, "{name}");
    }
    let refused = read_file(&fs, "longest").await.unwrap_err();
    assert_eq!(
        refused,
        FsError::Format(FormatError::Unsupported("region length"))
    );
    // Extents here are 16 KiB, so that 1 MiB is above them.
    for region in ["100", "1024", "1048576"] {
        let refused = change(&fs, region).await.unwrap_err();
        assert_eq!(refused.errno(), libc::ENOTSUP, "{region}");
    }
    clear[5000..5007].copy_from_slice(b"changed");
    for region in ["4096", "12288"] {
        change(&fs, region).await.unwrap();
        assert!(read_file(&fs, region).await.unwrap() == clear, "{region}");
    }
}

#[tokio::test]
async fn regions_that_the_memory_cannot_hold_sealed_and_open_are_refused() {
    let memory = MemoryStore::default();
    let clear = bytes(1 << 20, 3);
    foreign(&memory, "large", 1 << 20, &clear).await;
    foreign(&memory, "small", 4 << 10, &clear).await;
    let options = Options {
        memory: 2 << 20,
        ..options()
    };
    let mode = azure(Integrity::Foreign);
    let fs = FileSystem::new(Arc::new(memory.clone()), dek(7), mode, options);
    assert!(read_file(&fs, "small").await.unwrap() == clear);
    let refused = read_file(&fs, "large").await.unwrap_err();
    assert_eq!(refused.errno(), libc::ENOTSUP);
}

#[tokio::test]
async fn a_renamed_file_is_vouched_for_under_its_new_name_only_if_it_was_under_the_old_one() {
    let memory = MemoryStore::default().hierarchical();
    let sealed = mount(&memory, azure(Integrity::Sealed), 7, false);
    write_file(&sealed, "a", &bytes(20_000, 1)).await.unwrap();
    sealed
        .rename((ROOT, "a"), (ROOT, "b"), false)
        .await
        .unwrap();
    assert!(read_file(&sealed, "b").await.unwrap() == bytes(20_000, 1));

    let loose = mount(&memory, azure(Integrity::Foreign), 7, false);
    foreign(&memory, "sdk", 8 << 10, b"content").await;
    loose
        .rename((ROOT, "sdk"), (ROOT, "moved"), false)
        .await
        .unwrap();
    assert_eq!(read_file(&loose, "moved").await.unwrap(), b"content");
    assert_eq!(memory.metadata("moved").unwrap().get(SEAL), None);
    // A seal of another file does not become one of this.
    let seal = memory.metadata("b").unwrap()[SEAL].clone();
    memory.tamper_metadata("moved", |metadata| {
        metadata.insert(SEAL.to_owned(), seal);
    });
    loose
        .rename((ROOT, "moved"), (ROOT, "again"), false)
        .await
        .unwrap();
    assert_eq!(memory.metadata("again").unwrap().get(SEAL), None);

    sealed.make_directory(ROOT, "d").await.unwrap();
    let refused = sealed.rename((ROOT, "d"), (ROOT, "e"), false).await;
    assert_eq!(refused.unwrap_err().errno(), libc::EXDEV);
}

#[tokio::test]
async fn no_content_key_and_no_nonce_is_used_for_two_contents() {
    for mode in modes() {
        let (start, size, nonce) = match mode {
            Mode::CseV1(_) => (0, (8 << 10) + 28, 12),
            Mode::CseAzure(..) => (0, (8 << 10) + 28, 0),
            _ => continue,
        };
        let memory = MemoryStore::default();
        let fs = mount(&memory, mode, 7, false);
        write_file(&fs, "a", &bytes(50_000, 1)).await.unwrap();
        let (mut seen, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..3 {
            change(&fs, "a").await.unwrap();
            let stored = memory.bytes("a").unwrap();
            if nonce > 0 {
                // Only the first block was sealed again.
                seen.insert(stored[start..nonce].to_vec());
                seen.extend(
                    stored
                        .chunks_exact(size)
                        .map(|chunk| chunk[..nonce].to_vec()),
                );
            } else {
                keys.insert(memory.metadata("a").unwrap()[ENCRYPTION_DATA].clone());
            }
        }
        match nonce {
            0 => assert_eq!(keys.len(), 3, "{mode:?}"),
            _ => assert_eq!(seen.len(), 3 + 6, "{mode:?}"),
        }
    }
}
