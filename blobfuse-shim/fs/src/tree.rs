//! The file system's operations on names.

use std::sync::Arc;
use std::time::SystemTime;

use blob_store::{BlobInfo, BlockId, Condition};
use cleanroom_crypto::random;

use crate::directory::Listed;
use crate::encoder::clear_len;
use crate::inner::{Inner, Open, lock};
use crate::inode::{NONCE, OWN};
use crate::{Attr, DirEntry, FileSystem, FsError, Kind, Opened, ROOT, names};

/// Size of the pieces in which a renamed file is copied.
const PIECE: u64 = 4 << 20;

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
        Ok(Attr {
            ino: lock(&inner.nodes).look_up(&path, kind),
            kind,
            size,
            modified,
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
                });
            }
            _ => {}
        }
        let (path, _) = lock(&inner.nodes).get(ino)?;
        let (kind, size, modified) = inner.find(&path).await?.ok_or(FsError::NotFound)?;
        Ok(Attr {
            ino,
            kind,
            size,
            modified,
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
        Ok(inner.register(Open::Directory(Arc::new(entries)), false))
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
        let _gate = inner.changing().await?;
        let path = names::join_new(&inner.directory(parent)?, name)?;
        if inner.find(&path).await?.is_some() {
            return Err(FsError::Exists);
        }
        inner.bounded(inner.store.put_directory(&path)).await?;
        inner.directories.changed(&path);
        self.look_up(parent, name).await
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`FsError::Busy`] while it is written.
    pub async fn unlink(&self, parent: u64, name: &str) -> Result<(), FsError> {
        let inner = &self.0;
        inner.check_writable()?;
        let _gate = inner.changing().await?;
        let path = names::join_new(&inner.directory(parent)?, name)?;
        inner.after_release(|| inner.check_unwritten(&path)).await?;
        let info = inner.file_info(&path).await?;
        let gone = inner
            .store
            .delete(&path, &Condition::Match(info.etag))
            .await;
        inner.directories.changed(&path);
        gone?;
        lock(&inner.nodes).unlink(&path);
        inner.detach(&path);
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
        let _gate = inner.changing().await?;
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
        inner
            .bounded(inner.store.delete(&path, &Condition::Always))
            .await?;
        inner.directories.changed(&path);
        lock(&inner.nodes).unlink(&path);
        Ok(())
    }

    /// Renames a file by copying its blob; not atomic: a failure leaves the old name, and maybe both.
    ///
    /// # Errors
    /// [`FsError::NotSupported`] for directories and files beyond the append limit; [`FsError::Busy`] while either is
    /// written.
    pub async fn rename(
        &self,
        from: (u64, &str),
        to: (u64, &str),
        replace: bool,
    ) -> Result<(), FsError> {
        let inner = &self.0;
        inner.check_writable()?;
        let _gate = inner.changing().await?;
        let old = names::join_new(&inner.directory(from.0)?, from.1)?;
        let new = names::join_new(&inner.directory(to.0)?, to.1)?;
        if old == new {
            return Ok(());
        }
        inner.after_release(|| inner.check_unwritten(&old)).await?;
        inner.after_release(|| inner.check_unwritten(&new)).await?;
        let source = match inner.file_info(&old).await {
            Err(FsError::IsDirectory) => return Err(FsError::NotSupported("renaming directories")),
            info => info?,
        };
        if source.length > inner.options.append_limit {
            return Err(FsError::NotSupported("renaming files of this size"));
        }
        let condition = match inner.file_info(&new).await {
            Err(FsError::NotFound) => Condition::Absent,
            Ok(_) if !replace => return Err(FsError::Exists),
            Ok(target) => Condition::Match(target.etag),
            Err(error) => return Err(error),
        };
        inner.copy(&old, &source, &new, &condition).await?;
        inner.directories.changed(&new);
        let gone = inner
            .store
            .delete(&old, &Condition::Match(source.etag))
            .await;
        inner.directories.changed(&old);
        gone?;
        lock(&inner.nodes).rename(&old, &new);
        inner.detach(&old);
        inner.detach(&new);
        inner.forget_path(&old);
        Ok(())
    }
}

const fn own_directory() -> Attr {
    Attr {
        ino: OWN,
        kind: Kind::Directory,
        size: 0,
        modified: SystemTime::UNIX_EPOCH,
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
        }
    }

    fn check_unwritten(&self, path: &str) -> Result<(), FsError> {
        match lock(&self.files).get(path) {
            Some(open) if open.writing => Err(FsError::Busy),
            _ => Ok(()),
        }
    }

    /// Kind, length and time of a path: of the open file if there is one, else of the listing.
    pub(crate) async fn find(
        &self,
        path: &str,
    ) -> Result<Option<(Kind, u64, SystemTime)>, FsError> {
        let open = lock(&self.files)
            .get(path)
            .map(|open| Arc::clone(&open.file));
        if let Some(file) = open {
            let (length, modified) = file.look().await;
            return Ok(Some((Kind::File, length, modified)));
        }
        let (directory, name) = names::split(path);
        let listing = self
            .directories
            .snapshot(&*self.store, directory, self.options.ttl);
        let snapshot = self.within(listing).await?;
        Ok(snapshot.get(name).map(|listed| self.shape(listed)))
    }

    fn shape(&self, listed: &Listed) -> (Kind, u64, SystemTime) {
        let length = match (&listed.kind, &listed.info) {
            (Kind::File, Some(info)) => clear_len(self.mode, info.length),
            _ => 0,
        };
        (listed.kind, length, listed.modified())
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

    async fn entries_of(&self, path: &str) -> Result<Vec<DirEntry>, FsError> {
        let listing = self
            .directories
            .snapshot(&*self.store, path, self.options.ttl);
        let snapshot = self.within(listing).await?;
        let mut kinds: std::collections::BTreeMap<String, Kind> = snapshot
            .iter()
            .map(|(name, listed)| (name.clone(), listed.kind))
            .collect();
        // Files that were made but not committed yet.
        for open in lock(&self.files).keys() {
            if let (directory, name) = names::split(open)
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

    /// The blob of a file as storage has it now.
    async fn file_info(&self, path: &str) -> Result<BlobInfo, FsError> {
        match self.find(path).await? {
            None => Err(FsError::NotFound),
            Some((Kind::Directory, ..)) => Err(FsError::IsDirectory),
            Some((Kind::File, ..)) => self.bounded(self.store.head(path)).await,
        }
    }

    async fn copy(
        &self,
        from: &str,
        source: &BlobInfo,
        to: &str,
        condition: &Condition,
    ) -> Result<(), FsError> {
        let mut blocks = Vec::new();
        let writer = random::bytes().map_err(blob_format::FormatError::from)?;
        let mut at = 0;
        while at < source.length {
            let end = source.length.min(at + PIECE);
            let part = self.store.get_range(from, at..end, &source.etag);
            let part = self.bounded(part).await?;
            if source.length <= PIECE {
                self.bounded(self.store.put_blob(to, part, condition))
                    .await?;
                return Ok(());
            }
            let id = BlockId::new(writer, blocks.len() as u64);
            self.bounded(self.store.put_block(to, id, part)).await?;
            blocks.push(id);
            at = end;
        }
        let commit = self.store.put_block_list(to, &blocks, condition);
        self.bounded(commit).await?;
        Ok(())
    }
}
