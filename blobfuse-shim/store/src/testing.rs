//! A store in memory with the service's rules, and one that fails on demand.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::{BlobInfo, BlobStore, BlockId, Condition, Etag, Outcome, Page, StoreError};

/// Listings come in pages of this many entries, so that paging is always exercised.
const PAGE: usize = 3;

#[derive(Clone)]
struct Blob {
    blocks: Vec<(Option<BlockId>, Bytes)>,
    info: BlobInfo,
}

#[derive(Default)]
struct Content {
    blobs: BTreeMap<String, Blob>,
    staged: HashMap<String, HashMap<BlockId, Bytes>>,
    versions: u64,
}

/// A container in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Content>>);

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore(..)")
    }
}

impl MemoryStore {
    /// The bytes of a blob.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let content = self.content();
        content.blobs.get(name).map(|blob| join(&blob.blocks))
    }

    /// The names of all blobs, sorted.
    pub fn names(&self) -> Vec<String> {
        self.content().blobs.keys().cloned().collect()
    }

    /// Changes stored bytes as an attacker would: the version stays.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.content();
        if let Some(blob) = content.blobs.get_mut(name) {
            let mut bytes = join(&blob.blocks);
            change(&mut bytes);
            blob.info.length = bytes.len() as u64;
            blob.blocks = vec![(None, bytes.into())];
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(
        &self,
        name: &str,
        condition: &Condition,
        directory: bool,
        blocks: impl FnOnce(&Content) -> Result<Vec<(Option<BlockId>, Bytes)>, StoreError>,
    ) -> Result<Etag, StoreError> {
        let mut content = self.content();
        check(content.blobs.get(name), condition)?;
        let blocks = blocks(&content)?;
        content.versions += 1;
        let etag = Etag::new(&format!("v{}", content.versions));
        let info = BlobInfo {
            etag: etag.clone(),
            length: blocks.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(content.versions),
            directory,
        };
        // As the service: a commit discards whatever else was staged.
        content.staged.remove(name);
        content.blobs.insert(name.to_owned(), Blob { blocks, info });
        Ok(etag)
    }
}

fn join(blocks: &[(Option<BlockId>, Bytes)]) -> Vec<u8> {
    blocks
        .iter()
        .flat_map(|(_, bytes)| bytes.iter().copied())
        .collect()
}

fn check(blob: Option<&Blob>, condition: &Condition) -> Result<(), StoreError> {
    match (condition, blob) {
        (Condition::Always, _) | (Condition::Absent, None) => Ok(()),
        (Condition::Absent, Some(_)) => Err(StoreError::Exists),
        (Condition::Match(etag), Some(blob)) if blob.info.etag == *etag => Ok(()),
        (Condition::Match(_), _) => Err(StoreError::Changed),
    }
}

impl BlobStore for MemoryStore {
    fn head<'a>(&'a self, name: &'a str) -> Outcome<'a, BlobInfo> {
        let content = self.content();
        let info = content.blobs.get(name).map(|blob| blob.info.clone());
        Box::pin(async move { info.ok_or(StoreError::NotFound) })
    }

    fn get_range<'a>(
        &'a self,
        name: &'a str,
        range: Range<u64>,
        version: &'a Etag,
    ) -> Outcome<'a, Bytes> {
        Box::pin(async move {
            let content = self.content();
            let blob = content.blobs.get(name).ok_or(StoreError::NotFound)?;
            check(Some(blob), &Condition::Match(version.clone()))?;
            let bytes = join(&blob.blocks);
            let at = |at| usize::try_from(at).unwrap_or(usize::MAX);
            let part = bytes.get(at(range.start)..at(range.end));
            part.map(Bytes::copy_from_slice).ok_or(StoreError::Answer {
                operation: "Get Blob",
                reason: "another range",
            })
        })
    }

    fn put_blob<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move { self.commit(name, condition, false, |_| Ok(vec![(None, body)])) })
    }

    fn put_directory<'a>(&'a self, name: &'a str) -> Outcome<'a, Etag> {
        Box::pin(async move { self.commit(name, &Condition::Absent, true, |_| Ok(vec![])) })
    }

    fn put_block<'a>(&'a self, name: &'a str, id: BlockId, body: Bytes) -> Outcome<'a, ()> {
        Box::pin(async move {
            let mut content = self.content();
            let staged = content.staged.entry(name.to_owned()).or_default();
            staged.insert(id, body);
            Ok(())
        })
    }

    fn put_block_list<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move {
            self.commit(name, condition, false, |content| {
                let staged = content.staged.get(name);
                let committed = content.blobs.get(name).map(|blob| &blob.blocks);
                let find = |id: &BlockId| {
                    let staged = staged.and_then(|staged| staged.get(id));
                    let earlier = || {
                        let mut blocks = committed.into_iter().flatten();
                        blocks
                            .find(|(of, _)| *of == Some(*id))
                            .map(|(_, bytes)| bytes)
                    };
                    let bytes = staged.or_else(earlier).ok_or(StoreError::BlocksGone)?;
                    Ok((Some(*id), bytes.clone()))
                };
                blocks.iter().map(find).collect()
            })
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        directories: bool,
        from: Option<&'a str>,
    ) -> Outcome<'a, Page> {
        Box::pin(async move {
            let content = self.content();
            let mut page = Page::default();
            let mut seen = BTreeSet::new();
            for (name, blob) in content
                .blobs
                .iter()
                .filter(|(name, _)| name.starts_with(prefix))
            {
                let rest = name.get(prefix.len()..).unwrap_or_default();
                let (entry, cut) = match rest.split_once('/') {
                    Some((head, _)) if directories => (format!("{prefix}{head}/"), true),
                    _ => (name.clone(), false),
                };
                if from.is_some_and(|from| entry.as_str() < from) || !seen.insert(entry.clone()) {
                    continue;
                }
                if seen.len() > PAGE {
                    page.next = Some(entry);
                    break;
                }
                if cut {
                    page.prefixes.push(entry);
                } else {
                    page.blobs.push((entry, blob.info.clone()));
                }
            }
            Ok(page)
        })
    }

    fn delete<'a>(&'a self, name: &'a str, condition: &'a Condition) -> Outcome<'a, ()> {
        Box::pin(async move {
            let mut content = self.content();
            if !content.blobs.contains_key(name) {
                return Err(StoreError::NotFound);
            }
            check(content.blobs.get(name), condition)?;
            content.blobs.remove(name);
            Ok(())
        })
    }
}

/// An operation of a store, for [`Faulty`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// `head`.
    Head,
    /// `get_range`.
    Get,
    /// `put_blob`, `put_directory`.
    Put,
    /// `put_block`.
    Block,
    /// `put_block_list`.
    BlockList,
    /// `list`.
    List,
    /// `delete`.
    Delete,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The service does not serve.
    Down,
    /// There is never an answer.
    Hang,
    /// Another writer commits the same blob just before.
    Overtaken,
}

/// A store that fails on demand.
#[derive(Clone, Debug)]
pub struct Faulty {
    inner: MemoryStore,
    plan: Arc<Mutex<Vec<(Operation, Failure)>>>,
    log: Arc<Mutex<Vec<Operation>>>,
}

impl Faulty {
    /// Fails nothing yet.
    pub fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            plan: Arc::default(),
            log: Arc::default(),
        }
    }

    /// Lets every further `operation` fail until [`Faulty::heal`].
    pub fn fail(&self, operation: Operation, failure: Failure) {
        self.plan().push((operation, failure));
    }

    /// Ends all failures.
    pub fn heal(&self) {
        self.plan().clear();
    }

    /// The operations asked for so far.
    pub fn log(&self) -> Vec<Operation> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    fn plan(&self) -> MutexGuard<'_, Vec<(Operation, Failure)>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn before(&self, operation: Operation, name: &str) -> Result<(), StoreError> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(operation);
        let planned = self.plan().iter().find(|(of, _)| *of == operation).copied();
        match planned.map(|(_, failure)| failure) {
            None => Ok(()),
            Some(Failure::Hang) => std::future::pending().await,
            Some(Failure::Overtaken) => {
                let body = Bytes::from_static(b"another writer");
                self.inner.put_blob(name, body, &Condition::Always).await?;
                Ok(())
            }
            Some(Failure::Down) => Err(StoreError::Unavailable {
                operation: "a request",
                status: 503,
                code: "ServerBusy".to_owned(),
            }),
        }
    }
}

macro_rules! after_plan {
    ($self:ident, $operation:ident, $name:expr, $call:expr) => {
        Box::pin(async move {
            $self.before(Operation::$operation, $name).await?;
            $call.await
        })
    };
}

impl BlobStore for Faulty {
    fn head<'a>(&'a self, name: &'a str) -> Outcome<'a, BlobInfo> {
        after_plan!(self, Head, name, self.inner.head(name))
    }

    fn get_range<'a>(
        &'a self,
        name: &'a str,
        range: Range<u64>,
        version: &'a Etag,
    ) -> Outcome<'a, Bytes> {
        after_plan!(self, Get, name, self.inner.get_range(name, range, version))
    }

    fn put_blob<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        after_plan!(self, Put, name, self.inner.put_blob(name, body, condition))
    }

    fn put_directory<'a>(&'a self, name: &'a str) -> Outcome<'a, Etag> {
        after_plan!(self, Put, name, self.inner.put_directory(name))
    }

    fn put_block<'a>(&'a self, name: &'a str, id: BlockId, body: Bytes) -> Outcome<'a, ()> {
        after_plan!(self, Block, name, self.inner.put_block(name, id, body))
    }

    fn put_block_list<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        let inner = &self.inner;
        after_plan!(
            self,
            BlockList,
            name,
            inner.put_block_list(name, blocks, condition)
        )
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        directories: bool,
        from: Option<&'a str>,
    ) -> Outcome<'a, Page> {
        after_plan!(
            self,
            List,
            prefix,
            self.inner.list(prefix, directories, from)
        )
    }

    fn delete<'a>(&'a self, name: &'a str, condition: &'a Condition) -> Outcome<'a, ()> {
        after_plan!(self, Delete, name, self.inner.delete(name, condition))
    }
}
