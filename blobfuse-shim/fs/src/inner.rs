//! What a mounted container shares: its tables, budgets and flags.

use blob_format::manifest::Entry;
use blob_store::{BlobStore, Etag, StoreError};
use cleanroom_crypto::Dek;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, RwLock, RwLockReadGuard, Semaphore};

use crate::budget::{Budget, Memory, Shares};
use crate::buffers::Buffers;
use crate::cache::Cache;
use crate::codec::Layout;
use crate::directory::Directories;
use crate::draft::Draft;
use crate::file::{File, Handle, State};
use crate::findings::Findings;
use crate::inode::Nodes;
use crate::measure::Measured;
use crate::pinned::Source;
use crate::version::Version;
use crate::{DirEntry, FsError, Mode, Opened, Options, Sealed};

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) dek: Arc<Dek>,
    pub(crate) mode: Mode,
    pub(crate) layout: Layout,
    pub(crate) measured: Measured,
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
    /// What this mount committed and the application did not give up, by path.
    written: Mutex<HashMap<String, Written>>,
    released: Notify,
    pub(crate) budget: Budget,
    pub(crate) cache: Arc<Cache>,
    pub(crate) buffers: Arc<Buffers>,
    /// Uploads under way; each has memory of its own for one sealed extent of a file that this mount makes.
    pub(crate) slots: Arc<Semaphore>,
    most_slots: u64,
    /// Clear bytes of such an extent; also what is copied from blob to blob at once.
    pub(crate) extent: u64,
    /// Pages for answers to reads.
    pub(crate) answers: Semaphore,
    /// What the contract lists, if it pins a manifest.
    pub(crate) source: Option<Source>,
    pub(crate) findings: Findings,
}

/// A version that this mount committed.
#[derive(Clone)]
pub(crate) struct Written {
    /// None after a rename of its directory.
    etag: Option<Etag>,
    /// What a manifest says of it, if that is known.
    pub(crate) entry: Option<Entry>,
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
        let Shares { slot, slots, pool } = Shares::of(mode, &options);
        let answers = usize::try_from(options.answers() / 4096).unwrap_or(1);
        let layout = Layout::new(mode, &dek, &options.key_id);
        let extent = layout.create().map_or(slot / 2, |codec| codec.extent());
        Self {
            budget: Budget::new(pool),
            cache: Arc::new(Cache::new()),
            buffers: (options.buffers.clone())
                .unwrap_or_else(|| Arc::new(Buffers::of(options.memory))),
            slots: Arc::new(Semaphore::new(usize::try_from(slots).unwrap_or(1))),
            answers: Semaphore::new(answers),
            most_slots: slots,
            extent,
            layout,
            measured: Measured::default(),
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
            source: None,
            findings: Findings::default(),
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

    /// Commits what idle files hold in memory, for somebody who waits for it. What is written from here on leaves with the
    /// operation that writes it.
    fn relieve(self: &Arc<Self>) {
        let open = lock(&self.files).values().cloned().collect::<Vec<_>>();
        let orphans = lock(&self.orphans).values().cloned().collect::<Vec<_>>();
        for file in open.into_iter().chain(orphans) {
            if file.relieve() {
                continue;
            }
            let inner = Arc::clone(self);
            tokio::spawn(async move {
                // Who holds the lock gives his memory back before he waits himself.
                let mut state = file.state.lock().await;
                file.relieved();
                // A failure stays with the file.
                let _ = inner.yield_memory(&file, &mut state).await;
            });
        }
        self.give_way();
    }

    /// If somebody waits for memory, what this file holds is his.
    pub(crate) async fn yield_memory(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
    ) -> Result<(), FsError> {
        let holds = |draft: &Draft| draft.holds_memory();
        if self.budget.is_short() && state.draft.as_deref().is_some_and(holds) {
            self.spill(file, state).await?;
        }
        Ok(())
    }

    /// Memory and leave for one upload of a part of a file with extents of this length; waits.
    pub(crate) async fn slot(&self, extent: u64) -> Result<OwnedSemaphorePermit, FsError> {
        let count = u32::try_from(self.slots_for(extent)).unwrap_or(u32::MAX);
        let slot = Arc::clone(&self.slots).acquire_many_owned(count).await;
        slot.map_err(|_| FsError::Handle)
    }

    /// As [`Inner::slot`], if it is there now.
    pub(crate) fn slot_now(&self, extent: u64) -> Option<OwnedSemaphorePermit> {
        let count = u32::try_from(self.slots_for(extent)).unwrap_or(u32::MAX);
        Arc::clone(&self.slots).try_acquire_many_owned(count).ok()
    }

    fn slots_for(&self, extent: u64) -> u64 {
        extent.div_ceil(self.extent).max(1)
    }

    /// A file of format v2 brings its own sizes along: changing it seals extents of that length.
    pub(crate) fn check_extent(&self, extent: u64) -> Result<(), FsError> {
        if self.slots_for(extent) > self.most_slots {
            return Err(FsError::NotSupported(
                "changes to a file whose extents are too large for the memory limit",
            ));
        }
        Ok(())
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

    /// Opens a path, waiting a moment for its writer to go, and for handles of a file that failed: the kernel reports that
    /// a handle was closed only after `close` has returned.
    pub(crate) async fn enter(&self, path: &str, write: bool) -> Result<Arc<File>, FsError> {
        let check = || match lock(&self.files).get(path) {
            Some(file) if file.has_failed() => Err(FsError::Busy),
            _ => Ok(()),
        };
        // Who is still there after that gets the error that the others got.
        let _ = self.after_release(check).await;
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

    /// A version is durable. If it took nothing over from a base, it makes up for what was lost before.
    pub(crate) fn committed(&self, file: &File, base: Option<&Version>, path: &str, new: &Version) {
        let mut written = lock(&self.written);
        // Looked at under the table's lock: a rename that replaces the file has its say after this.
        if file.is_unlinked() {
            return;
        }
        if base.is_none() {
            lock(&self.lost).remove(path);
        }
        let is_ours = |base| written.get(path).is_none_or(|record| record.may_be(base));
        // An edit of somebody else's version is not what this mount vouches for: sealing finds the difference.
        if base.is_none_or(is_ours) {
            written.insert(path.to_owned(), Written::new(new, None));
        }
    }

    /// A version has another name, and its old one no more unless that `stays`. What it lost goes with it; what the
    /// replaced one lost does not matter any more.
    pub(crate) fn moved(&self, old: (&str, &Version), new: (&str, &Version), stays: bool) {
        let (path, version) = new;
        let mut written = lock(&self.written);
        let record = match written.get(old.0) {
            // Not what this mount committed there: sealing finds the difference.
            Some(record) if !record.may_be(old.1) => record.renamed(path),
            record => {
                let known = record.filter(|record| record.etag.is_some());
                Written::new(version, known.and_then(|record| record.renamed(path).entry))
            }
        };
        written.insert(path.to_owned(), record);
        let mut lost = lock(&self.lost);
        if lost.contains(old.0) {
            lost.insert(path.to_owned());
        } else {
            lost.remove(path);
        }
        if !stays {
            written.remove(old.0);
            lost.remove(old.0);
        }
    }

    /// A commit replaced a version of a path.
    pub(crate) fn replaced(&self, path: &str, old: Option<&Version>, new: &Version) {
        lock(&self.nodes).replaced(path, old, new);
    }

    pub(crate) fn known(&self, path: &str, etag: &Etag) -> Option<Entry> {
        let written = lock(&self.written);
        let record = written.get(path)?;
        record
            .entry
            .clone()
            .filter(|_| record.etag.as_ref() == Some(etag))
    }

    /// What storage has to have once nothing changes any more.
    pub(crate) fn all_written(&self) -> HashMap<String, Written> {
        lock(&self.written).clone()
    }

    /// The application gave the path up.
    pub(crate) fn forget_path(&self, path: &str) {
        lock(&self.lost).remove(path);
        lock(&self.written).remove(path);
    }

    /// A directory has another name. Storage may count that as new versions of what is in it, of the same content.
    pub(crate) fn moved_below(&self, old: &str, new: &str) {
        let mut written = lock(&self.written);
        let inside: Vec<String> = below(old, written.keys());
        for path in inside {
            if let (Some(record), Some(rest)) = (written.remove(&path), path.strip_prefix(old)) {
                let path = format!("{new}{rest}");
                let mut record = record.renamed(&path);
                record.etag = None;
                written.insert(path, record);
            }
        }
        drop(written);
        let mut lost = lock(&self.lost);
        let inside: Vec<String> = below(old, lost.iter());
        for path in inside {
            lost.remove(&path);
            if let Some(rest) = path.strip_prefix(old) {
                lost.insert(format!("{new}{rest}"));
            }
        }
    }
}

fn below<'a>(prefix: &str, paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let inside = paths.filter(|path| path.starts_with(prefix));
    inside.cloned().collect()
}

impl Written {
    fn new(version: &Version, known: Option<Entry>) -> Self {
        Self {
            etag: Some(version.info.etag.clone()),
            entry: version.entry.clone().or(known),
        }
    }

    fn renamed(&self, path: &str) -> Self {
        let mut record = self.clone();
        if let Some(entry) = &mut record.entry {
            path.clone_into(&mut entry.path);
        }
        record
    }

    /// Whether it is of this version, as far as that can be told.
    fn may_be(&self, version: &Version) -> bool {
        match (&self.etag, &self.entry, &version.entry) {
            (None, Some(known), Some(entry)) => known.authenticator == entry.authenticator,
            _ => self.is(&version.info.etag),
        }
    }

    /// Whether it may be listed at this version.
    pub(crate) fn is(&self, etag: &Etag) -> bool {
        self.etag.as_ref().is_none_or(|of| of == etag)
    }
}
