//! The file system's operations on names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use blob_store::{BlobInfo, Condition};
use sidecar_http::Coded;

use crate::directory::Snapshot;
use crate::file::File;
use crate::inner::{Inner, Open, lock};
use crate::inode::{NONCE, OWN};
use crate::{Attr, DirEntry, FileSystem, FsError, Kind, Opened, ROOT, names};

impl FileSystem {
    /// Asks storage for the names at the root: whether the mount works at all.
    ///
    /// # Errors
    /// Whatever storage says.
    pub async fn probe(&self) -> Result<usize, FsError> {
        let inner = &self.0;
        let listing = inner
            .directories
            .snapshot(&*inner.store, "", std::time::Duration::ZERO);
        Ok(inner.within(listing).await?.len())
    }

    /// Finds a name and counts one lookup for its inode.
    ///
    /// # Errors
    /// [`FsError::NotFound`].
    pub async fn look_up(&self, parent: u64, name: &str) -> Result<Attr, FsError> {
        let inner = &self.0;
        match (parent, name) {
            (ROOT, names::OWN) => return Ok(own_directory()),
            (OWN, "nonce") => return Ok(inner.nonce_file()),
            (OWN, _) => return Err(FsError::NotFound),
            _ => {}
        }
        let path = names::join(&inner.directory(parent)?, name)?;
        let (kind, size, modified) = inner.find(&path).await?.ok_or(FsError::NotFound)?;
        let mut nodes = lock(&inner.nodes);
        // It may have been opened meanwhile: what was listed must not be told after what was authenticated.
        let (kind, size, modified) = inner.shown(&path).unwrap_or((kind, size, modified));
        Ok(Attr {
            ino: nodes.look_up(&path, kind, size),
            kind,
            size,
            modified,
            unlinked: false,
        })
    }

    /// Takes back lookups.
    pub fn forget(&self, ino: u64, count: u64) {
        lock(&self.0.nodes).forget(ino, count);
    }

    /// What `stat` shows.
    ///
    /// # Errors
    /// [`FsError::NotFound`].
    pub async fn attributes(&self, ino: u64) -> Result<Attr, FsError> {
        let inner = &self.0;
        match ino {
            OWN => return Ok(own_directory()),
            NONCE => return Ok(inner.nonce_file()),
            ROOT => {
                return Ok(Attr {
                    ino,
                    kind: Kind::Directory,
                    size: 0,
                    modified: SystemTime::UNIX_EPOCH,
                    unlinked: false,
                });
            }
            _ => {}
        }
        let (path, _) = lock(&inner.nodes).get(ino)?;
        let orphan = lock(&inner.orphans).get(&ino).cloned();
        let unlinked = orphan.is_some();
        let (kind, size, modified) = match orphan {
            Some(file) => {
                let (size, modified) = file.look().ok_or(FsError::NotFound)?;
                (Kind::File, size, modified)
            }
            None => inner.find(&path).await?.ok_or(FsError::NotFound)?,
        };
        let mut nodes = lock(&inner.nodes);
        let (kind, size, modified) = match unlinked {
            true => (kind, size, modified),
            false => inner.shown(&path).unwrap_or((kind, size, modified)),
        };
        nodes.tell(ino, size);
        Ok(Attr {
            ino,
            kind,
            size,
            modified,
            unlinked,
        })
    }

    /// Opens a directory: its names as they are now.
    ///
    /// # Errors
    /// [`FsError::NotDirectory`], [`FsError::Store`].
    pub async fn open_directory(&self, ino: u64) -> Result<Opened, FsError> {
        let inner = &self.0;
        let entries = if ino == OWN {
            Vec::new()
        } else {
            inner.entries_of(&inner.directory(ino)?).await?
        };
        Ok(inner.register(Open::Directory(Arc::new(entries)), false, false))
    }

    /// The names of an open directory, sorted, without `.` and `..`.
    ///
    /// # Errors
    /// [`FsError::Handle`].
    pub fn read_directory(&self, handle: u64) -> Result<Arc<Vec<DirEntry>>, FsError> {
        match self.0.handle(handle)? {
            Open::Directory(entries) => Ok(entries),
            _ => Err(FsError::NotDirectory),
        }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// [`FsError::Exists`], [`FsError::Name`].
    pub async fn make_directory(&self, parent: u64, name: &str) -> Result<Attr, FsError> {
        let inner = &self.0;
        inner.check_writable()?;
        let path = names::join_new(&inner.directory(parent)?, name)?;
        if inner.find(&path).await?.is_some() {
            return Err(FsError::Exists);
        }
        inner.purge(&path).await?;
        let _gate = inner.changing().await?;
        inner.bounded(inner.store.put_directory(&path)).await?;
        inner.directories.changed(&path);
        self.look_up(parent, name).await
    }

    /// Removes a file. Handles that are open go on with it; its blob stays until the last of them is closed, or a file
    /// of the same name is made.
    ///
    /// # Errors
    /// [`FsError::NotFound`], [`FsError::IsDirectory`].
    pub async fn unlink(&self, parent: u64, name: &str) -> Result<(), FsError> {
        let inner = &self.0;
        inner.check_writable()?;
        let path = names::join_new(&inner.directory(parent)?, name)?;
        match inner.find(&path).await? {
            None => return Err(FsError::NotFound),
            Some((Kind::Directory, ..)) => return Err(FsError::IsDirectory),
            Some((Kind::File, ..)) => {}
        }
        let open = lock(&inner.files).get(&path).cloned();
        let mut is_known = false;
        if let Some(file) = &open {
            // A commit under way ends first: the state's lock comes before the gate.
            let state = file.state.lock().await;
            let gate = inner.changing().await?;
            // Not so if its opening or its first commit failed: then storage is asked.
            is_known = state.stored.is_some() || state.draft.is_some();
            inner.orphan(&path, file);
            if is_known {
                lock(&inner.hidden).insert(path.clone(), Arc::clone(file));
            }
            drop((gate, state));
            if is_known && file.handles.load(Ordering::Relaxed) == 0 {
                // Its last handle was closed meanwhile.
                inner.purge_file(file).await?;
            }
        }
        if !is_known {
            let _gate = inner.changing().await?;
            match inner.delete_newest(&path).await {
                Err(FsError::NotFound) if open.is_some() => {}
                Err(FsError::NotFound) => {
                    inner.forget_path(&path);
                    return Err(FsError::NotFound);
                }
                outcome => outcome?,
            }
        }
        inner.directories.removed(&path);
        lock(&inner.nodes).unlink(&path);
        inner.forget_path(&path);
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`FsError::NotEmpty`].
    pub async fn remove_directory(&self, parent: u64, name: &str) -> Result<(), FsError> {
        let inner = &self.0;
        inner.check_writable()?;
        let path = names::join_new(&inner.directory(parent)?, name)?;
        match inner.find(&path).await? {
            None => return Err(FsError::NotFound),
            Some((Kind::File, ..)) => return Err(FsError::NotDirectory),
            Some((Kind::Directory, ..)) => {}
        }
        inner.directories.changed(&format!("{path}/x"));
        if !inner.entries_of(&path).await?.is_empty() {
            return Err(FsError::NotEmpty);
        }
        inner.purge(&path).await?;
        let _gate = inner.changing().await?;
        match inner
            .bounded(inner.store.delete(&path, &Condition::Always))
            .await
        {
            // A directory that was only a prefix went with its last file.
            Ok(()) | Err(FsError::NotFound) => {}
            Err(error) => return Err(error),
        }
        inner.directories.changed(&path);
        lock(&inner.nodes).unlink(&path);
        Ok(())
    }
}

const fn own_directory() -> Attr {
    Attr {
        ino: OWN,
        kind: Kind::Directory,
        size: 0,
        modified: SystemTime::UNIX_EPOCH,
        unlinked: false,
    }
}

impl Inner {
    pub(crate) fn directory(&self, ino: u64) -> Result<String, FsError> {
        if ino == OWN {
            // Nothing can be made there.
            return Ok(names::OWN.to_owned());
        }
        lock(&self.nodes).directory(ino)
    }

    fn nonce_file(&self) -> Attr {
        Attr {
            ino: NONCE,
            kind: Kind::File,
            size: lock(&self.nonce).len() as u64,
            modified: SystemTime::now(),
            unlinked: false,
        }
    }

    /// No name leads to an open file any more.
    pub(crate) fn orphan(&self, path: &str, file: &Arc<File>) {
        file.unlink();
        lock(&self.files).retain(|_, open| !Arc::ptr_eq(open, file));
        let ino = lock(&self.nodes).at(path);
        if let Some(ino) = ino.filter(|_| file.handles.load(Ordering::Relaxed) > 0) {
            lock(&self.orphans).insert(ino, Arc::clone(file));
        }
    }

    /// Ends a handle, and an unlinked file with its last one.
    pub(crate) async fn let_go(&self, file: &Arc<File>, write: bool) {
        let is_last = self.leave(file, write);
        self.end(file, is_last).await;
    }

    /// After [`Inner::leave`].
    pub(crate) async fn end(&self, file: &Arc<File>, is_last: bool) {
        if is_last
            && lock(&self.hidden).contains_key(&file.path())
            && let Err(error) = self.purge_file(file).await
        {
            tracing::warn!(code = error.code(), %error, "an unlinked file stays in storage");
        }
    }

    async fn delete_newest(&self, path: &str) -> Result<(), FsError> {
        let info = self.bounded(self.store.head(path)).await?;
        let condition = Condition::Match(info.etag);
        let gone = match self.bounded(self.store.delete(path, &condition)).await {
            // It was there a moment ago: an answer was lost, or somebody else was faster.
            Err(FsError::NotFound) => Ok(()),
            gone => gone,
        };
        if gone.is_err() {
            self.directories.changed(path);
        }
        gone
    }

    /// Deletes the blobs of unlinked files at a path and below it; handles that are still open lose them.
    pub(crate) async fn purge(&self, path: &str) -> Result<(), FsError> {
        let below = names::prefix(path);
        let files: Vec<_> = {
            let hidden = lock(&self.hidden);
            let inside = |name: &&String| *name == path || name.starts_with(&below);
            let names = hidden.keys().filter(inside);
            names.filter_map(|name| hidden.get(name).cloned()).collect()
        };
        for file in files {
            self.purge_file(&file).await?;
        }
        Ok(())
    }

    /// Deletes the blob of an unlinked file. Until that is done the name is hidden: a listing still has it, and whoever makes
    /// the name anew waits here.
    pub(crate) async fn purge_file(&self, file: &Arc<File>) -> Result<(), FsError> {
        let path = file.path();
        let state = file.state.lock().await;
        file.sever();
        let is_hidden = || {
            let hidden = lock(&self.hidden);
            hidden.get(&path).is_some_and(|at| Arc::ptr_eq(at, file))
        };
        if !is_hidden() {
            return Ok(());
        }
        if let Some(stored) = &state.stored {
            let condition = Condition::Match(stored.info.etag.clone());
            let gone = self.bounded(self.store.delete(&path, &condition)).await;
            self.directories.removed(&path);
            match gone {
                Ok(()) | Err(FsError::NotFound) => {}
                // Somebody else's version is not ours to delete, but to see.
                Err(FsError::Stale) => self.directories.changed(&path),
                // It stays hidden, and is tried again before the mount ends.
                Err(error) => return Err(error),
            }
        }
        if is_hidden() {
            lock(&self.hidden).remove(&path);
        }
        Ok(())
    }

    /// What a listing of a moment ago says of a file's blob.
    pub(crate) fn listed(&self, path: &str) -> Option<BlobInfo> {
        let (directory, name) = names::split(path);
        self.directories.known(directory)?.get(name)?.info.clone()
    }

    /// Of a file that is open: None while it is being opened for the first time.
    fn shown(&self, path: &str) -> Option<(Kind, u64, SystemTime)> {
        let open = lock(&self.files).get(path).cloned();
        let (length, modified) = open?.look()?;
        Some((Kind::File, length, modified))
    }

    /// The listing of a directory, at most the mount's time to live old.
    pub(crate) async fn snapshot(&self, directory: &str) -> Result<Arc<Snapshot>, FsError> {
        let listing = self
            .directories
            .snapshot(&*self.store, directory, self.options.ttl);
        self.within(listing).await
    }

    /// Kind, length and time of a path: of the open file if there is one, else of the listing.
    pub(crate) async fn find(
        &self,
        path: &str,
    ) -> Result<Option<(Kind, u64, SystemTime)>, FsError> {
        if let Some(shown) = self.shown(path) {
            return Ok(Some(shown));
        }
        if lock(&self.hidden).contains_key(path) {
            return Ok(None);
        }
        if let Some(source) = &self.source {
            return Ok(source.find(path));
        }
        let (directory, name) = names::split(path);
        let snapshot = self.snapshot(directory).await?;
        let Some(listed) = snapshot.get(name) else {
            return Ok(None);
        };
        let length = match (&listed.kind, &listed.info) {
            (Kind::File, Some(info)) => self.measure(path, info).await?,
            _ => Some(0),
        };
        Ok(length.map(|length| (listed.kind, length, listed.modified())))
    }

    /// Listings take several requests; the bound holds for all of them.
    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, FsError>>,
    ) -> Result<T, FsError> {
        let deadline = self.options.deadline;
        let outcome = tokio::time::timeout(deadline, work).await;
        outcome.unwrap_or_else(|_| Err(blob_store::StoreError::Deadline(deadline).into()))
    }

    async fn listed_names(&self, path: &str) -> Result<BTreeMap<String, Kind>, FsError> {
        let snapshot = self.snapshot(path).await?;
        let names = snapshot.iter();
        Ok(names
            .map(|(name, listed)| (name.clone(), listed.kind))
            .collect())
    }

    pub(crate) async fn entries_of(&self, path: &str) -> Result<Vec<DirEntry>, FsError> {
        let mut kinds = match &self.source {
            Some(source) => source.names(path),
            None => self.listed_names(path).await?,
        };
        for hidden in lock(&self.hidden).keys() {
            if let (directory, name) = names::split(hidden)
                && directory == path
            {
                kinds.remove(name);
            }
        }
        // Files that were made but not committed yet.
        for (open, file) in lock(&self.files).iter() {
            if file.look().is_some()
                && let (directory, name) = names::split(open)
                && directory == path
            {
                kinds.entry(name.to_owned()).or_insert(Kind::File);
            }
        }
        let nodes = lock(&self.nodes);
        let prefix = names::prefix(path);
        Ok(kinds
            .into_iter()
            .map(|(name, kind)| DirEntry {
                ino: nodes.shown(&format!("{prefix}{name}")),
                kind,
                name,
            })
            .collect())
    }
}
