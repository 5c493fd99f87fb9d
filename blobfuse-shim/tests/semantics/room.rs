//! A kernel mount over a store in memory. Needs root and /dev/fuse, and fails without them.

#![allow(dead_code)] // each test program uses its part

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blob_format::Params;
use blob_fs::{FileSystem, Mode, Options};
use blob_store::testing::{Faulty, MemoryStore};
use blobfuse_shim::{fuse, mount};
use cleanroom_crypto::Dek;
use nix::mount::{MntFlags, umount2};
use tokio::sync::oneshot;

pub(crate) struct Mount {
    pub(crate) fs: FileSystem,
    pub(crate) runtime: tokio::runtime::Runtime,
    ended: Option<oneshot::Receiver<()>>,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

pub(crate) fn options(read_only: bool) -> Options {
    Options {
        read_only,
        deadline: Duration::from_secs(2),
        ..Options::default()
    }
}

impl Mount {
    pub(crate) fn new(store: Faulty, key: u8, read_only: bool) -> Self {
        let mode = Mode::CseV2(Params::default());
        Self::with(store, key, mode, options(read_only))
    }

    pub(crate) fn with(store: Faulty, key: u8, mode: Mode, options: Options) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dek = Arc::new(Dek::from_slice(&[key; 32]).unwrap());
        Self::of(
            runtime,
            FileSystem::new(Arc::new(store), dek, mode, options),
        )
    }

    /// A source whose manifest is pinned by its keyed root.
    pub(crate) fn pinned(store: Faulty, mode: Mode, root: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dek = Arc::new(Dek::from_slice(&[7; 32]).unwrap());
        let (store, root) = (Arc::new(store), root.parse().unwrap());
        let fs = FileSystem::pinned(store, dek, mode, options(true), root);
        let fs = runtime.block_on(fs).unwrap();
        Self::of(runtime, fs)
    }

    fn of(runtime: tokio::runtime::Runtime, fs: FileSystem) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mount");
        let device = mount::attach(&path, 10020, fs.is_read_only()).unwrap();
        let (ended, end) = oneshot::channel();
        runtime
            .block_on(fuse::serve(fs.clone(), device, ended))
            .unwrap();
        Self {
            fs,
            runtime,
            ended: Some(end),
            path,
            _dir: dir,
        }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        umount2(&self.path, MntFlags::MNT_DETACH).unwrap();
        // A mount namespace that somebody made meanwhile has a copy of the mount: then the session ends with this process.
        if let Some(ended) = self.ended.take() {
            let within = Duration::from_secs(5);
            let ended = async { tokio::time::timeout(within, ended).await };
            let _ = self.runtime.block_on(ended);
        }
    }
}

pub(crate) fn store() -> (MemoryStore, Faulty) {
    let memory = MemoryStore::default();
    (memory.clone(), Faulty::new(memory))
}

/// A writable mount and its store.
pub(crate) fn sink() -> (MemoryStore, Faulty, Mount) {
    let (memory, faulty) = store();
    let mount = Mount::new(faulty.clone(), 7, false);
    (memory, faulty, mount)
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let numbers = (0_u32..).flat_map(u32::to_le_bytes);
    numbers.take(length).collect()
}

pub(crate) fn errno<T: std::fmt::Debug>(outcome: std::io::Result<T>) -> i32 {
    outcome.unwrap_err().raw_os_error().unwrap()
}

pub(crate) fn write_synced(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(data)?;
    file.sync_all()
}

/// `close` with its error, which dropping a `File` hides.
pub(crate) fn close(file: File) -> std::io::Result<()> {
    nix::unistd::close(file).map_err(Into::into)
}

/// What another mount of the same storage reads: only what is committed.
pub(crate) fn committed(memory: &MemoryStore, name: &str) -> Option<Vec<u8>> {
    let stored = memory.bytes(name)?;
    let dek = Dek::from_slice(&[7; 32]).unwrap();
    let view = blob_format::View::open(&dek, stored.len() as u64, &stored, Some(name)).unwrap();
    let Some(plan) = view.plan(0..view.len()) else {
        return Some(Vec::new());
    };
    let end = usize::try_from(plan.sealed.end).unwrap();
    Some(view.decrypt(&plan, stored[..end].to_vec()).unwrap())
}
