//! Clear lengths that no listing tells, or that it tells wrong: one request for each file and version, remembered.

use std::collections::HashMap;
use std::sync::Mutex;

use blob_store::{BlobInfo, Etag, Metadata};

use crate::FsError;
use crate::codec::Stored;
use crate::inner::{Inner, lock};
use crate::version::Version;

/// Lengths remembered at once; bounds memory.
const MOST: usize = 100_000;

/// What was found out, by path.
#[derive(Debug, Default)]
pub(crate) struct Measured(Mutex<HashMap<String, (Etag, u64)>>);

impl Measured {
    fn find(&self, path: &str, etag: &Etag) -> Option<u64> {
        let lengths = lock(&self.0);
        lengths
            .get(path)
            .filter(|(of, _)| of == etag)
            .map(|(_, length)| *length)
    }

    pub(crate) fn keep(&self, path: &str, etag: &Etag, length: u64) {
        let mut lengths = lock(&self.0);
        if lengths.len() >= MOST {
            lengths.clear();
        }
        lengths.insert(path.to_owned(), (etag.clone(), length));
    }
}

impl Inner {
    /// Takes note of a version whose length no listing tells.
    pub(crate) fn measured(&self, path: &str, version: &Version) {
        if self.layout.clear_len(version.info.length).is_none() {
            self.measured.keep(path, &version.info.etag, version.len);
        }
    }

    /// Clear length of a blob that a listing shows; 0 if it is not ours, which opening then tells; `None` if it is gone.
    pub(crate) async fn measure(
        &self,
        path: &str,
        listed: &BlobInfo,
    ) -> Result<Option<u64>, FsError> {
        if let Some(length) = self.measured.find(path, &listed.etag) {
            return Ok(Some(length));
        }
        if let Some(length) = self.layout.clear_len(listed.length) {
            return Ok(Some(length));
        }
        if !self.layout.needs_metadata() {
            match self.look_at(path, listed, &Metadata::new()).await {
                // The listing is old: what is there now is looked at.
                Err(FsError::Stale | FsError::NotFound) => {}
                outcome => return outcome.map(Some),
            }
        }
        let found = match self.bounded(self.store.describe(path)).await {
            Ok((info, metadata)) => self.look_at(path, &info, &metadata).await,
            Err(error) => Err(error),
        };
        match found {
            Err(FsError::NotFound) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    async fn look_at(
        &self,
        path: &str,
        info: &BlobInfo,
        metadata: &Metadata,
    ) -> Result<u64, FsError> {
        let mut length = 0;
        if let Ok(wanted) = self.layout.tail_len(info.length) {
            let tail = self.tail(path, info, wanted).await?;
            let stored = Stored {
                length: info.length,
                tail: &tail,
                metadata,
            };
            let opened = self.layout.open(path, &stored);
            length = opened.map_or(0, |opened| opened.len);
        }
        self.measured.keep(path, &info.etag, length);
        Ok(length)
    }
}
