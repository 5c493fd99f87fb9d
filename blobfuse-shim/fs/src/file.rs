//! One file while it is open, shared by all its handles.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::FsError;
use crate::ahead::Cursor;
use crate::draft::Draft;
use crate::inner::lock;
use crate::version::Version;

#[derive(Debug)]
pub(crate) struct File {
    path: Mutex<String>,
    pub(crate) state: tokio::sync::Mutex<State>,
    shown: Mutex<Option<(u64, SystemTime)>>,
    /// No name leads to it any more; it lives until its last handle is closed.
    unlinked: AtomicBool,
    /// Its blob is gone, too: nothing more can be staged for it.
    severed: AtomicBool,
    /// Both change under the table of open files.
    pub(crate) handles: AtomicUsize,
    pub(crate) writing: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) stored: Option<Arc<Version>>,
    pub(crate) draft: Option<Box<Draft>>,
    /// Once data was lost, every operation says so until the last handle is closed.
    pub(crate) error: Option<FsError>,
    /// Storage has another version: those who opened the file before cannot go on.
    pub(crate) stale: bool,
    pub(crate) epoch: u64,
}

/// One open file description.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) file: Arc<File>,
    pub(crate) write: bool,
    pub(crate) epoch: u64,
    pub(crate) cursor: Mutex<Cursor>,
}

impl Handle {
    pub(crate) fn new(file: Arc<File>, write: bool, epoch: u64) -> Self {
        Self {
            file,
            write,
            epoch,
            cursor: Mutex::default(),
        }
    }
}

impl State {
    /// The version that readers see, if nothing was written since.
    pub(crate) fn clean(&self) -> Option<&Arc<Version>> {
        match &self.draft {
            Some(draft) if draft.dirty => None,
            Some(draft) => draft.base.as_ref().or(self.stored.as_ref()),
            None => self.stored.as_ref(),
        }
    }
}

impl File {
    pub(crate) fn new(path: &str) -> Self {
        Self {
            path: Mutex::new(path.to_owned()),
            state: tokio::sync::Mutex::default(),
            shown: Mutex::default(),
            unlinked: AtomicBool::new(false),
            severed: AtomicBool::new(false),
            handles: AtomicUsize::new(0),
            writing: AtomicBool::new(false),
        }
    }

    pub(crate) fn path(&self) -> String {
        lock(&self.path).clone()
    }

    pub(crate) fn moved(&self, path: &str) {
        path.clone_into(&mut lock(&self.path));
    }

    /// Length and time of the content that a reader would see now, once it is known.
    pub(crate) fn look(&self) -> Option<(u64, SystemTime)> {
        *lock(&self.shown)
    }

    pub(crate) fn show(&self, state: &State) {
        let shown = match (&state.draft, &state.stored) {
            (Some(draft), _) if draft.dirty => (draft.len, draft.modified()),
            (_, Some(stored)) => (stored.len, stored.info.modified),
            (Some(draft), None) => (draft.len, draft.modified()),
            (None, None) => return,
        };
        *lock(&self.shown) = Some(shown);
    }

    pub(crate) fn is_unlinked(&self) -> bool {
        self.unlinked.load(Ordering::SeqCst)
    }

    pub(crate) fn unlink(&self) {
        self.unlinked.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_severed(&self) -> bool {
        self.severed.load(Ordering::SeqCst)
    }

    pub(crate) fn sever(&self) {
        self.severed.store(true, Ordering::SeqCst);
    }
}
