//! One file while it is open: what storage holds, and what was written since.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use blob_format::View;
use blob_store::{BlobInfo, Etag};
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::inner::Inner;
use crate::write::Draft;
use crate::{FsError, Mode};

/// Whole blobs up to this size are fetched by the request that opens them.
const SMALL: u64 = 256 << 10;

/// Shared by all handles of a path.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) stored: Option<Stored>,
    pub(crate) draft: Option<Draft>,
    /// Once data was lost, every operation says so until the last handle is closed.
    pub(crate) error: Option<FsError>,
}

/// One committed version.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) info: BlobInfo,
    content: Content,
    /// The whole content of a small file, as it came when the file was opened.
    whole: Option<Bytes>,
}

#[derive(Clone, Debug)]
enum Content {
    Plain,
    V2(Arc<View>),
}

impl Stored {
    pub(crate) fn len(&self) -> u64 {
        match &self.content {
            Content::Plain => self.info.length,
            Content::V2(view) => view.len(),
        }
    }

    pub(crate) const fn etag(&self) -> &Etag {
        &self.info.etag
    }

    pub(crate) fn view(&self) -> Option<&View> {
        match &self.content {
            Content::Plain => None,
            Content::V2(view) => Some(view),
        }
    }
}

impl File {
    pub(crate) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            state: Mutex::default(),
        }
    }

    /// Length and time of the content that a reader would see now.
    pub(crate) async fn look(&self) -> (u64, SystemTime) {
        let state = self.state.lock().await;
        match (&state.draft, &state.stored) {
            (Some(draft), _) => (draft.len(), SystemTime::now()),
            (None, Some(stored)) => (stored.len(), stored.info.modified),
            (None, None) => (0, SystemTime::UNIX_EPOCH),
        }
    }
}

impl Inner {
    /// Finds the newest version of a path and authenticates its frame.
    pub(crate) async fn load(&self, path: &str) -> Result<Stored, FsError> {
        let info = self.bounded(self.store.head(path)).await?;
        if info.directory {
            return Err(FsError::IsDirectory);
        }
        let Mode::CseV2(params) = self.mode else {
            return Ok(Stored {
                info,
                content: Content::Plain,
                whole: None,
            });
        };
        let length = info.length;
        let first = View::tail_len(params, length)?.max(SMALL.min(length));
        let mut tail = self.tail(path, &info, first).await?;
        let needed = View::needed_tail(length, &tail)?;
        if needed > first {
            // The file's own sizes differ from the mount's.
            tail = self.tail(path, &info, needed).await?;
        }
        let view = View::open(&self.dek, length, &tail, Some(path))?;
        let whole = match view.plan(0..view.len()) {
            Some(plan) if tail.len() as u64 == length => {
                let end = usize::try_from(plan.sealed.end).unwrap_or(usize::MAX);
                let sealed = tail.get(..end).unwrap_or_default().to_vec();
                Some(view.decrypt(&plan, sealed)?.into())
            }
            _ => None,
        };
        Ok(Stored {
            info,
            content: Content::V2(Arc::new(view)),
            whole,
        })
    }

    async fn tail(&self, path: &str, info: &BlobInfo, length: u64) -> Result<Bytes, FsError> {
        let range = info.length - length.min(info.length)..info.length;
        self.bounded(self.store.get_range(path, range, &info.etag))
            .await
    }

    /// Fetches clear bytes: at least the asked range, as far as the file goes; returns where they start.
    pub(crate) async fn fetch(
        &self,
        path: &str,
        stored: &Stored,
        clear: Range<u64>,
    ) -> Result<(u64, Bytes), FsError> {
        match self.fetch_range(path, stored, clear).await {
            // It was there when it was opened.
            Err(FsError::NotFound) => Err(FsError::Stale),
            outcome => outcome,
        }
    }

    async fn fetch_range(
        &self,
        path: &str,
        stored: &Stored,
        clear: Range<u64>,
    ) -> Result<(u64, Bytes), FsError> {
        if let Some(whole) = &stored.whole {
            return Ok((0, whole.clone()));
        }
        match &stored.content {
            Content::Plain => {
                let range = clear.start..clear.end.min(stored.info.length);
                let start = range.start;
                let bytes = self.store.get_range(path, range, stored.etag());
                Ok((start, self.bounded(bytes).await?))
            }
            Content::V2(view) => {
                let Some(plan) = view.plan(clear) else {
                    return Ok((0, Bytes::new()));
                };
                let sealed = self
                    .store
                    .get_range(path, plan.sealed.clone(), stored.etag());
                let sealed = self.bounded(sealed).await?;
                let bytes = view.decrypt(&plan, sealed.into())?;
                Ok((plan.clear.start, bytes.into()))
            }
        }
    }
}
