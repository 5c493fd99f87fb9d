//! Listings as directories: what a flat store of names looks like as a tree.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use blob_store::{BlobInfo, BlobStore};

use crate::{FsError, Kind, names};

/// Directories remembered at once, names in one of them, and memory for all of them together in bytes.
const MOST_DIRECTORIES: usize = 256;
const MOST_NAMES: usize = 1_000_000;
const MOST_MEMORY: usize = 256 << 20;
/// Memory of a name beside its text, in bytes: its blob's ETag, length and time, and its place in the map.
const EACH: usize = 200;

/// One name of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) kind: Kind,
    /// The blob; none for a directory that is only a prefix.
    pub(crate) info: Option<BlobInfo>,
}

impl Listed {
    pub(crate) fn modified(&self) -> SystemTime {
        let info = self.info.as_ref();
        info.map_or(SystemTime::UNIX_EPOCH, |info| info.modified)
    }
}

/// The names of one directory at one time, sorted.
pub(crate) type Snapshot = BTreeMap<String, Listed>;

#[derive(Debug)]
struct Kept {
    taken: Instant,
    snapshot: Arc<Snapshot>,
    /// In bytes, when it was taken.
    memory: usize,
}

type Cell = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// Recent listings; one request at a time per directory.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    cells: Mutex<HashMap<String, Cell>>,
}

impl Directories {
    /// The names of a directory, at most `ttl` old.
    pub(crate) async fn snapshot(
        &self,
        store: &dyn BlobStore,
        path: &str,
        ttl: Duration,
    ) -> Result<Arc<Snapshot>, FsError> {
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            if cells.len() >= MOST_DIRECTORIES && !cells.contains_key(path) {
                cells.clear();
            }
            Arc::clone(cells.entry(path.to_owned()).or_default())
        };
        let mut kept = cell.lock().await;
        if let Some(kept) = &*kept
            && kept.taken.elapsed() < ttl
        {
            return Ok(Arc::clone(&kept.snapshot));
        }
        let taken = Instant::now();
        let (snapshot, memory) = list(store, path).await?;
        let snapshot = Arc::new(snapshot);
        *kept = Some(Kept {
            taken,
            snapshot: Arc::clone(&snapshot),
            memory,
        });
        drop(kept);
        self.trim(path, MOST_MEMORY);
        Ok(snapshot)
    }

    /// Forgets all listings but one, if together they take too much memory.
    fn trim(&self, path: &str, most: usize) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let size = |cell: &Cell| match cell.try_lock() {
            Ok(kept) => kept.as_ref().map_or(0, |kept| kept.memory),
            // It is being renewed; whoever does that trims afterwards.
            Err(_) => 0,
        };
        if cells.values().map(size).sum::<usize>() > most {
            cells.retain(|directory, _| directory == path);
        }
    }

    /// Every listing may be wrong now.
    pub(crate) fn forget(&self) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.clear();
    }

    /// The listing of a directory that is remembered, if nobody is renewing it.
    pub(crate) fn known(&self, directory: &str) -> Option<Arc<Snapshot>> {
        let cell = {
            let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            cells.get(directory).cloned()
        }?;
        let kept = cell.try_lock().ok()?;
        kept.as_ref().map(|kept| Arc::clone(&kept.snapshot))
    }

    /// A file was committed: its directory's listing learns it. Listings of directories above stay true, unless one
    /// has just come into being.
    pub(crate) fn committed(&self, path: &str, info: &BlobInfo) {
        let listed = Listed {
            kind: Kind::File,
            info: Some(info.clone()),
        };
        self.update(path, |name, snapshot| {
            snapshot.insert(name.to_owned(), listed);
        });
    }

    /// A file is gone.
    pub(crate) fn removed(&self, path: &str) {
        self.update(path, |name, snapshot| {
            snapshot.remove(name);
        });
    }

    fn update(&self, path: &str, change: impl FnOnce(&str, &mut Snapshot)) {
        let (directory, name) = names::split(path);
        let cell = {
            let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            cells.get(directory).cloned()
        };
        let mut is_known = false;
        if let Some(cell) = cell
            && let Ok(mut kept) = cell.try_lock()
            && let Some(kept) = &mut *kept
        {
            let snapshot = Arc::make_mut(&mut kept.snapshot);
            let before = snapshot.len();
            change(name, snapshot);
            // The first or last name of a directory makes or ends it where there is no mark.
            is_known = before > 1 || (before == 1 && !snapshot.is_empty());
        }
        if !is_known {
            self.changed(path);
        }
    }

    /// A change below `path` makes its listing stale, and its parents' if it was the first or last name.
    pub(crate) fn changed(&self, path: &str) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let mut directory = path;
        while !directory.is_empty() {
            directory = names::split(directory).0;
            // A listing under way fills the removed cell, which nobody asks any more.
            cells.remove(directory);
        }
    }
}

/// The names, and the memory that they take at most in bytes.
async fn list(store: &dyn BlobStore, path: &str) -> Result<(Snapshot, usize), FsError> {
    let prefix = names::prefix(path);
    let mut snapshot = Snapshot::new();
    let mut from: Option<String> = None;
    let mut hidden = 0_usize;
    let mut memory = 0_usize;
    loop {
        let page = store.list(&prefix, true, from.as_deref()).await?;
        let names = page.blobs.iter().map(|(name, _)| name);
        let names = names
            .chain(&page.prefixes)
            .map(|name| name.len() - prefix.len().min(name.len()));
        memory += names.map(|length| EACH + length).sum::<usize>();
        for (name, info) in page.blobs {
            let kind = if info.directory {
                Kind::Directory
            } else {
                Kind::File
            };
            match name.strip_prefix(&prefix) {
                // An empty name with a slash behind it is another tool's directory mark.
                Some("") => {}
                Some(name) if names::expressible(name) => {
                    // A directory wins over a blob of the same name, whichever comes first.
                    let listed = Listed {
                        kind,
                        info: Some(info),
                    };
                    let known = snapshot
                        .entry(name.to_owned())
                        .or_insert_with(|| listed.clone());
                    if known.kind == Kind::Directory {
                        known.info = listed.info;
                    }
                }
                _ => hidden += 1,
            }
        }
        for name in page.prefixes {
            let name = name
                .strip_prefix(&prefix)
                .and_then(|name| name.strip_suffix('/'));
            match name {
                Some(name) if names::expressible(name) => {
                    snapshot
                        .entry(name.to_owned())
                        .and_modify(|listed| listed.kind = Kind::Directory)
                        .or_insert(Listed {
                            kind: Kind::Directory,
                            info: None,
                        });
                }
                _ => hidden += 1,
            }
        }
        if snapshot.len() > MOST_NAMES || memory > MOST_MEMORY {
            return Err(FsError::NotSupported(
                "more than a million names in a directory, or 256 MiB of them",
            ));
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    if path.is_empty() {
        snapshot.remove(names::OWN);
    }
    if hidden > 0 {
        tracing::warn!(hidden, "a directory holds names that no path can express");
    }
    Ok((snapshot, memory))
}

#[cfg(test)]
mod tests {
    use blob_store::Condition;
    use blob_store::testing::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn all_listings_together_are_bounded_and_the_last_one_stays() {
        let store = MemoryStore::default();
        for name in ["a/1", "a/2", "b/1", "b/a long name", "c/1"] {
            let put = store.put_blob(name, bytes::Bytes::new(), &Condition::Always);
            put.await.unwrap();
        }
        let directories = Directories::default();
        let ttl = Duration::from_secs(60);
        for path in ["a", "b", "c"] {
            let listed = directories.snapshot(&store, path, ttl).await.unwrap();
            assert!(!listed.is_empty());
        }
        let known = |path| directories.known(path).is_some();
        let all = 5 * EACH + 4 + "a long name".len();
        directories.trim("c", all);
        assert!(known("a") && known("b") && known("c"));
        directories.trim("c", all - 1);
        assert!(!known("a") && !known("b") && known("c"));
    }
}
