//! What a mounted container shares: its tables, budgets and flags.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blob_format::manifest::Entry;
use blob_store::{BlobStore, Etag, StoreError};
use cleanroom_crypto::Dek;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, Semaphore};

use crate::directory::Directories;
use crate::file::{File, Stored};
use crate::handle::{Handle, memory};
use crate::inode::Nodes;
use crate::{DirEntry, FsError, Mode, Opened, Options, Sealed};

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) dek: Arc<Dek>,
    pub(crate) mode: Mode,
    pub(crate) options: Options,
    pub(crate) nodes: Mutex<Nodes>,
    pub(crate) directories: Directories,
    pub(crate) files: Mutex<HashMap<String, OpenFile>>,
    pub(crate) handles: Mutex<HashMap<u64, Open>>,
    next_handle: AtomicU64,
    pub(crate) nonce: Mutex<String>,
    /// No further change is accepted.
    closed: AtomicBool,
    /// Held for reading by every change; `true` once the list of files is final.
    gate: RwLock<bool>,
    pub(crate) sealed: tokio::sync::Mutex<Option<Sealed>>,
    /// Paths whose content did not reach storage.
    lost: Mutex<BTreeSet<String>>,
    /// What a manifest says of the versions written by this mount.
    written: Mutex<HashMap<String, (Etag, Entry)>>,
    released: Notify,
    pub(crate) read_memory: Arc<Semaphore>,
    pub(crate) write_memory: Arc<Semaphore>,
}

/// A path with its open handles.
pub(crate) struct OpenFile {
    pub(crate) file: Arc<File>,
    handles: usize,
    pub(crate) writing: bool,
}

/// What a handle number stands for.
#[derive(Clone)]
pub(crate) enum Open {
    File(Arc<Handle>),
    Directory(Arc<Vec<DirEntry>>),
    Nonce(Arc<str>),
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn new(
        store: Arc<dyn BlobStore>,
        dek: Arc<Dek>,
        mode: Mode,
        options: Options,
    ) -> Self {
        Self {
            read_memory: memory(options.read_memory),
            write_memory: memory(options.write_memory),
            store,
            dek,
            mode,
            options,
            nodes: Mutex::new(Nodes::new()),
            directories: Directories::default(),
            files: Mutex::default(),
            handles: Mutex::default(),
            next_handle: AtomicU64::new(1),
            nonce: Mutex::default(),
            closed: AtomicBool::new(false),
            gate: RwLock::new(false),
            sealed: tokio::sync::Mutex::default(),
            lost: Mutex::default(),
            written: Mutex::default(),
            released: Notify::new(),
        }
    }

    /// One store operation under the mount's last bound.
    pub(crate) async fn bounded<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, FsError> {
        let outcome = tokio::time::timeout(self.options.deadline, operation).await;
        Ok(outcome.unwrap_or(Err(StoreError::Deadline(self.options.deadline)))?)
    }

    pub(crate) fn check_writable(&self) -> Result<(), FsError> {
        if self.options.read_only {
            Err(FsError::ReadOnly)
        } else if self.closed.load(Ordering::SeqCst) {
            Err(FsError::Sealed)
        } else {
            Ok(())
        }
    }

    /// From now on writes are refused; what was written can still be committed.
    pub(crate) fn refuse_changes(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Waits for the changes under way and refuses every further one, commits included.
    pub(crate) async fn refuse_commits(&self) {
        *self.gate.write().await = true;
    }

    /// Holds off [`Inner::refuse_commits`] while names in storage change.
    pub(crate) async fn changing(&self) -> Result<RwLockReadGuard<'_, bool>, FsError> {
        let gate = self.gate.read().await;
        if *gate {
            return Err(FsError::Sealed);
        }
        Ok(gate)
    }

    /// The path no longer leads to the file that is open under it.
    pub(crate) fn detach(&self, path: &str) {
        lock(&self.files).remove(path);
    }

    /// The committed version that a read sees; what was written is committed first.
    pub(crate) async fn readable(self: &Arc<Self>, file: &File) -> Result<Stored, FsError> {
        let mut state = file.state.lock().await;
        self.commit(file, &mut state).await?;
        if state.stored.is_none() {
            state.stored = Some(self.load(&file.path).await?);
        }
        state.stored.clone().ok_or(FsError::Handle)
    }

    /// Opens a path, waiting a moment for its writer to go: the kernel reports that a handle was closed only after
    /// `close` has returned.
    pub(crate) async fn enter(&self, path: &str, write: bool) -> Result<Arc<File>, FsError> {
        self.after_release(|| self.try_enter(path, write)).await
    }

    /// Repeats what found a path busy whenever a handle is released, for a moment.
    pub(crate) async fn after_release<T>(
        &self,
        attempt: impl Fn() -> Result<T, FsError>,
    ) -> Result<T, FsError> {
        let waiting = async {
            loop {
                let released = self.released.notified();
                match attempt() {
                    Err(FsError::Busy) => released.await,
                    outcome => return outcome,
                }
            }
        };
        let outcome = tokio::time::timeout(self.options.release, waiting).await;
        outcome.unwrap_or(Err(FsError::Busy))
    }

    fn try_enter(&self, path: &str, write: bool) -> Result<Arc<File>, FsError> {
        let mut files = lock(&self.files);
        let writers = files.values().filter(|open| open.writing).count();
        if write && writers >= self.options.writers {
            return Err(FsError::TooMany);
        }
        let open = files.entry(path.to_owned()).or_insert_with(|| OpenFile {
            file: Arc::new(File::new(path)),
            handles: 0,
            writing: false,
        });
        if write && open.writing {
            return Err(FsError::Busy);
        }
        open.handles += 1;
        open.writing |= write;
        Ok(Arc::clone(&open.file))
    }

    pub(crate) fn leave(&self, file: &Arc<File>, write: bool) {
        let mut files = lock(&self.files);
        // After an unlink the path may stand for another file already.
        if let Some(open) = files.get_mut(&file.path)
            && Arc::ptr_eq(&open.file, file)
        {
            open.handles = open.handles.saturating_sub(1);
            if write {
                open.writing = false;
            }
            if open.handles == 0 {
                files.remove(&file.path);
            }
        }
        drop(files);
        self.released.notify_waiters();
    }

    pub(crate) fn register(&self, open: Open, direct: bool) -> Opened {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        lock(&self.handles).insert(handle, open);
        Opened { handle, direct }
    }

    pub(crate) fn handle(&self, handle: u64) -> Result<Open, FsError> {
        let handles = lock(&self.handles);
        handles.get(&handle).cloned().ok_or(FsError::Handle)
    }

    pub(crate) fn file_handle(&self, handle: u64) -> Result<Arc<Handle>, FsError> {
        match self.handle(handle)? {
            Open::File(handle) => Ok(handle),
            _ => Err(FsError::Handle),
        }
    }

    pub(crate) fn lost(&self, path: &str) {
        lock(&self.lost).insert(path.to_owned());
    }

    pub(crate) fn lost_files(&self) -> usize {
        lock(&self.lost).len()
    }

    /// A version is durable: whatever was lost before is replaced by it.
    pub(crate) fn written(&self, path: &str, etag: Etag, entry: Entry) {
        lock(&self.lost).remove(path);
        lock(&self.written).insert(path.to_owned(), (etag, entry));
    }

    pub(crate) fn known(&self, path: &str, etag: &Etag) -> Option<Entry> {
        let written = lock(&self.written);
        let (of, entry) = written.get(path)?;
        (of == etag).then(|| entry.clone())
    }

    /// The application gave the path up.
    pub(crate) fn forget_path(&self, path: &str) {
        lock(&self.lost).remove(path);
        lock(&self.written).remove(path);
    }
}
