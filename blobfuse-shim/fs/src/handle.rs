//! Reading through one handle: a window of clear bytes that grows while reads are sequential.

use std::ops::Range;
use std::sync::Arc;

use blob_store::Etag;
use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::FsError;
use crate::file::{File, Stored};
use crate::inner::Inner;

const SMALLEST: u64 = 128 << 10;

#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) file: Arc<File>,
    pub(crate) write: bool,
    cursor: Mutex<Cursor>,
}

impl Handle {
    pub(crate) fn new(file: Arc<File>, write: bool) -> Self {
        Self {
            file,
            write,
            cursor: Mutex::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Cursor {
    version: Option<Etag>,
    window: Option<Window>,
    /// The window behind the current one, under way; dropped with the handle.
    ahead: JoinSet<Result<Window, FsError>>,
    ahead_range: Range<u64>,
    /// Where the next read of a sequential reader starts.
    next: u64,
    size: u64,
}

#[derive(Debug)]
struct Window {
    start: u64,
    bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Window {
    /// The bytes from `offset` on.
    fn from(&self, offset: u64) -> Option<Bytes> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (at < self.bytes.len()).then(|| self.bytes.slice(at..))
    }
}

impl Inner {
    /// Reads up to `size` bytes of a committed version.
    pub(crate) async fn read_stored(
        self: &Arc<Self>,
        handle: &Handle,
        stored: &Stored,
        offset: u64,
        size: u64,
    ) -> Result<Vec<u8>, FsError> {
        let end = offset.saturating_add(size).min(stored.len());
        if offset >= end {
            return Ok(Vec::new());
        }
        let mut cursor = handle.cursor.lock().await;
        if cursor.version.as_ref() != Some(stored.etag()) {
            *cursor = Cursor {
                version: Some(stored.etag().clone()),
                ..Cursor::default()
            };
        }
        let sequential = offset == cursor.next;
        let mut out = Vec::with_capacity(usize::try_from(end - offset).unwrap_or(0));
        let mut at = offset;
        while at < end {
            let mut part = cursor.window.as_ref().and_then(|window| window.from(at));
            if part.is_none() && cursor.ahead_range.contains(&at) {
                cursor.ahead_range = 0..0;
                if let Some(Ok(window)) = cursor.ahead.join_next().await {
                    cursor.window = Some(window?);
                    part = cursor.window.as_ref().and_then(|window| window.from(at));
                }
            }
            if part.is_none() {
                cursor.size = if sequential {
                    (cursor.size * 2).max(SMALLEST).min(self.options.window)
                } else {
                    0
                };
                let range = at..end.max(at.saturating_add(cursor.size)).min(stored.len());
                let window = self.window(&handle.file, stored, range, end - at).await?;
                part = window.from(at);
                cursor.window = Some(window);
            }
            let part = part.filter(|part| !part.is_empty()).ok_or(FsError::Stale)?;
            let want = usize::try_from(end - at).unwrap_or(usize::MAX);
            let now = part.slice(..part.len().min(want));
            out.extend_from_slice(&now);
            at += now.len() as u64;
        }
        cursor.next = end;
        if sequential {
            self.look_ahead(&mut cursor, &handle.file, stored, end);
        }
        Ok(out)
    }

    /// Starts to fetch the window behind the current one, once half of that is used.
    fn look_ahead(
        self: &Arc<Self>,
        cursor: &mut Cursor,
        file: &Arc<File>,
        stored: &Stored,
        at: u64,
    ) {
        let Some(window) = &cursor.window else { return };
        let length = window.bytes.len() as u64;
        let start = window.start + length;
        let unused = start.saturating_sub(at);
        if cursor.size == 0
            || start >= stored.len()
            || unused > length / 2
            || cursor.ahead_range.start == start
        {
            return;
        }
        cursor.size = (cursor.size * 2).max(SMALLEST).min(self.options.window);
        let range = start..start.saturating_add(cursor.size).min(stored.len());
        let Some(memory) = self.reserve(&range) else {
            return;
        };
        cursor.ahead.abort_all();
        cursor.ahead = JoinSet::new();
        cursor.ahead_range = range.clone();
        let (inner, file, stored) = (Arc::clone(self), Arc::clone(file), stored.clone());
        cursor.ahead.spawn(async move {
            let (start, bytes) = inner.fetch(&file.path, &stored, range).await?;
            Ok(Window {
                start,
                bytes,
                _memory: Some(memory),
            })
        });
    }

    /// Fetches a range; only its first `needed` bytes if there is no memory for all of it.
    async fn window(
        &self,
        file: &File,
        stored: &Stored,
        range: Range<u64>,
        needed: u64,
    ) -> Result<Window, FsError> {
        let memory = self.reserve(&range);
        let range = match &memory {
            Some(_) => range,
            None => range.start..range.end.min(range.start.saturating_add(needed)),
        };
        let (start, bytes) = self.fetch(&file.path, stored, range).await?;
        Ok(Window {
            start,
            bytes,
            _memory: memory,
        })
    }

    fn reserve(&self, range: &Range<u64>) -> Option<OwnedSemaphorePermit> {
        let units = units(range.end.saturating_sub(range.start));
        Arc::clone(&self.read_memory)
            .try_acquire_many_owned(units)
            .ok()
    }
}

/// Memory is counted in units of 64 KiB.
pub(crate) fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(64 << 10)).unwrap_or(u32::MAX)
}

/// A budget of memory.
pub(crate) fn memory(bytes: u64) -> Arc<Semaphore> {
    let units = usize::try_from(units(bytes)).unwrap_or(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
}
