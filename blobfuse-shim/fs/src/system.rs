//! The file system's operations on open files.

use std::fmt;
use std::sync::Arc;

use blob_store::{BlobStore, Condition};
use cleanroom_crypto::Dek;

use crate::handle::Handle;
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
            return Ok(inner.register(Open::Nonce(nonce), true));
        }
        let (path, kind) = lock(&inner.nodes).get(ino)?;
        if kind == Kind::Directory {
            return Err(FsError::IsDirectory);
        }
        if write {
            inner.check_writable()?;
        }
        let file = inner.enter(&path, write).await?;
        let outcome = async {
            let mut state = file.state.lock().await;
            if let Some(error) = &state.error {
                return Err(error.clone());
            }
            if state.draft.is_none() && state.stored.is_none() {
                let loaded = inner.load(&path).await;
                if matches!(loaded, Err(FsError::NotFound)) {
                    inner.directories.changed(&path);
                    return Err(FsError::Gone);
                }
                state.stored = Some(loaded?);
            }
            if write && truncate {
                inner.begin(&file, &mut state, false).await?;
            }
            Ok(())
        };
        match outcome.await {
            Ok(()) => {
                let handle = Handle::new(file, write);
                Ok(inner.register(Open::File(Arc::new(handle)), false))
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
        if inner.find(&path).await?.is_some() {
            return Err(FsError::Exists);
        }
        let file = inner.enter(&path, true).await?;
        let draft = inner.draft(Condition::Absent);
        match draft {
            Ok(draft) => file.state.lock().await.draft = Some(draft),
            Err(error) => {
                inner.leave(&file, true);
                return Err(error);
            }
        }
        let attr = Attr {
            ino: lock(&inner.nodes).look_up(&path, Kind::File),
            kind: Kind::File,
            size: 0,
            modified: std::time::SystemTime::now(),
        };
        let handle = Open::File(Arc::new(Handle::new(file, true)));
        Ok((attr, inner.register(handle, false)))
    }

    /// Reads; fewer bytes than asked only at the end of the file.
    ///
    /// # Errors
    /// [`FsError::Format`], [`FsError::Store`], [`FsError::Stale`]; no unauthenticated byte is ever returned.
    pub async fn read(&self, handle: u64, offset: u64, size: u64) -> Result<Vec<u8>, FsError> {
        let inner = &self.0;
        let handle = match inner.handle(handle)? {
            Open::File(handle) => handle,
            Open::Nonce(nonce) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = nonce.as_bytes().get(start..).unwrap_or_default();
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                return Ok(rest
                    .get(..rest.len().min(size))
                    .unwrap_or_default()
                    .to_vec());
            }
            Open::Directory(_) => return Err(FsError::IsDirectory),
        };
        let stored = inner.readable(&handle.file).await?;
        inner.read_stored(&handle, &stored, offset, size).await
    }

    /// Writes. Content becomes durable with [`FileSystem::flush`].
    ///
    /// # Errors
    /// ENOTSUP for an offset in a part that was sealed already; an error of an upload, also of an earlier write.
    pub async fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<(), FsError> {
        let inner = &self.0;
        let handle = inner.file_handle(handle)?;
        if !handle.write {
            return Err(FsError::Handle);
        }
        let mut state = handle.file.state.lock().await;
        inner.check_writable()?;
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        inner.write_at(&handle.file, &mut state, offset, data).await
    }

    /// `flush`, `fsync` and the commit of `close`: everything written is durable afterwards, or this fails.
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

    /// Ends a handle.
    ///
    /// # Errors
    /// [`FsError::Handle`]. Content was committed by [`FileSystem::flush`]; nothing can fail here.
    pub async fn release(&self, handle: u64) -> Result<(), FsError> {
        let open = lock(&self.0.handles).remove(&handle);
        match open.ok_or(FsError::Handle)? {
            Open::File(handle) => {
                if handle.write {
                    let state = handle.file.state.lock().await;
                    if state.draft.as_ref().is_some_and(|draft| draft.is_dirty()) {
                        self.0.lost(&handle.file.path);
                    }
                }
                self.0.leave(&handle.file, handle.write);
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
        let written = lock(&inner.files)
            .get(&path)
            .filter(|open| open.writing)
            .map(|open| Arc::clone(&open.file));
        match written {
            Some(file) => {
                let mut state = file.state.lock().await;
                inner.check_writable()?;
                if let Some(error) = &state.error {
                    return Err(error.clone());
                }
                inner.change(&file, &mut state, changes).await?;
            }
            None if changes.size.is_some() => {
                // `truncate` without a handle is an open, a change and a close.
                let opened = self.open(ino, true, changes.size == Some(0)).await?;
                let handle = inner.file_handle(opened.handle)?;
                let outcome = async {
                    let mut state = handle.file.state.lock().await;
                    inner.change(&handle.file, &mut state, changes).await?;
                    inner.commit(&handle.file, &mut state).await
                };
                let outcome = outcome.await;
                self.release(opened.handle).await?;
                outcome?;
            }
            None => {
                return Err(FsError::NotSupported(
                    "attributes of a file that is not open for writing",
                ));
            }
        }
        self.attributes(ino).await
    }

    /// Commits every file that is open for writing.
    ///
    /// # Errors
    /// The first failure; the others are tried all the same.
    pub async fn commit_all(&self) -> Result<(), FsError> {
        let files: Vec<_> = {
            let files = lock(&self.0.files);
            files.values().map(|open| Arc::clone(&open.file)).collect()
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
