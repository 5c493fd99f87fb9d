//! The file system's operations on open files.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use blob_store::{BlobStore, Condition};
use cleanroom_crypto::Dek;
use sidecar_http::Coded;

use crate::file::Handle;
use crate::inner::{Inner, Open, lock};
use crate::inode::NONCE;
use crate::{Attr, Changes, FsError, Kind, Mode, Options, names};

/// A mounted container. Clones share it.
#[derive(Clone)]
pub struct FileSystem(pub(crate) Arc<Inner>);

/// A new handle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opened {
    /// Number for all further calls.
    pub handle: u64,
    /// The kernel must not keep pages of it.
    pub direct: bool,
    /// The kernel's pages of it are still true.
    pub keep: bool,
}

impl FileSystem {
    /// A file system over a store; nothing is asked yet.
    pub fn new(store: Arc<dyn BlobStore>, dek: Arc<Dek>, mode: Mode, options: Options) -> Self {
        Self(Arc::new(Inner::new(store, dek, mode, options)))
    }

    /// Opens a file. With `truncate` its content is replaced.
    ///
    /// # Errors
    /// [`FsError::Busy`] if it is open for writing and `write` is asked; [`FsError::Format`] if it is not ours.
    pub async fn open(&self, ino: u64, write: bool, truncate: bool) -> Result<Opened, FsError> {
        let inner = &self.0;
        if ino == NONCE {
            if write {
                return Err(FsError::ReadOnly);
            }
            let nonce = lock(&inner.nonce).as_str().into();
            return Ok(inner.register(Open::Nonce(nonce), true, false));
        }
        let (path, kind) = lock(&inner.nodes).get(ino)?;
        if kind == Kind::Directory {
            return Err(FsError::IsDirectory);
        }
        if lock(&inner.orphans).contains_key(&ino) {
            return Err(FsError::Gone);
        }
        if write {
            inner.check_writable()?;
        }
        let file = inner.enter(&path, write).await?;
        let truncate = write && truncate;
        match inner.open_file(ino, &path, &file, truncate).await {
            Ok((epoch, keep)) => {
                let handle = Handle::new(file, write, epoch);
                Ok(inner.register(Open::File(Arc::new(handle)), false, keep))
            }
            Err(error) => {
                inner.leave(&file, write);
                Err(error)
            }
        }
    }

    /// Makes a file and opens it for writing.
    ///
    /// # Errors
    /// [`FsError::Exists`], [`FsError::Name`], [`FsError::TooMany`].
    pub async fn create(&self, parent: u64, name: &str) -> Result<(Attr, Opened), FsError> {
        let inner = &self.0;
        inner.check_writable()?;
        let path = names::join_new(&inner.directory(parent)?, name)?;
        inner.purge(&path).await?;
        if inner.find(&path).await?.is_some() {
            return Err(FsError::Exists);
        }
        let file = inner.enter(&path, true).await?;
        let mut state = file.state.lock().await;
        match inner.create_draft(Condition::Absent) {
            Ok(draft) => state.draft = Some(draft),
            Err(error) => {
                drop(state);
                inner.leave(&file, true);
                return Err(error);
            }
        }
        file.show(&state);
        drop(state);
        let attr = Attr {
            ino: lock(&inner.nodes).look_up(&path, Kind::File, 0),
            kind: Kind::File,
            size: 0,
            modified: SystemTime::now(),
            unlinked: false,
        };
        let handle = Open::File(Arc::new(Handle::new(file, true, 0)));
        Ok((attr, inner.register(handle, false, false)))
    }

    /// Reads; fewer bytes than asked only at the end of the file, or for more than the mount's share for answers.
    ///
    /// # Errors
    /// [`FsError::Format`], [`FsError::Store`], [`FsError::Stale`]; no unauthenticated byte is ever returned.
    pub async fn read(&self, handle: u64, offset: u64, size: u64) -> Result<Vec<u8>, FsError> {
        let inner = &self.0;
        match inner.handle(handle)? {
            Open::File(handle) => inner.read_at(&handle, offset, size).await,
            Open::Nonce(nonce) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = nonce.as_bytes().get(start..).unwrap_or_default();
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                Ok(rest
                    .get(..rest.len().min(size))
                    .unwrap_or_default()
                    .to_vec())
            }
            Open::Directory(_) => Err(FsError::IsDirectory),
        }
    }

    /// Writes. Content becomes durable with [`FileSystem::flush`].
    ///
    /// # Errors
    /// An error of an upload, also of an earlier write; [`FsError::TooLarge`].
    pub async fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<(), FsError> {
        let inner = &self.0;
        let handle = inner.file_handle(handle)?;
        if !handle.write {
            return Err(FsError::Handle);
        }
        let file = &handle.file;
        let mut state = file.state.lock().await;
        inner.check_writable()?;
        state.check(Some(handle.epoch))?;
        let outcome = inner.write_at(file, &mut state, offset, data).await;
        file.show(&state);
        outcome
    }

    /// `fsync`: everything written to the file, by whatever handle, is durable afterwards, or this fails.
    ///
    /// # Errors
    /// Whatever kept the content from storage.
    pub async fn sync(&self, handle: u64) -> Result<(), FsError> {
        let Open::File(handle) = self.0.handle(handle)? else {
            return Ok(());
        };
        let mut state = handle.file.state.lock().await;
        self.0.commit(&handle.file, &mut state).await
    }

    /// `flush`, which is the commit of `close`: as [`FileSystem::sync`] for handles that write.
    ///
    /// # Errors
    /// Whatever kept the content from storage.
    pub async fn flush(&self, handle: u64) -> Result<(), FsError> {
        let handle = match self.0.handle(handle)? {
            Open::File(handle) if handle.write => handle,
            _ => return Ok(()),
        };
        let mut state = handle.file.state.lock().await;
        self.0.commit(&handle.file, &mut state).await
    }

    /// Ends a handle. What arrived after the last [`FileSystem::flush`], from memory maps, is committed; nobody can be
    /// told if that fails, but the sink is not sealed then.
    ///
    /// # Errors
    /// [`FsError::Handle`].
    pub async fn release(&self, handle: u64) -> Result<(), FsError> {
        let open = lock(&self.0.handles).remove(&handle);
        match open.ok_or(FsError::Handle)? {
            Open::File(handle) => {
                let file = &handle.file;
                let path = file.path();
                let is_last = if handle.write {
                    // The lock is kept until the writer is gone: nobody would commit what comes in between.
                    let mut state = file.state.lock().await;
                    if let Err(error) = self.0.commit(file, &mut state).await {
                        tracing::warn!(code = error.code(), %error, "closed with content that is lost");
                    }
                    self.0.leave(file, true)
                } else {
                    self.0.leave(file, false)
                };
                if is_last && lock(&self.0.hidden).contains_key(&path) {
                    let purged = self.0.purge_file(file).await;
                    if let Err(error) = purged {
                        tracing::warn!(code = error.code(), %error, "an unlinked file stays in storage");
                    }
                }
            }
            Open::Directory(_) | Open::Nonce(_) => {}
        }
        Ok(())
    }

    /// Changes length, mode or time.
    ///
    /// # Errors
    /// ENOTSUP for what storage cannot record.
    pub async fn set_attributes(&self, ino: u64, changes: Changes) -> Result<Attr, FsError> {
        let inner = &self.0;
        inner.check_writable()?;
        let (path, kind) = lock(&inner.nodes).get(ino)?;
        if kind == Kind::Directory {
            return Err(FsError::NotSupported("attributes of directories"));
        }
        let orphan = lock(&inner.orphans).get(&ino).cloned();
        let open = orphan.or_else(|| lock(&inner.files).get(&path).cloned());
        if let Some(file) = open {
            let mut state = file.state.lock().await;
            // Under the lock: the writer commits and goes without letting anybody in between.
            if file.writing.load(Ordering::Relaxed) {
                inner.check_writable()?;
                state.check(None)?;
                let outcome = inner.change(&file, &mut state, changes).await;
                file.show(&state);
                outcome?;
                drop(state);
                return self.attributes(ino).await;
            }
        }
        if changes.size.is_none() {
            return Err(FsError::NotSupported(
                "attributes of a file that is not open for writing",
            ));
        }
        // `truncate` without a handle is an open, a change and a close.
        let opened = self.open(ino, true, changes.size == Some(0)).await?;
        let handle = inner.file_handle(opened.handle)?;
        let outcome = async {
            let file = &handle.file;
            let mut state = file.state.lock().await;
            inner.change(file, &mut state, changes).await?;
            inner.commit(file, &mut state).await
        };
        let outcome = outcome.await;
        self.release(opened.handle).await?;
        outcome?;
        self.attributes(ino).await
    }

    /// Commits every file that is open for writing.
    ///
    /// # Errors
    /// The first failure; the others are tried all the same.
    pub async fn commit_all(&self) -> Result<(), FsError> {
        let files: Vec<_> = {
            let files = lock(&self.0.files);
            files.values().cloned().collect()
        };
        let mut outcome = Ok(());
        for file in files {
            let mut state = file.state.lock().await;
            outcome = outcome.and(self.0.commit(&file, &mut state).await);
        }
        outcome
    }

    /// The end of a mount that is not sealed: refuses further writes and commits what was written.
    ///
    /// # Errors
    /// A commit that fails, or [`FsError::Lost`] if one failed before.
    pub async fn finish(&self) -> Result<(), FsError> {
        self.0.refuse_changes();
        self.commit_all().await?;
        self.0.purge("").await?;
        match self.lost() {
            0 => Ok(()),
            lost => Err(FsError::Lost(lost)),
        }
    }

    /// Whether the mount refuses every change.
    pub fn is_read_only(&self) -> bool {
        self.0.options.read_only
    }

    /// How many files were written but did not reach storage.
    pub fn lost(&self) -> usize {
        self.0.lost_files()
    }

    /// Bytes of content in memory now: cache, read-ahead, and what was written but not committed.
    pub fn memory_used(&self) -> u64 {
        self.0.budget.used()
    }

    /// Sets what `.cleanroom/nonce` inside the mount says.
    pub fn set_nonce(&self, nonce: &str) {
        nonce.clone_into(&mut lock(&self.0.nonce));
    }
}

impl fmt::Debug for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSystem")
            .field("mode", &self.0.mode)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
