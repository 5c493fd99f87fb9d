use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};

use crate::{BlobInfo, BlobStore, BlockId, Condition, Etag, Metadata, Outcome, Page, StoreError};

/// Listings come in pages of this many entries unless told otherwise, so that paging is always exercised.
const PAGE: usize = 3;
/// Blocks that the service commits in one blob.
const MOST_BLOCKS: usize = 50_000;

static NONE: Metadata = Metadata::new();

type Blocks = Vec<(Option<BlockId>, Bytes)>;

#[derive(Clone)]
struct Blob {
    blocks: Blocks,
    info: BlobInfo,
    metadata: Metadata,
}

#[derive(Default)]
struct Content {
    blobs: BTreeMap<String, Blob>,
    staged: HashMap<String, HashMap<BlockId, Bytes>>,
    versions: u64,
}

/// A container in memory; clones share it.
#[derive(Clone)]
pub struct MemoryStore {
    content: Arc<Mutex<Content>>,
    page: usize,
    hierarchical: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_page(PAGE)
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore(..)")
    }
}

impl MemoryStore {
    /// An empty container whose listings come in pages of `page` entries.
    pub fn with_page(page: usize) -> Self {
        Self {
            content: Arc::default(),
            page,
            hierarchical: false,
        }
    }

    /// The same container as an account with hierarchical names serves it: it can rename.
    #[must_use]
    pub fn hierarchical(mut self) -> Self {
        self.hierarchical = true;
        self
    }

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

    /// The metadata of a blob.
    pub fn metadata(&self, name: &str) -> Option<Metadata> {
        let content = self.content();
        content.blobs.get(name).map(|blob| blob.metadata.clone())
    }

    /// Changes metadata as an attacker would: the version stays.
    pub fn tamper_metadata(&self, name: &str, change: impl FnOnce(&mut Metadata)) {
        if let Some(blob) = self.content().blobs.get_mut(name) {
            change(&mut blob.metadata);
        }
    }

    /// A copy of everything that is committed: what is left after a crash.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let content = self.content();
        let copy = Content {
            blobs: content.blobs.clone(),
            staged: HashMap::new(),
            versions: content.versions,
        };
        Self {
            content: Arc::new(Mutex::new(copy)),
            ..self.clone()
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(
        &self,
        name: &str,
        condition: &Condition,
        (directory, metadata): (bool, &Metadata),
        blocks: impl FnOnce(&Content) -> Result<Blocks, StoreError>,
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
        let metadata = metadata.clone();
        let blob = Blob {
            blocks,
            info,
            metadata,
        };
        content.blobs.insert(name.to_owned(), blob);
        Ok(etag)
    }
}

fn join(blocks: &Blocks) -> Vec<u8> {
    let mut out = Vec::with_capacity(blocks.iter().map(|(_, bytes)| bytes.len()).sum());
    for (_, bytes) in blocks {
        out.extend_from_slice(bytes);
    }
    out
}

/// The bytes of a range; `None` if the blob is shorter.
fn part(blocks: &Blocks, range: &Range<u64>) -> Option<Bytes> {
    let mut at = 0;
    let mut parts = Vec::new();
    for (_, bytes) in blocks {
        let end = at + bytes.len() as u64;
        let (from, to) = (range.start.max(at), range.end.min(end));
        if from < to {
            let (from, to) = (
                usize::try_from(from - at).ok()?,
                usize::try_from(to - at).ok()?,
            );
            parts.push(bytes.slice(from..to));
        }
        at = end;
    }
    if range.end > at {
        return None;
    }
    match parts.as_slice() {
        [one] => Some(one.clone()),
        parts => {
            let mut all = BytesMut::new();
            for part in parts {
                all.extend_from_slice(part);
            }
            Some(all.freeze())
        }
    }
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

    fn describe<'a>(&'a self, name: &'a str) -> Outcome<'a, (BlobInfo, Metadata)> {
        let content = self.content();
        let blob = content.blobs.get(name);
        let found = blob.map(|blob| (blob.info.clone(), blob.metadata.clone()));
        Box::pin(async move { found.ok_or(StoreError::NotFound) })
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
            part(&blob.blocks, &range).ok_or(StoreError::Answer {
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
        self.put_blob_with(name, body, &NONE, condition)
    }

    fn put_blob_with<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        let blocks = |_: &Content| Ok(vec![(None, body)]);
        Box::pin(async move { self.commit(name, condition, (false, metadata), blocks) })
    }

    fn put_directory<'a>(&'a self, name: &'a str) -> Outcome<'a, Etag> {
        let blocks = |_: &Content| Ok(vec![]);
        Box::pin(async move { self.commit(name, &Condition::Absent, (true, &NONE), blocks) })
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
        self.put_block_list_with(name, blocks, &NONE, condition)
    }

    fn put_block_list_with<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move {
            self.commit(name, condition, (false, metadata), |content| {
                if blocks.len() > MOST_BLOCKS {
                    return Err(StoreError::of(
                        "Put Block List",
                        409,
                        "BlockCountExceedsLimit",
                    ));
                }
                let staged = content.staged.get(name);
                let committed: HashMap<_, _> = content
                    .blobs
                    .get(name)
                    .into_iter()
                    .flat_map(|blob| &blob.blocks)
                    .filter_map(|(id, bytes)| id.map(|id| (id, bytes)))
                    .collect();
                let find = |id: &BlockId| {
                    let staged = staged.and_then(|staged| staged.get(id));
                    let bytes = staged.or_else(|| committed.get(id).copied());
                    Ok((Some(*id), bytes.ok_or(StoreError::BlocksGone)?.clone()))
                };
                blocks.iter().map(find).collect()
            })
        })
    }

    fn committed_blocks<'a>(&'a self, name: &'a str) -> Outcome<'a, Option<Vec<(BlockId, u64)>>> {
        Box::pin(async move {
            let content = self.content();
            let blob = content.blobs.get(name).ok_or(StoreError::NotFound)?;
            let named = blob.blocks.iter();
            let named = named.filter_map(|(id, bytes)| id.map(|id| (id, bytes.len() as u64)));
            Ok(Some(named.collect()))
        })
    }

    fn rename<'a>(
        &'a self,
        from: &'a str,
        to: &'a str,
        source: &'a Condition,
        target: &'a Condition,
    ) -> Outcome<'a, Option<Etag>> {
        Box::pin(async move {
            if !self.hierarchical {
                return Ok(None);
            }
            let mut content = self.content();
            let blob = content
                .blobs
                .get(from)
                .cloned()
                .ok_or(StoreError::NotFound)?;
            check(Some(&blob), source)?;
            check(content.blobs.get(to), target)?;
            let below = format!("{from}/");
            let inside: Vec<String> = content
                .blobs
                .range(below.clone()..)
                .map(|(name, _)| name.clone())
                .take_while(|name| name.starts_with(&below))
                .collect();
            for name in inside {
                if let (Some(blob), Some(rest)) =
                    (content.blobs.remove(&name), name.strip_prefix(&below))
                {
                    content.blobs.insert(format!("{to}/{rest}"), blob);
                }
            }
            content.blobs.remove(from);
            let etag = blob.info.etag.clone();
            content.blobs.insert(to.to_owned(), blob);
            Ok(Some(etag))
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
            let start = from.filter(|from| *from > prefix).unwrap_or(prefix);
            let mut next = Bound::Included(start.to_owned());
            let mut count = 0;
            loop {
                let mut rest = content.blobs.range((next, Bound::Unbounded));
                let Some((name, blob)) = rest.next().filter(|(name, _)| name.starts_with(prefix))
                else {
                    return Ok(page);
                };
                let tail = name.get(prefix.len()..).unwrap_or_default();
                let cut = tail.split_once('/').filter(|_| directories);
                let entry =
                    cut.map_or_else(|| name.clone(), |(head, _)| format!("{prefix}{head}/"));
                if count == self.page {
                    page.next = Some(entry);
                    return Ok(page);
                }
                count += 1;
                if cut.is_some() {
                    // '0' is what follows '/': the next name behind the directory.
                    next = Bound::Included(format!("{}0", entry.trim_end_matches('/')));
                    page.prefixes.push(entry);
                } else {
                    next = Bound::Excluded(entry.clone());
                    page.blobs.push((entry, blob.info.clone()));
                }
            }
        })
    }

    fn delete<'a>(&'a self, name: &'a str, condition: &'a Condition) -> Outcome<'a, ()> {
        Box::pin(async move {
            let mut content = self.content();
            if !content.blobs.contains_key(name) {
                return Err(StoreError::NotFound);
            }
            check(content.blobs.get(name), condition)?;
            let below = format!("{name}/");
            let mut after = content.blobs.range(below.clone()..);
            let inside = after.next().is_some_and(|(at, _)| at.starts_with(&below));
            if self.hierarchical && inside {
                return Err(StoreError::NotEmpty);
            }
            content.blobs.remove(name);
            Ok(())
        })
    }
}
