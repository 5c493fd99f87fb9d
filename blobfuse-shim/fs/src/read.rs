//! Reading: what was written and not committed from memory, the rest from the cache or from storage.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::MutexGuard;

use crate::FsError;
use crate::buffers::Buffer;
use crate::cache::{Chunk, ContentId, Found, Key};
use crate::draft::Extent;
use crate::file::{File, Handle, State};
use crate::inner::Inner;
use crate::version::Version;

/// Sealed content up to this size is opened where it arrives; more, on a thread for such work.
pub(crate) const INLINE: u64 = 128 << 10;
/// A version can be replaced while it is read; who loses this often in a row is told.
const ATTEMPTS: usize = 64;

/// What a reader sees at one moment.
struct View {
    out: Vec<u8>,
    gaps: Vec<Gap>,
    /// The version, if nothing was written since.
    version: Option<Arc<Version>>,
}

/// A part of one extent that is not in the draft's memory.
struct Gap {
    /// Position in the answer.
    at: usize,
    index: u64,
    unit: u64,
    clear: Range<u64>,
    content: ContentId,
    /// Where it can be fetched; staged content cannot be read before it is committed.
    source: Option<Arc<Version>>,
}

enum Filled {
    Yes,
    /// The content is staged and no longer in memory.
    NeedsCommit,
}

impl Inner {
    /// Reads; fewer bytes than asked only at the end of the file.
    pub(crate) async fn read_at(
        self: &Arc<Self>,
        handle: &Handle,
        offset: u64,
        size: u64,
    ) -> Result<Bytes, FsError> {
        match self.share(handle, offset, size).await {
            Ok(Some(bytes)) => return Ok(bytes),
            // What is not in one place is put together, and a version that was replaced is looked for again.
            Ok(None) | Err(FsError::Stale) => {}
            Err(error) => return Err(error),
        }
        // A longer request than the kernel ever makes is answered as far as the share for answers goes.
        let size = size.min(self.options.answers());
        let pages = u32::try_from(size.div_ceil(4096)).unwrap_or(u32::MAX);
        let _answer = self.answers.acquire_many(pages).await;
        let file = &handle.file;
        for _ in 0..ATTEMPTS {
            let mut view = self.view(handle, offset, size).await?;
            if let Some(version) = &view.version {
                self.look_ahead(handle, version, offset, offset + view.out.len() as u64);
            }
            let mut outcome = Ok(Filled::Yes);
            for gap in &view.gaps {
                let out = view.out.get_mut(gap.at..).unwrap_or_default();
                outcome = self.fill(file, gap, out).await;
                if !matches!(outcome, Ok(Filled::Yes)) {
                    break;
                }
            }
            match outcome {
                Ok(Filled::Yes) => return Ok(view.out.into()),
                Ok(Filled::NeedsCommit) => {
                    let mut state = file.state.lock().await;
                    self.spill(file, &mut state).await?;
                }
                Err(FsError::Stale) => {
                    let etags = view.gaps.iter().filter_map(|gap| gap.source.as_ref());
                    self.check_replaced(file, etags).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(FsError::Stale)
    }

    /// Reads without a copy, if one buffer of the cache holds all of it or one request can bring it.
    async fn share(
        self: &Arc<Self>,
        handle: &Handle,
        offset: u64,
        size: u64,
    ) -> Result<Option<Bytes>, FsError> {
        let gap = {
            let state = self.readable(handle).await?;
            let Some((gap, version)) = state.single(offset, size) else {
                return Ok(None);
            };
            drop(state);
            if let Some(version) = version {
                let end = offset + (gap.clear.end - gap.clear.start);
                self.look_ahead(handle, &version, offset, end);
            }
            gap
        };
        let unit = gap.unit;
        let (first, end) = (gap.clear.start / unit, gap.clear.end.div_ceil(unit));
        let key = Key {
            content: gap.content,
            unit: first,
        };
        let chunk = loop {
            match self.cache.find(key) {
                Found::Ready(chunk) => break chunk,
                Found::Pending(mut done) => drop(done.changed().await),
                Found::Missing => {
                    let Some(source) = &gap.source else {
                        return Ok(None);
                    };
                    let fetched = self.fetch(&handle.file, source, gap.index, first..end);
                    if let Some(chunk) = fetched.await?.into_iter().next() {
                        break chunk;
                    }
                }
            }
        };
        let within = |at: u64| usize::try_from(at - first * unit).unwrap_or(usize::MAX);
        let range = within(gap.clear.start)..within(gap.clear.end);
        Ok((range.end <= chunk.rest.len()).then(|| chunk.rest.slice(range)))
    }

    /// After a failed fetch: fine if a commit of ours replaced what was asked for, else the file is stale.
    async fn check_replaced<'a>(
        self: &Arc<Self>,
        file: &File,
        mut asked: impl Iterator<Item = &'a Arc<Version>> + Send,
    ) -> Result<(), FsError> {
        let mut state = file.state.lock().await;
        if self.source.is_some() {
            // Whatever storage has now under this name: it is the same content, or an error.
            state.stored = Some(Arc::new(self.load(&file.path(), None).await?));
            return Ok(());
        }
        let base = state.draft.as_ref().and_then(|draft| draft.base.as_ref());
        let now = base.or(state.stored.as_ref());
        if asked.any(|asked| now.is_some_and(|now| now.info.etag != asked.info.etag)) {
            return Ok(());
        }
        state.stale = true;
        Err(FsError::Stale)
    }

    async fn view(
        self: &Arc<Self>,
        handle: &Handle,
        offset: u64,
        size: u64,
    ) -> Result<View, FsError> {
        Ok(self.readable(handle).await?.view(offset, size))
    }

    /// The state of a file that a handle can read.
    async fn readable<'a>(
        self: &Arc<Self>,
        handle: &'a Handle,
    ) -> Result<MutexGuard<'a, State>, FsError> {
        let mut state = handle.file.state.lock().await;
        state.check(Some(handle.epoch))?;
        if state.draft.is_none() && state.stored.is_none() {
            state.stored = Some(Arc::new(self.load(&handle.file.path(), None).await?));
        }
        Ok(state)
    }

    async fn fill(
        self: &Arc<Self>,
        file: &File,
        gap: &Gap,
        out: &mut [u8],
    ) -> Result<Filled, FsError> {
        let unit = gap.unit;
        let end = gap.clear.end.div_ceil(unit);
        let mut at = gap.clear.start / unit;
        while at < end {
            let key = Key {
                content: gap.content,
                unit: at,
            };
            match self.cache.find(key) {
                Found::Ready(chunk) => {
                    copy(&chunk.bytes, at * unit, &gap.clear, out);
                    at += 1;
                }
                // The sender is dropped when the fetch has ended, well or not.
                Found::Pending(mut done) => drop(done.changed().await),
                Found::Missing => {
                    let Some(source) = &gap.source else {
                        return Ok(Filled::NeedsCommit);
                    };
                    for chunk in self.fetch(file, source, gap.index, at..end).await? {
                        copy(&chunk.bytes, at * unit, &gap.clear, out);
                        at += 1;
                    }
                }
            }
        }
        Ok(Filled::Yes)
    }

    /// Fetches units of an extent into the cache, as far as nobody else does; waits for memory.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        file: &File,
        version: &Arc<Version>,
        index: u64,
        units: Range<u64>,
    ) -> Result<Vec<Chunk>, FsError> {
        let pending = self.cache.announce(version.contents.of(index), units);
        if pending.units.is_empty() {
            return Ok(Vec::new());
        }
        let clear = clear_range(version, index, &pending.units);
        let need = version.frame.room(index, clear.clone());
        let mut memory = self.room(need).await?;
        let bytes = self.open(file, version, index, clear).await?;
        memory.shrink(bytes.as_ref().len() as u64);
        let unit = usize::try_from(version.frame.unit()).unwrap_or(usize::MAX);
        let content = version.contents.of(index);
        let chunks = self
            .cache
            .keep(content, pending.units.start, unit, bytes, memory);
        self.give_way();
        Ok(chunks)
    }

    /// Gets and opens a part of an extent; the caller has the memory for it.
    pub(crate) async fn open(
        &self,
        file: &File,
        version: &Arc<Version>,
        index: u64,
        clear: Range<u64>,
    ) -> Result<Buffer, FsError> {
        let stored = version.frame.stored(index, clear.clone());
        let sealed = self.get(&file.path(), stored, &version.info.etag).await;
        let sealed = match sealed {
            // It was there when it was opened.
            Err(FsError::NotFound) => return Err(FsError::Stale),
            sealed => sealed?,
        };
        let version = Arc::clone(version);
        let size = clear.end - clear.start;
        let buffers = Arc::clone(&self.buffers);
        let work = move || {
            let spare = |length: usize| buffers.take(length).into_vec();
            let opened = version.frame.open_with(index, clear, &sealed, &spare);
            buffers.give_back(sealed);
            let opened = opened?;
            match opened.len() as u64 == size {
                true => Ok(buffers.wrap(opened)),
                false => Err(FsError::Stale),
            }
        };
        let opened = if size <= INLINE {
            work()
        } else {
            blocking(work).await
        };
        opened.inspect_err(|error| self.findings.report(&self.dek, &file.path(), error))
    }
}

/// Runs work that takes the processor for a while.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FsError> + Send + 'static,
) -> Result<T, FsError> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or(Err(FsError::Handle))
}

/// The clear bytes of units within an extent.
pub(crate) fn clear_range(version: &Version, index: u64, units: &Range<u64>) -> Range<u64> {
    let unit = version.frame.unit();
    let end = (units.end * unit).min(version.extent_len(index));
    units.start * unit..end
}

/// Copies what a unit that starts at `start` holds of `clear`; `out` starts where `clear` does.
fn copy(unit: &[u8], start: u64, clear: &Range<u64>, out: &mut [u8]) {
    let from = usize::try_from(clear.start.saturating_sub(start)).unwrap_or(usize::MAX);
    let to = usize::try_from(start.saturating_sub(clear.start)).unwrap_or(usize::MAX);
    let source = unit.get(from..).unwrap_or_default();
    let length = usize::try_from(clear.end - clear.start).unwrap_or(usize::MAX);
    let target = out.get_mut(..length).unwrap_or_default();
    let target = target.get_mut(to..).unwrap_or_default();
    let length = target.len().min(source.len());
    if let (Some(target), Some(source)) = (target.get_mut(..length), source.get(..length)) {
        target.copy_from_slice(source);
    }
}

impl State {
    /// Whether a handle that was opened in an epoch can go on.
    pub(crate) fn check(&self, epoch: Option<u64>) -> Result<(), FsError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if self.stale || epoch.is_some_and(|epoch| epoch != self.epoch) {
            return Err(FsError::Stale);
        }
        Ok(())
    }

    /// Length of the file, and its sizes of extents and units.
    fn sizes(&self) -> Option<(u64, u64, u64)> {
        match (&self.draft, &self.stored) {
            (Some(draft), _) => Some((draft.len, draft.codec.extent(), draft.codec.unit())),
            (None, Some(stored)) => {
                let frame = &stored.frame;
                Some((stored.len, frame.extent(), frame.unit()))
            }
            (None, None) => None,
        }
    }

    /// The version, if nothing was written since.
    fn unwritten(&self) -> Option<Arc<Version>> {
        match &self.draft {
            Some(draft) if draft.dirty => None,
            Some(draft) => draft.base.clone(),
            None => self.stored.clone(),
        }
    }

    /// What a read needs, if that is a part of one extent that was not written since; with the version as
    /// [`State::unwritten`].
    fn single(&self, offset: u64, size: u64) -> Option<(Gap, Option<Arc<Version>>)> {
        let (len, extent, unit) = self.sizes()?;
        let end = offset.saturating_add(size).min(len);
        let index = offset / extent;
        let start = index * extent;
        if offset >= end || end > start + extent {
            return None;
        }
        let source = match &self.draft {
            Some(draft) => draft.clean(index)?,
            None => self.stored.as_ref()?,
        };
        let gap = Gap {
            at: 0,
            index,
            unit,
            clear: offset - start..end - start,
            content: source.contents.of(index),
            source: Some(Arc::clone(source)),
        };
        Some((gap, self.unwritten()))
    }

    fn view(&self, offset: u64, size: u64) -> View {
        let Some((len, extent, unit)) = self.sizes() else {
            return View::empty();
        };
        let end = offset.saturating_add(size).min(len);
        if offset >= end {
            return View::empty();
        }
        let mut view = View {
            out: vec![0; usize::try_from(end - offset).unwrap_or(0)],
            gaps: Vec::new(),
            version: self.unwritten(),
        };
        let mut position = offset;
        while position < end {
            let index = position / extent;
            let start = index * extent;
            let clear = position - start..end.min(start + extent) - start;
            let at = usize::try_from(position - offset).unwrap_or(usize::MAX);
            position = start + clear.end;
            let mut gap = |content, source| {
                let clear = clear.clone();
                view.gaps.push(Gap {
                    at,
                    index,
                    unit,
                    clear,
                    content,
                    source,
                });
            };
            let changed = self
                .draft
                .as_ref()
                .and_then(|draft| draft.extents.get(&index));
            let clean = match &self.draft {
                Some(draft) => draft.clean(index),
                None => self.stored.as_ref(),
            };
            match (changed, clean) {
                (Some(Extent::Dirty(buffer)), _) => {
                    let out = view.out.get_mut(at..).unwrap_or_default();
                    copy(&buffer.bytes, 0, &clear, out);
                }
                (Some(Extent::Staged { content, .. }), _) => gap(*content, None),
                (None, Some(version)) => {
                    gap(version.contents.of(index), Some(Arc::clone(version)));
                }
                (Some(Extent::Zero), _) | (None, None) => {}
            }
        }
        view
    }
}

impl View {
    const fn empty() -> Self {
        Self {
            out: Vec::new(),
            gaps: Vec::new(),
            version: None,
        }
    }
}
