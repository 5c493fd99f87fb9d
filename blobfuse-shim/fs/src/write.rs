//! Writing one file: blocks leave while it is written, a commit makes them a version.

use std::sync::Arc;
use std::time::SystemTime;

use blob_format::Attributes;
use blob_store::{BlockId, Condition, StoreError};
use bytes::Bytes;
use cleanroom_crypto::random;
use tokio::task::JoinSet;

use crate::encoder::Encoder;
use crate::file::{File, State};
use crate::handle::units;
use crate::inner::Inner;
use crate::{Changes, FsError, Mode};

/// What was written since a file was opened for writing.
#[derive(Debug)]
pub(crate) struct Draft {
    encoder: Encoder,
    /// The version that the next commit replaces.
    condition: Condition,
    writer: [u8; 8],
    sequence: u64,
    blocks: Vec<BlockId>,
    uploads: JoinSet<Result<(), FsError>>,
    dirty: bool,
    mode: u32,
    modified: Option<SystemTime>,
}

impl Draft {
    pub(crate) fn len(&self) -> u64 {
        self.encoder.len()
    }

    pub(crate) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    fn block(&mut self) -> BlockId {
        let id = BlockId::new(self.writer, self.sequence);
        self.sequence += 1;
        id
    }

    fn attributes(&self) -> Attributes {
        let time = self.modified.unwrap_or_else(SystemTime::now);
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = since.map_or(0, |since| since.as_nanos());
        Attributes {
            mtime_ns: u64::try_from(nanoseconds).unwrap_or(0),
            mode: self.mode,
        }
    }
}

impl Inner {
    /// A draft of a new file, or of new content for an existing version.
    pub(crate) fn draft(&self, condition: Condition) -> Result<Draft, FsError> {
        Ok(Draft {
            encoder: Encoder::new(self.mode, &self.dek)?,
            condition,
            writer: random::bytes().map_err(blob_format::FormatError::from)?,
            sequence: 0,
            blocks: Vec::new(),
            uploads: JoinSet::new(),
            dirty: true,
            mode: 0o644,
            modified: None,
        })
    }

    /// Makes sure that there is a draft. One that continues existing content is filled with it, since sealed extents
    /// cannot be taken over from a version whose blocks are unknown.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
        keep: bool,
    ) -> Result<(), FsError> {
        if let Some(draft) = &state.draft
            && (keep || draft.len() == 0)
        {
            return Ok(());
        }
        let condition = match (&state.draft, &state.stored) {
            (Some(draft), _) => draft.condition.clone(),
            (None, Some(stored)) => Condition::Match(stored.etag().clone()),
            (None, None) => Condition::Absent,
        };
        let mut draft = self.draft(condition)?;
        if let Some(stored) = state.stored.clone().filter(|_| keep) {
            if stored.len() > self.options.append_limit {
                return Err(FsError::TooLarge);
            }
            // Nothing is new yet.
            draft.dirty = false;
            let mut at = 0;
            while at < stored.len() {
                let end = at.saturating_add(self.options.window);
                let (start, bytes) = self.fetch(&file.path, &stored, at..end).await?;
                let skip = usize::try_from(at - start).unwrap_or(usize::MAX);
                let part = bytes.get(skip..).unwrap_or_default();
                if part.is_empty() {
                    return Err(FsError::Stale);
                }
                let blocks = draft.encoder.write(at, part)?;
                self.upload(file, &mut draft, blocks).await?;
                at += part.len() as u64;
            }
        }
        state.draft = Some(draft);
        Ok(())
    }

    pub(crate) async fn write_at(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
        offset: u64,
        data: &[u8],
    ) -> Result<(), FsError> {
        self.begin(file, state, true).await?;
        let Some(draft) = &mut state.draft else {
            return Err(FsError::Handle);
        };
        let blocks = draft.encoder.write(offset, data)?;
        draft.dirty = true;
        let outcome = self.upload(file, draft, blocks).await;
        self.keep_error(file, state, outcome)
    }

    pub(crate) async fn change(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
        changes: Changes,
    ) -> Result<(), FsError> {
        if let Some(size) = changes.size {
            self.begin(file, state, size != 0).await?;
            if let Some(draft) = &mut state.draft {
                let blocks = draft.encoder.set_len(size)?;
                draft.dirty = true;
                let outcome = self.upload(file, draft, blocks).await;
                self.keep_error(file, state, outcome)?;
            }
        }
        let records = matches!(self.mode, Mode::CseV2(_));
        if let Some(mode) = changes.mode {
            let Some(draft) = state.draft.as_mut().filter(|_| records) else {
                return Err(FsError::NotSupported(
                    "modes are recorded while a v2 file is written",
                ));
            };
            draft.mode = mode & 0o7777;
            draft.dirty = true;
        }
        match (changes.modified, &mut state.draft) {
            // A commit sets the present time anyway.
            (None, _) | (Some(None), Some(_)) => Ok(()),
            (Some(Some(time)), Some(draft)) if records => {
                draft.modified = Some(time);
                draft.dirty = true;
                Ok(())
            }
            _ => Err(FsError::NotSupported(
                "times are recorded while a v2 file is written",
            )),
        }
    }

    /// Starts the upload of blocks, waiting for memory.
    async fn upload(
        self: &Arc<Self>,
        file: &File,
        draft: &mut Draft,
        blocks: Vec<Vec<u8>>,
    ) -> Result<(), FsError> {
        for block in blocks {
            let need = units(block.len() as u64).min(units(self.options.write_memory));
            let memory = Arc::clone(&self.write_memory)
                .acquire_many_owned(need)
                .await
                .map_err(|_| FsError::Handle)?;
            let id = draft.block();
            draft.blocks.push(id);
            let (inner, path) = (Arc::clone(self), file.path.clone());
            draft.uploads.spawn(async move {
                let body = Bytes::from(block);
                let outcome = inner.bounded(inner.store.put_block(&path, id, body)).await;
                drop(memory);
                outcome
            });
            while let Some(done) = draft.uploads.try_join_next() {
                done.unwrap_or(Err(FsError::Handle))?;
            }
        }
        Ok(())
    }

    /// Makes everything written so far durable, or tells that it is not.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
    ) -> Result<(), FsError> {
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        let Some(draft) = state.draft.as_mut().filter(|draft| draft.dirty) else {
            return Ok(());
        };
        let outcome = self.publish(file, draft).await;
        // A conflict shows that the listing is old, too.
        self.directories.changed(&file.path);
        if outcome.is_ok() {
            // The new version is looked at when somebody reads it.
            state.stored = None;
        }
        self.keep_error(file, state, outcome)
    }

    async fn publish(&self, file: &File, draft: &mut Draft) -> Result<(), FsError> {
        let _gate = self.changing().await?;
        while let Some(done) = draft.uploads.join_next().await {
            done.unwrap_or(Err(FsError::Handle))?;
        }
        let attributes = draft.attributes();
        let tail = draft.encoder.commit(&file.path, attributes)?;
        let body = Bytes::from(tail.bytes);
        let path = file.path.as_str();
        let committed = if draft.blocks.is_empty() {
            let put = self.store.put_blob(path, body, &draft.condition);
            self.at_commit(put).await?
        } else {
            let mut blocks = draft.blocks.clone();
            if !body.is_empty() {
                let id = draft.block();
                blocks.push(id);
                self.bounded(self.store.put_block(path, id, body)).await?;
            }
            let put = self.store.put_block_list(path, &blocks, &draft.condition);
            self.at_commit(put).await?
        };
        draft.condition = Condition::Match(committed.clone());
        draft.dirty = false;
        self.written(path, committed, tail.entry);
        Ok(())
    }

    async fn at_commit<T>(
        &self,
        put: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, FsError> {
        let put = tokio::time::timeout(self.options.deadline, put).await;
        match put.unwrap_or(Err(StoreError::Deadline(self.options.deadline))) {
            Err(StoreError::Changed | StoreError::Exists | StoreError::BlocksGone) => {
                Err(FsError::Conflict)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Data that did not reach storage is never forgotten silently.
    fn keep_error(
        &self,
        file: &File,
        state: &mut State,
        outcome: Result<(), FsError>,
    ) -> Result<(), FsError> {
        if let Err(error) = &outcome {
            state.error = Some(error.clone());
            self.lost(&file.path);
        }
        outcome
    }
}
