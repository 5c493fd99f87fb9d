//! What a mounted container shares: its tables, budgets and flags.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blob_format::manifest::Entry;
use blob_store::{BlobStore, Etag, StoreError};
use cleanroom_crypto::Dek;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, Semaphore};

use crate::budget::{Budget, Memory};
use crate::cache::Cache;
use crate::directory::Directories;
use crate::file::{File, Handle};
use crate::inode::Nodes;
use crate::version::Version;
use crate::{DirEntry, FsError, Mode, Opened, Options, Sealed, codec};

/// How long idle files are left alone while somebody waits for memory.
const RELIEF: Duration = Duration::from_millis(5);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) dek: Arc<Dek>,
    pub(crate) mode: Mode,
    pub(crate) options: Options,
    pub(crate) nodes: Mutex<Nodes>,
    pub(crate) directories: Directories,
    /// Open files by path.
    pub(crate) files: Mutex<HashMap<String, Arc<File>>>,
    /// Open files that no path leads to, by inode.
    pub(crate) orphans: Mutex<HashMap<u64, Arc<File>>>,
    /// Unlinked paths whose blob is kept for the handles that are still open.
    pub(crate) hidden: Mutex<HashMap<String, Arc<File>>>,
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
    pub(crate) budget: Budget,
    pub(crate) cache: Arc<Cache>,
    /// Uploads under way; each has memory of its own for one sealed extent.
    pub(crate) slots: Arc<Semaphore>,
    /// Pages for answers to reads.
    pub(crate) answers: Semaphore,
    relieving: AtomicBool,
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
        // A quarter of the memory at most belongs to uploads: a sealed extent each, and room to seal zeros.
        let (extent, unit) = codec::sizes(mode);
        let slot = 2 * (extent + 16 * extent.div_ceil(unit)) + 4096;
        let most = options.uploads.max(1) as u64;
        let slots = (options.memory / 4 / slot).clamp(1, most);
        let pool = options
            .memory
            .saturating_sub(options.answers() + slots * slot);
        let answers = usize::try_from(options.answers() / 4096).unwrap_or(1);
        Self {
            budget: Budget::new(pool),
            cache: Arc::new(Cache::new()),
            slots: Arc::new(Semaphore::new(usize::try_from(slots).unwrap_or(1))),
            answers: Semaphore::new(answers),
            relieving: AtomicBool::new(false),
            store,
            dek,
            mode,
            options,
            nodes: Mutex::new(Nodes::new()),
            directories: Directories::default(),
            files: Mutex::default(),
            orphans: Mutex::default(),
            hidden: Mutex::default(),
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

    /// Memory from the budget: free, from the cache, or waited for. The caller holds none, and no dirty draft.
    pub(crate) async fn room(self: &Arc<Self>, bytes: u64) -> Result<Memory, FsError> {
        if let Some(memory) = self.cache.make_room(&self.budget, bytes) {
            return Ok(memory);
        }
        // From here on nobody keeps what he can do without; what was kept a moment ago is still in the cache.
        let _waiting = self.budget.waiting();
        if let Some(memory) = self.cache.make_room(&self.budget, bytes) {
            return Ok(memory);
        }
        self.relieve();
        self.budget.take(bytes).await.ok_or(FsError::Handle)
    }

    /// If somebody waits for memory, the cache is his.
    pub(crate) fn give_way(&self) {
        if self.budget.is_short() {
            self.cache.clear();
        }
    }

    /// Commits what idle files hold in memory for as long as somebody waits for it.
    fn relieve(self: &Arc<Self>) {
        if self.relieving.swap(true, Ordering::SeqCst) {
            return;
        }
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            while inner.budget.is_short() {
                let open = lock(&inner.files).values().cloned().collect::<Vec<_>>();
                let orphans = lock(&inner.orphans).values().cloned().collect::<Vec<_>>();
                for file in open.into_iter().chain(orphans) {
                    // Who holds the lock gives his memory back before he waits himself.
                    if let Ok(mut state) = file.state.try_lock()
                        && state
                            .draft
                            .as_ref()
                            .is_some_and(|draft| draft.holds_memory())
                    {
                        // A failure stays with the file.
                        let _ = inner.spill(&file, &mut state).await;
                    }
                }
                inner.give_way();
                tokio::time::sleep(RELIEF).await;
            }
            inner.relieving.store(false, Ordering::SeqCst);
            // Somebody may have come in between.
            if inner.budget.is_short() {
                inner.relieve();
            }
        });
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

    /// Opens a path, waiting a moment for its writer to go: the kernel reports that a handle was closed only after
    /// `close` has returned.
    pub(crate) async fn enter(&self, path: &str, write: bool) -> Result<Arc<File>, FsError> {
        self.after_release(|| self.try_enter(path, write)).await
    }

    /// Repeats what found something busy whenever a handle is released, for a moment.
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
        let writing = |file: &&Arc<File>| file.writing.load(Ordering::Relaxed);
        if write && files.values().filter(writing).count() >= self.options.writers {
            return Err(FsError::TooMany);
        }
        let file = files
            .entry(path.to_owned())
            .or_insert_with(|| Arc::new(File::new(path)));
        if write && file.writing.swap(true, Ordering::Relaxed) {
            return Err(FsError::Busy);
        }
        file.handles.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::clone(file))
    }

    /// Ends a handle; returns whether it was the last one of a file that nobody can find any more.
    pub(crate) fn leave(&self, file: &Arc<File>, write: bool) -> bool {
        let mut files = lock(&self.files);
        if write {
            file.writing.store(false, Ordering::Relaxed);
        }
        let is_last = file.handles.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_last {
            // After an unlink the path may stand for another file already.
            files.retain(|_, open| !Arc::ptr_eq(open, file));
            lock(&self.orphans).retain(|_, open| !Arc::ptr_eq(open, file));
        }
        drop(files);
        self.released.notify_waiters();
        is_last && file.is_unlinked()
    }

    pub(crate) fn register(&self, open: Open, direct: bool, keep: bool) -> Opened {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        lock(&self.handles).insert(handle, open);
        Opened {
            handle,
            direct,
            keep,
        }
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

    /// What was lost at a path is made up for by content that is new as a whole.
    pub(crate) fn regained(&self, path: &str) {
        lock(&self.lost).remove(path);
    }

    /// A file has another name; what it lost goes with it, what the replaced one lost does not matter any more.
    pub(crate) fn moved_loss(&self, old: &str, new: &str) {
        let mut lost = lock(&self.lost);
        if lost.remove(old) {
            lost.insert(new.to_owned());
        } else {
            lost.remove(new);
        }
    }

    /// A version is durable.
    pub(crate) fn written(&self, path: &str, etag: Etag, entry: Option<Entry>) {
        let mut written = lock(&self.written);
        match entry {
            Some(entry) => written.insert(path.to_owned(), (etag, entry)),
            None => written.remove(path),
        };
    }

    /// A commit replaced a version of a path.
    pub(crate) fn replaced(&self, path: &str, old: Option<&Version>, new: &Version) {
        let old = old.map(|old| &old.info.etag);
        lock(&self.nodes).replaced(path, old, &new.info.etag);
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

    /// A directory has another name: what is known of the versions below it is void, what they lost is not.
    pub(crate) fn moved_below(&self, old: &str, new: &str) {
        let mut lost = lock(&self.lost);
        let inside: Vec<String> = lost
            .iter()
            .filter(|path| path.starts_with(old))
            .cloned()
            .collect();
        for path in inside {
            lost.remove(&path);
            if let Some(rest) = path.strip_prefix(old) {
                lost.insert(format!("{new}{rest}"));
            }
        }
        drop(lost);
        lock(&self.written).retain(|path, _| !path.starts_with(old));
    }
}
