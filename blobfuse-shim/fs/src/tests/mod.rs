mod faults;
mod losses;
mod model;
mod names;
mod pinned;
mod sealing;

use std::sync::Arc;
use std::time::Duration;

use blob_format::Params;
use blob_format::azure::{Integrity, RegionSize};
use blob_format::v1::BlockSize;
use blob_store::testing::{Faulty, MemoryStore};
use cleanroom_crypto::Dek;

use crate::{FileSystem, FsError, Kind, Mode, Options, ROOT};

pub(crate) const SMALL: Mode = match Params::new(12, 13) {
    Ok(params) => Mode::CseV2(params),
    Err(_) => Mode::Cpk,
};

/// Every mode, with sizes so small that short files have several extents.
pub(crate) fn modes() -> [Mode; 6] {
    let block = BlockSize::small(8 << 10).unwrap();
    let region = RegionSize::new(8 << 10).unwrap();
    [
        SMALL,
        Mode::Cpk,
        Mode::Sse,
        Mode::CseV1(block),
        Mode::CseAzure(region, Integrity::Foreign),
        Mode::CseAzure(region, Integrity::Sealed),
    ]
}

pub(crate) fn dek(byte: u8) -> Arc<Dek> {
    Arc::new(Dek::from_slice(&[byte; 32]).unwrap())
}

pub(crate) fn options() -> Options {
    Options {
        read_only: false,
        deadline: Duration::from_secs(5),
        release: Duration::from_millis(5),
        window: 16 << 10,
        ..Options::default()
    }
}

pub(crate) struct Fixture {
    pub(crate) fs: FileSystem,
    pub(crate) memory: MemoryStore,
    pub(crate) faulty: Faulty,
}

pub(crate) fn fixture(mode: Mode) -> Fixture {
    let memory = MemoryStore::default();
    let faulty = Faulty::new(memory.clone());
    let fs = FileSystem::new(Arc::new(faulty.clone()), dek(7), mode, options());
    Fixture { fs, memory, faulty }
}

pub(crate) fn mount(memory: &MemoryStore, mode: Mode, key: u8, read_only: bool) -> FileSystem {
    let options = Options {
        read_only,
        ..options()
    };
    FileSystem::new(Arc::new(memory.clone()), dek(key), mode, options)
}

/// Bytes that differ everywhere.
pub(crate) fn bytes(length: usize, seed: u8) -> Vec<u8> {
    let pattern = (0..=250_u8).cycle();
    let rounds = (0..=255_u8).cycle().flat_map(|round| [round; 251]);
    let all = pattern.zip(rounds).map(|(a, b)| a ^ b ^ seed);
    all.take(length).collect()
}

/// Finds a path below the root.
pub(crate) async fn find(fs: &FileSystem, path: &str) -> Result<crate::Attr, FsError> {
    let mut at = fs.attributes(ROOT).await?;
    for name in path.split('/') {
        at = fs.look_up(at.ino, name).await?;
    }
    Ok(at)
}

pub(crate) async fn write_file(fs: &FileSystem, name: &str, data: &[u8]) -> Result<(), FsError> {
    let (_, opened) = fs.create(ROOT, name).await?;
    let mut outcome = Ok(());
    for (number, part) in data.chunks(5000).enumerate() {
        let offset = number as u64 * 5000;
        outcome = outcome.and(fs.write(opened.handle, offset, part).await);
    }
    outcome = outcome.and(fs.flush(opened.handle).await);
    fs.release(opened.handle).await?;
    outcome
}

pub(crate) async fn read_file(fs: &FileSystem, path: &str) -> Result<Vec<u8>, FsError> {
    let attr = find(fs, path).await?;
    assert_eq!(attr.kind, Kind::File);
    let opened = fs.open(attr.ino, false, false).await?;
    let mut out = Vec::new();
    let outcome = loop {
        match fs.read(opened.handle, out.len() as u64, 3000).await {
            Ok(part) if part.is_empty() => break Ok(()),
            Ok(part) => out.extend(part),
            Err(error) => break Err(error),
        }
    };
    fs.release(opened.handle).await?;
    outcome.map(|()| out)
}

pub(crate) async fn list(fs: &FileSystem, path: &str) -> Vec<String> {
    let ino = match path {
        "" => ROOT,
        path => find(fs, path).await.unwrap().ino,
    };
    let opened = fs.open_directory(ino).await.unwrap();
    let entries = fs.read_directory(opened.handle).unwrap();
    fs.release(opened.handle).await.unwrap();
    entries.iter().map(|entry| entry.name.clone()).collect()
}
