//! The end of a sink: everything committed, nothing lost, and a manifest that says what there is.

use std::sync::Arc;

use blob_format::Params;
use blob_format::manifest::{self, Entry, Manifest};
use blob_format::{Attributes, Writer};
use blob_store::{BlobInfo, Condition};
use cleanroom_crypto::digest::Sha256;
use serde::Serialize;

use crate::file::{File, Handle};
use crate::inner::Inner;
use crate::version::Version;
use crate::{FileSystem, FsError, Mode, names};

/// What is read at once to find the digest of a file that was there before.
const PART: u64 = 1 << 20;

/// What was sealed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Sealed {
    /// Keyed tree head of the manifest, hexadecimal; empty under SSE, where no key is there to make or read one.
    pub root: String,
    /// Number of files.
    pub files: usize,
    /// Sum of their clear lengths.
    pub bytes: u64,
}

impl FileSystem {
    /// Refuses further changes, commits every open file, writes the manifest and returns what it holds. A second call
    /// returns the first one's result.
    ///
    /// # Errors
    /// A commit that fails, [`FsError::Lost`] if one had failed before, [`FsError::Conflict`] if storage lists another
    /// version of a file than this mount committed, or none; a file that cannot be read back; [`FsError::ReadOnly`] on a
    /// read-only mount.
    #[tracing::instrument(name = "mount.seal", skip_all, err)]
    pub async fn seal(&self) -> Result<Sealed, FsError> {
        let inner = &self.0;
        if inner.options.read_only {
            return Err(FsError::ReadOnly);
        }
        let mut sealed = inner.sealed.lock().await;
        if let Some(sealed) = &*sealed {
            return Ok(sealed.clone());
        }
        inner.refuse_changes();
        self.commit_all().await?;
        inner.refuse_commits().await;
        // Behind the gate no further file can be unlinked.
        inner.purge("").await?;
        let lost = inner.lost_files();
        if lost > 0 {
            return Err(FsError::Lost(lost));
        }
        let manifest = Manifest::new(inner.entries().await?)?;
        let root = match inner.mode {
            // There is no key that the owner has, too.
            Mode::Sse => String::new(),
            _ => {
                inner.write_manifest(&manifest).await?;
                let root = manifest.keyed_root(&inner.dek)?;
                root.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        };
        let result = Sealed {
            root,
            files: manifest.entries().len(),
            bytes: manifest.bytes(),
        };
        tracing::info!(files = result.files, bytes = result.bytes, "sealed");
        *sealed = Some(result.clone());
        Ok(result)
    }
}

impl Inner {
    async fn entries(self: &Arc<Self>) -> Result<Vec<Entry>, FsError> {
        let mut entries = Vec::new();
        let mut written = self.all_written();
        let mut from: Option<String> = None;
        loop {
            let page = self.store.list("", false, from.as_deref());
            let page = self.bounded(page).await?;
            for (name, info) in page.blobs {
                if !info.directory && !name.ends_with('/') && !names::is_own(&name) {
                    let record = written.remove(&name);
                    if record.as_ref().is_some_and(|record| !record.is(&info.etag)) {
                        return Err(FsError::Conflict);
                    }
                    let entry = self.entry(&name, &info).await?;
                    let known = record.and_then(|record| record.entry);
                    if known.is_some_and(|known| known != entry) {
                        return Err(FsError::Conflict);
                    }
                    entries.push(entry);
                }
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        // What was committed and not removed is there.
        if written.is_empty() {
            Ok(entries)
        } else {
            Err(FsError::Conflict)
        }
    }

    /// What this mount wrote is known; what was there before is read.
    async fn entry(self: &Arc<Self>, path: &str, info: &BlobInfo) -> Result<Entry, FsError> {
        if let Some(entry) = self.known(path, &info.etag) {
            return Ok(entry);
        }
        let version = Arc::new(self.load(path, None).await?);
        if version.info.etag != info.etag {
            return Err(FsError::Conflict);
        }
        if let Some(entry) = &version.entry {
            return Ok(entry.clone());
        }
        if !matches!(self.mode, Mode::Cpk | Mode::Sse) {
            return self.stored_entry(path, &version).await;
        }
        let mut digest = Sha256::new();
        let file = Arc::new(File::new(path));
        file.state.lock().await.stored = Some(Arc::clone(&version));
        let handle = Handle::new(file, false, 0);
        let mut at = 0;
        while at < version.len {
            let part = self.read_at(&handle, at, PART).await?;
            if part.is_empty() {
                return Err(FsError::Stale);
            }
            digest.update(&part);
            at += part.len() as u64;
        }
        Ok(Entry {
            path: path.to_owned(),
            length: version.len,
            file_id: [0; 16],
            generation: 0,
            authenticator: digest.finish(),
        })
    }

    /// Of a layout that has nothing else to name a version than the bytes in storage.
    async fn stored_entry(&self, path: &str, version: &Version) -> Result<Entry, FsError> {
        let mut digest = Sha256::new();
        let mut at = 0;
        while at < version.info.length {
            let end = version.info.length.min(at + PART);
            digest.update(&self.get(path, at..end, &version.info.etag).await?);
            at = end;
        }
        Ok(Entry {
            path: path.to_owned(),
            length: version.len,
            file_id: [0; 16],
            generation: 0,
            authenticator: digest.finish(),
        })
    }

    async fn write_manifest(&self, manifest: &Manifest) -> Result<(), FsError> {
        let mut writer = Writer::create(&self.dek, Params::default(), Some(manifest::PATH))?;
        let mut body = writer.write(0, &manifest.encode())?.concat();
        body.extend(writer.commit(Attributes::default())?.tail);
        let put = self
            .store
            .put_blob(manifest::PATH, body.into(), &Condition::Always);
        self.bounded(put).await?;
        Ok(())
    }
}
