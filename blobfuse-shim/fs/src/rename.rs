//! Renaming: in one step where the account can, else by a copy and a deletion.

use std::sync::Arc;

use blob_store::{BlockId, Condition, Metadata};

use crate::draft::Staging;
use crate::inner::{Inner, lock};
use crate::version::Version;
use crate::{FileSystem, FsError, Kind, names};

/// Blobs up to this size are copied by one request.
const ONE_PIECE: u64 = 4 << 20;

impl FileSystem {
    /// Renames a file; what was written to it is committed first. Not atomic where the account cannot rename: a failure
    /// between copy and deletion leaves both names, each with the whole content.
    ///
    /// # Errors
    /// [`FsError::CrossDevice`] for directories and very large files where the account cannot rename;
    /// [`FsError::Exists`] if the new name is taken and must not be replaced; [`FsError::Busy`] for a directory in which
    /// files are open.
    pub async fn rename(
        &self,
        from: (u64, &str),
        to: (u64, &str),
        replace: bool,
    ) -> Result<(), FsError> {
        let inner = &self.0;
        inner.check_writable()?;
        let old = names::join_new(&inner.directory(from.0)?, from.1)?;
        let new = names::join_new(&inner.directory(to.0)?, to.1)?;
        let kind = inner.find(&old).await?.ok_or(FsError::NotFound)?.0;
        if old == new {
            return Ok(());
        }
        let target = inner.find(&new).await?.map(|(kind, ..)| kind);
        if target.is_some() && !replace {
            return Err(FsError::Exists);
        }
        inner.purge(&new).await?;
        match (kind, target) {
            (Kind::File, Some(Kind::Directory)) => Err(FsError::IsDirectory),
            (Kind::Directory, Some(Kind::File)) => Err(FsError::NotDirectory),
            (Kind::File, _) => inner.rename_file(&old, &new).await,
            (Kind::Directory, _) => inner.rename_directory(&old, &new).await,
        }
    }
}

impl Inner {
    async fn rename_file(self: &Arc<Self>, old: &str, new: &str) -> Result<(), FsError> {
        let open = lock(&self.files).get(old).cloned();
        let Some(file) = open else {
            let version = Arc::new(self.load(old, self.listed(old)).await?);
            self.move_blob(old, &version, new).await?;
            return Ok(());
        };
        let mut state = file.state.lock().await;
        state.check(None)?;
        self.commit(&file, &mut state).await?;
        let version = match &state.stored {
            Some(stored) => Arc::clone(stored),
            None => Arc::new(self.load(old, None).await?),
        };
        let moved = self.move_blob(old, &version, new).await?;
        file.moved(new);
        let mut files = lock(&self.files);
        if let Some(file) = files.remove(old) {
            files.insert(new.to_owned(), file);
        }
        drop(files);
        if let Some(draft) = &mut state.draft {
            draft.condition = Condition::Match(moved.info.etag.clone());
            draft.base = Some(Arc::clone(&moved));
        }
        state.stored = Some(moved);
        file.show(&state);
        Ok(())
    }

    /// Gives a committed version another name, and the tables with it.
    async fn move_blob(
        self: &Arc<Self>,
        old: &str,
        version: &Arc<Version>,
        new: &str,
    ) -> Result<Arc<Version>, FsError> {
        let _gate = self.changing().await?;
        let target = match self.bounded(self.store.head(new)).await {
            Ok(info) if info.directory => return Err(FsError::IsDirectory),
            Ok(info) => Condition::Match(info.etag),
            Err(FsError::NotFound) => Condition::Absent,
            Err(error) => return Err(error),
        };
        let source = Condition::Match(version.info.etag.clone());
        let renamed = match version.frame.is_bound() {
            // Its trailer names the path.
            true => None,
            false => {
                let renamed = self.store.rename(old, new, &source, &target);
                self.bounded(renamed).await?
            }
        };
        let moved = match renamed {
            Some(etag) => {
                let mut moved = version.renamed(new);
                moved.info.etag = etag;
                moved
            }
            None => {
                let copied = self.copy(old, version, new, &target).await;
                self.directories.changed(new);
                let copied = copied?;
                match self.bounded(self.store.delete(old, &source)).await {
                    Ok(()) | Err(FsError::NotFound) => copied,
                    Err(error) => {
                        self.moved((old, version), (new, &copied), true);
                        self.directories.changed(old);
                        return Err(error);
                    }
                }
            }
        };
        self.directories.removed(old);
        self.directories.committed(new, &moved.info);
        self.measured(new, &moved);
        let replaced = lock(&self.files).get(new).cloned();
        if let Some(replaced) = replaced {
            self.orphan(new, &replaced);
            replaced.sever();
        }
        self.moved((old, version), (new, &moved), false);
        let mut nodes = lock(&self.nodes);
        nodes.rename(old, new);
        nodes.replaced(new, Some(version), &moved);
        Ok(Arc::new(moved))
    }

    /// Copies a version, sealed as it is; only a trailer that names the path is made anew.
    async fn copy(
        self: &Arc<Self>,
        old: &str,
        version: &Arc<Version>,
        new: &str,
        condition: &Condition,
    ) -> Result<Version, FsError> {
        let length = version.info.length;
        if length > self.options.copy_limit {
            return Err(FsError::CrossDevice("a file of this size"));
        }
        let mut moved = version.renamed(new);
        let (body, trailer, metadata) = match version.frame.at(new)? {
            Some(committed) => {
                moved.frame = committed.frame;
                moved.entry = committed.entry;
                let body = length.checked_sub(committed.trailer.len() as u64);
                let body = body.ok_or(FsError::Stale)?;
                (body, committed.trailer, committed.metadata)
            }
            None => (length, Vec::new(), Metadata::new()),
        };
        if length <= ONE_PIECE.min(version.frame.extent()) {
            let _slot = self.slot().await?;
            let mut bytes = match body {
                0 => Vec::new(),
                body => Vec::from(self.get(old, 0..body, &version.info.etag).await?),
            };
            bytes.extend_from_slice(&trailer);
            moved.info.length = bytes.len() as u64;
            let put = self
                .store
                .put_blob_with(new, bytes.into(), &metadata, condition);
            moved.info.etag = self.bounded(put).await?;
            moved.blocks = Some(Vec::new());
            return Ok(moved);
        }
        let mut staging = Staging::new()?;
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < body {
            let end = body.min(at + version.frame.extent());
            let id = self.copy_range(old, version, at..end, new, &mut staging);
            blocks.push((id.await?, end - at));
            at = end;
            // The first failure ends it.
            while let Some(done) = staging.uploads.try_join_next() {
                done.unwrap_or(Err(FsError::Handle))?;
            }
        }
        while let Some(done) = staging.uploads.join_next().await {
            done.unwrap_or(Err(FsError::Handle))?;
        }
        if !trailer.is_empty() {
            let (id, size) = (staging.block(), trailer.len() as u64);
            self.bounded(self.store.put_block(new, id, trailer.into()))
                .await?;
            blocks.push((id, size));
        }
        let ids: Vec<BlockId> = blocks.iter().map(|(id, _)| *id).collect();
        let put = self
            .store
            .put_block_list_with(new, &ids, &metadata, condition);
        moved.info.etag = self.bounded(put).await?;
        moved.info.length = blocks.iter().map(|(_, size)| size).sum();
        moved.blocks = Some(blocks);
        Ok(moved)
    }

    async fn rename_directory(self: &Arc<Self>, old: &str, new: &str) -> Result<(), FsError> {
        if names::prefix(new).starts_with(&names::prefix(old)) {
            return Err(FsError::Name);
        }
        if self.layout.binds_paths() {
            return Err(FsError::CrossDevice("a directory of files bound to paths"));
        }
        let below = names::prefix(old);
        let is_open = |path: &String| path.starts_with(&below);
        let check = || {
            let open = lock(&self.files).keys().any(is_open);
            let busy = open || lock(&self.hidden).keys().any(is_open);
            if busy { Err(FsError::Busy) } else { Ok(()) }
        };
        self.after_release(check).await?;
        self.directories.changed(&format!("{new}/x"));
        if !self.entries_of(new).await?.is_empty() {
            return Err(FsError::NotEmpty);
        }
        let _gate = self.changing().await?;
        let always = Condition::Always;
        let renamed = self.store.rename(old, new, &always, &always);
        let renamed = self.bounded(renamed).await;
        if renamed.is_err() {
            // How far it went is not known.
            self.directories.forget();
        }
        if renamed?.is_none() {
            return Err(FsError::CrossDevice("a directory"));
        }
        self.moved_below(&below, &names::prefix(new));
        self.directories.forget();
        lock(&self.nodes).rename_tree(old, new);
        Ok(())
    }
}

impl Version {
    /// The same content under another name.
    fn renamed(&self, path: &str) -> Self {
        let mut entry = self.entry.clone();
        if let Some(entry) = &mut entry {
            path.clone_into(&mut entry.path);
        }
        Self {
            info: self.info.clone(),
            len: self.len,
            frame: Arc::clone(&self.frame),
            contents: self.contents.clone(),
            blocks: self.blocks.clone(),
            attributes: self.attributes,
            entry,
        }
    }
}
