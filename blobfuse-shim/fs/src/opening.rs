//! Opening: the version that a new handle gets, and what the kernel may go on believing of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::file::{File, State};
use crate::inner::{Inner, lock};
use crate::version::Version;
use crate::{FsError, names};

impl Inner {
    /// Prepares a file for a new handle, which is counted already: its epoch, and whether the kernel's pages are true.
    pub(crate) async fn open_file(
        self: &Arc<Self>,
        ino: u64,
        file: &Arc<File>,
        truncate: bool,
    ) -> Result<(u64, bool), FsError> {
        let mut state = file.state.lock().await;
        if file.is_unlinked() {
            return Err(FsError::Gone);
        }
        // It may have been renamed while this waited.
        let path = &file.path();
        self.freshen(path, file, &mut state).await?;
        state.check(None)?;
        file.show(&state);
        if !truncate {
            self.check_told(ino, path, &state)?;
        }
        if truncate {
            self.begin_empty(&mut state)?;
            file.show(&state);
        }
        let identity = state.stored.as_deref().map(Version::identity);
        let keep = lock(&self.nodes).opened(ino, identity);
        Ok((state.epoch, keep && !truncate))
    }

    /// The kernel cuts reads at the length that it was told last, and appends there. If that was a listing's word and
    /// wrong, it has to look again.
    fn check_told(&self, ino: u64, path: &str, state: &State) -> Result<(), FsError> {
        let Some(stored) = state.clean() else {
            // What was written since went through the kernel.
            return Ok(());
        };
        if lock(&self.nodes).told(ino) == Some(stored.len) {
            return Ok(());
        }
        self.measured.keep(path, &stored.info.etag, stored.len);
        let listed = self.listed(path);
        if listed.is_some_and(|listed| listed.etag != stored.info.etag) {
            // Not wrong but old: the next look must not tell it again.
            self.directories.changed(path);
        }
        Err(FsError::Gone)
    }

    /// Loads what storage has, unless it is what is known.
    async fn freshen(
        self: &Arc<Self>,
        path: &str,
        file: &Arc<File>,
        state: &mut State,
    ) -> Result<(), FsError> {
        if state.error.is_some() || state.draft.as_ref().is_some_and(|draft| draft.dirty) {
            // What was written meets what storage has when it is committed.
            return Ok(());
        }
        let known = state.clean().cloned();
        if let Some(known) = &known
            && !state.stale
            && self.is_newest(path, known).await?
        {
            return Ok(());
        }
        let hint = self.listed(path).filter(|_| !state.stale);
        let loaded = self.load(path, hint).await;
        let is_same = match (&known, &loaded) {
            (Some(known), Ok(loaded)) => known.identity() == loaded.identity(),
            _ => false,
        };
        if is_same {
            // The listing was old.
            self.directories.changed(path);
            state.stale = false;
            return Ok(());
        }
        let is_gone = matches!(loaded, Err(FsError::NotFound));
        let is_shared = known.is_some() && file.handles.load(Ordering::SeqCst) > 1;
        if is_gone || (is_shared && loaded.is_ok()) {
            // Handles of before must not see pages of another version, nor the other way round.
            self.directories.changed(path);
            if known.is_some() {
                self.set_aside(path, file, state);
            }
            return Err(FsError::Gone);
        }
        state.stored = Some(Arc::new(loaded?));
        state.draft = None;
        state.stale = false;
        if known.is_some() {
            state.epoch += 1;
        }
        Ok(())
    }

    /// Whether the listing of a moment ago still shows a version.
    async fn is_newest(&self, path: &str, known: &Version) -> Result<bool, FsError> {
        if self.source.is_some() {
            // Whatever ETag it has, its content cannot be another one.
            return Ok(true);
        }
        let (directory, name) = names::split(path);
        let snapshot = self.snapshot(directory).await?;
        let listed = snapshot.get(name).and_then(|listed| listed.info.as_ref());
        Ok(listed.is_some_and(|info| info.etag == known.info.etag))
    }

    /// Storage has another version, or none: handles that are open keep the old inode, and can only fail.
    fn set_aside(&self, path: &str, file: &Arc<File>, state: &mut State) {
        state.stale = true;
        self.orphan(path, file);
        file.sever();
        lock(&self.nodes).unlink(path);
    }
}
