//! What is stored.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;

use super::cpk::KeyHash;

/// One storage account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) owner_tenant: String,
    pub(super) grants: BTreeSet<String>,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) empty_first_page: bool,
    /// Names are hierarchical.
    pub(super) hierarchical: bool,
    /// Paths that one request to rename a directory moves.
    pub(super) rename_page: usize,
}

impl Account {
    pub(super) fn new(owner_tenant: &str, grants: &[String]) -> Self {
        Self {
            owner_tenant: owner_tenant.to_owned(),
            grants: grants.iter().cloned().collect(),
            containers: BTreeMap::new(),
            empty_first_page: false,
            hierarchical: false,
            rename_page: usize::MAX,
        }
    }
}

/// One container.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) etag: String,
    pub(super) modified: SystemTime,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) blobs: BTreeMap<String, Entry>,
    pub(super) hierarchical: bool,
}

impl Container {
    pub(super) fn new(metadata: Vec<(String, String)>, hierarchical: bool) -> Self {
        Self {
            etag: next_etag(),
            modified: SystemTime::now(),
            metadata,
            blobs: BTreeMap::new(),
            hierarchical,
        }
    }

    pub(super) fn committed(&self, name: &str) -> Option<&Committed> {
        self.blobs.get(name)?.committed.as_ref()
    }

    pub(super) fn committed_mut(&mut self, name: &str) -> Option<&mut Committed> {
        self.blobs.get_mut(name)?.committed.as_mut()
    }

    pub(super) fn committed_names(&self) -> impl Iterator<Item = &String> {
        self.blobs
            .iter()
            .filter(|(_, entry)| entry.committed.is_some())
            .map(|(name, _)| name)
    }
}

/// A name with what is committed under it and what is only staged.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) committed: Option<Committed>,
    pub(super) staged: Vec<Block>,
}

/// A block; one without an id is the body of a Put Blob.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) id: String,
    pub(super) data: Bytes,
    pub(super) key: Option<KeyHash>,
}

/// A committed blob.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) blocks: Vec<Block>,
    pub(super) length: u64,
    pub(super) etag: String,
    pub(super) created: SystemTime,
    pub(super) modified: SystemTime,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) content: ContentHeaders,
    pub(super) key: Option<KeyHash>,
}

/// Headers kept with a blob and given back as they came.
#[derive(Clone, Debug, Default)]
pub(super) struct ContentHeaders {
    pub(super) content_type: String,
    pub(super) encoding: Option<String>,
    pub(super) language: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) disposition: Option<String>,
    /// Base64 of the MD5 of the whole.
    pub(super) md5: Option<String>,
    pub(super) tier: Option<String>,
}

impl Committed {
    pub(super) fn modified_seconds(&self) -> u64 {
        self.modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .map(|d| d.as_secs())
            .unwrap_or_default()
    }

    pub(super) fn touch(&mut self) {
        self.etag = next_etag();
        self.modified = SystemTime::now();
    }

    pub(super) fn replace_bytes(&mut self, whole: Bytes) {
        self.length = length_of(&whole);
        self.blocks = vec![Block {
            id: String::new(),
            data: whole,
            key: self.key.clone(),
        }];
    }
}

pub(super) fn length_of(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

/// ETags look like the service's and never repeat in a process.
pub(super) fn next_etag() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0x8D_C000_0000_0001);
    format!("\"0x{:X}\"", NEXT.fetch_add(1, Ordering::Relaxed))
}
