//! A source whose files the contract pins: names and lengths come from its manifest, and a file that is not the listed
//! version of it is never read.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use blob_format::manifest::{self, Entry, Found, Manifest, ManifestHmac, Pinned};
use blob_format::{FormatError, Params};
use blob_store::{BlobStore, Metadata};
use cleanroom_crypto::Dek;

use crate::budget::Memory;
use crate::codec::Layout;
use crate::digests::Digests;
use crate::inner::{Inner, lock};
use crate::read::blocking;
use crate::version::Version;
use crate::{FileSystem, FsError, Kind, Mode, Options, names};

/// Memory for a manifest, as a multiple of its clear length: its bytes and its decoded entries while it is read, its
/// entries from then on.
const READING: u64 = 3;
const KEPT: u64 = 2;
/// What is read of a manifest at once, in bytes.
const PART: u64 = 4 << 20;
/// Memory for what is known of content that only its digest names, in bytes: that of 32 GiB.
const MOST_DIGESTS: u64 = 8 << 20;

/// The files that the contract lists.
pub(crate) struct Source {
    list: Pinned,
    /// Of files that were read once as a whole.
    digests: Mutex<HashMap<String, Arc<Digests>>>,
    _memory: Memory,
}

impl FileSystem {
    /// A read-only file system over the files that the contract pins, and no others. Reads the manifest.
    ///
    /// # Errors
    /// [`FormatError::ManifestRoot`] if storage holds another manifest than the contract pins; [`FsError::NoManifest`];
    /// [`FsError::ManifestMemory`] if the memory of `options` is too small for it; whatever storage says.
    pub async fn pinned(
        store: Arc<dyn BlobStore>,
        dek: Arc<Dek>,
        mode: Mode,
        options: Options,
        contract: ManifestHmac,
    ) -> Result<Self, FsError> {
        let options = Options {
            read_only: true,
            ..options
        };
        let mut inner = Inner::new(store, dek, mode, options);
        inner.source = Some(inner.read_source(contract).await?);
        Ok(Self(Arc::new(inner)))
    }
}

impl Inner {
    async fn read_source(&self, contract: ManifestHmac) -> Result<Source, FsError> {
        let path = manifest::PATH;
        let missing = |error| match error {
            FsError::NotFound => FsError::NoManifest,
            error => error,
        };
        let info = self.bounded(self.store.head(path)).await.map_err(missing)?;
        // Its length is believed only with the footer's MAC: nobody without the key can make it fill the memory.
        let layout = Layout::new(Mode::CseV2(Params::default()), &self.dek, "");
        let (opened, _) = self.frame(&layout, path, &info, &Metadata::new()).await?;
        let length = opened.len;
        let need = length.saturating_mul(READING).saturating_add(2 * PART);
        let memory = self.budget.try_take(need);
        let memory = memory.filter(|_| need <= self.budget.total() / 2);
        let mut memory = memory.ok_or(FsError::ManifestMemory(length))?;
        let mut clear = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let (extent, unit) = (opened.frame.extent(), opened.frame.unit());
        let part = (PART / unit).max(1) * unit;
        let mut at = 0;
        while at < length {
            let (index, start) = (at / extent, at % extent);
            let end = (start + part).min(extent).min(start + length - at);
            let stored = opened.frame.stored(index, start..end);
            let sealed = self.get(path, stored, &info.etag).await?;
            clear.extend(opened.frame.open(index, start..end, &sealed)?);
            at += end - start;
        }
        let dek = Arc::clone(&self.dek);
        let list = blocking(move || Ok(Manifest::decode(&clear)?.pin(&dek, &contract)?)).await?;
        memory.shrink(length.saturating_mul(KEPT));
        tracing::info!(
            files = list.manifest().entries().len(),
            bytes = list.manifest().bytes(),
            "the manifest is the one that the contract pins"
        );
        Ok(Source {
            list,
            digests: Mutex::default(),
            _memory: memory,
        })
    }

    /// The listed version of a file, and no other.
    pub(crate) async fn load_listed(
        self: &Arc<Self>,
        path: &str,
        source: &Source,
    ) -> Result<Version, FsError> {
        let listed = source.list.file(path).map_err(|_| FsError::NotFound)?;
        let (mut version, blob) = match self.load_any(path, None).await {
            // It cannot be gone: the parties agreed to it.
            Err(FsError::NotFound) => return Err(FsError::Missing),
            Err(FsError::IsDirectory) => return Err(FormatError::Replaced.into()),
            loaded => loaded?,
        };
        // The list knows no times, and storage's word is not worth more than none.
        version.info.modified = SystemTime::UNIX_EPOCH;
        if let Some(found) = &version.entry {
            admit(listed, found)?;
        } else {
            let known = lock(&source.digests).get(path).cloned();
            let digests = match known {
                Some(digests) if version.len == listed.length => digests,
                Some(_) => return Err(FormatError::Replaced.into()),
                None => {
                    let digests = Arc::new(self.check_content(path, &version, listed).await?);
                    source.keep(path, &digests);
                    digests
                }
            };
            version.frame = digests.guard(version.frame);
        }
        self.keep_small(&version, &blob)?;
        Ok(version)
    }
}

/// Compares what a file's frame says with what the list says.
fn admit(listed: &Entry, found: &Entry) -> Result<(), FormatError> {
    if found == listed {
        Ok(())
    } else if found.file_id == listed.file_id && found.generation != listed.generation {
        Err(FormatError::RolledBack {
            listed: listed.generation,
            found: found.generation,
        })
    } else {
        Err(FormatError::Replaced)
    }
}

impl Source {
    fn keep(&self, path: &str, digests: &Arc<Digests>) {
        let mut known = lock(&self.digests);
        let total: u64 = known.values().map(|digests| digests.size()).sum();
        if total + digests.size() > MOST_DIGESTS {
            known.clear();
        }
        if digests.size() <= MOST_DIGESTS {
            known.insert(path.to_owned(), Arc::clone(digests));
        }
    }

    /// Kind, length and time of a path.
    pub(crate) fn find(&self, path: &str) -> Option<(Kind, u64, SystemTime)> {
        let (kind, length) = match self.list.look_up(path).ok()? {
            Found::File(entry) => (Kind::File, entry.length),
            Found::Directory => (Kind::Directory, 0),
        };
        Some((kind, length, SystemTime::UNIX_EPOCH))
    }

    /// The names in a directory.
    pub(crate) fn names(&self, directory: &str) -> BTreeMap<String, Kind> {
        let listed = self.list.list(directory).filter(|(name, _)| {
            let is_own = directory.is_empty() && *name == names::OWN;
            names::expressible(name) && !is_own
        });
        let kind = |found| match found {
            Found::File(_) => Kind::File,
            Found::Directory => Kind::Directory,
        };
        listed
            .map(|(name, found)| (name.to_owned(), kind(found)))
            .collect()
    }
}
