//! From a draft to a version: seal, stage, and name all blocks in one conditional commit.

use std::sync::Arc;
use std::time::SystemTime;

use blob_format::manifest::Entry;
use blob_store::{BlobInfo, BlockId, Condition, Etag, StoreError};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::FsError;
use crate::cache::ContentId;
use crate::codec::{Codec, Frame, Mark};
use crate::draft::{Draft, Extent, Uploaded};
use crate::file::{File, State};
use crate::inner::{Inner, lock};
use crate::read::{INLINE, blocking};
use crate::version::{Contents, Version};

impl Inner {
    /// Makes everything written so far durable, or tells that it is not.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
    ) -> Result<(), FsError> {
        self.check_commit(file, state)?;
        if file.is_unlinked() {
            // Nobody can ever see it.
            return Ok(());
        }
        self.publish(file, state).await
    }

    /// As [`Inner::commit`], to get memory back: also content that nobody will see has to go somewhere.
    pub(crate) async fn spill(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
    ) -> Result<(), FsError> {
        self.check_commit(file, state)?;
        if file.is_severed() {
            return self.fail(file, state, FsError::Stale);
        }
        self.publish(file, state).await?;
        self.give_way();
        Ok(())
    }

    /// Refuses after a failure. A draft that is still there is of a commit that was cut off: it is lost.
    fn check_commit(&self, file: &File, state: &mut State) -> Result<(), FsError> {
        match state.error.clone() {
            None => Ok(()),
            Some(error) if state.draft.is_some() => self.fail(file, state, error),
            Some(error) => Err(error),
        }
    }

    async fn publish(self: &Arc<Self>, file: &File, state: &mut State) -> Result<(), FsError> {
        let Some(draft) = state.draft.as_mut().filter(|draft| draft.dirty) else {
            return Ok(());
        };
        let path = file.path();
        let base = draft.base.clone();
        // A commit that is cut off leaves a draft that no other commit may use: part of it is placed or sent.
        state.error = Some(FsError::Lost(1));
        let outcome = self.try_publish(file, &path, draft).await;
        state.error = None;
        match outcome {
            Ok(version) => {
                self.committed(file, base.as_deref(), &path, &version);
                self.replaced(&path, state.stored.as_deref(), &version);
                self.measured(&path, &version);
                if !file.is_unlinked() {
                    self.directories.committed(&path, &version.info);
                }
                state.stored = Some(version);
                file.show(state);
                Ok(())
            }
            Err(error) => {
                // A conflict shows that the listing is old, too.
                self.directories.changed(&path);
                self.fail(file, state, error)
            }
        }
    }

    /// Data that did not reach storage is never forgotten silently.
    pub(crate) fn fail(
        &self,
        file: &File,
        state: &mut State,
        error: FsError,
    ) -> Result<(), FsError> {
        state.error = Some(error.clone());
        state.draft = None;
        file.failed();
        if !file.is_unlinked() {
            let path = file.path();
            self.lost(&path);
            lock(&self.nodes).distrust(&path);
        }
        Err(error)
    }

    async fn try_publish(
        self: &Arc<Self>,
        file: &File,
        path: &str,
        draft: &mut Draft,
    ) -> Result<Arc<Version>, FsError> {
        let _gate = self.changing().await?;
        if is_small(draft) {
            return self.publish_small(path, draft).await;
        }
        let changed: Vec<u64> = draft.extents.keys().copied().collect();
        for index in changed {
            self.stage(file, draft, index).await?;
            // The first failure ends it.
            self.settle(draft)?;
        }
        let mut blocks = self.all_blocks(path, draft).await?;
        let contents = contents(draft, self.cache.contents(1));
        let committed = {
            let attributes = draft.attributes();
            let marks = take_marks(draft);
            draft.codec.commit(path, draft.len, marks, attributes)?
        };
        let trailer = committed.trailer;
        if !trailer.is_empty() {
            let (id, size) = (draft.staging.block(), trailer.len() as u64);
            let put = self.store.put_block(path, id, trailer.into());
            self.bounded(put).await?;
            blocks.push((id, size));
        }
        let ids: Vec<BlockId> = blocks.iter().map(|(id, _)| *id).collect();
        let store = &self.store;
        let put = store.put_block_list_with(path, &ids, &committed.metadata, &draft.condition);
        let etag = self.at_commit(put).await?;
        let size = blocks.iter().map(|(_, size)| size).sum();
        let entry = committed.entry.or_else(|| plain_entry(path, draft));
        let made = Made {
            etag,
            size,
            frame: committed.frame,
            contents,
            blocks,
            entry,
        };
        done(draft, made)
    }

    /// One request for a file of one extent.
    async fn publish_small(
        self: &Arc<Self>,
        path: &str,
        draft: &mut Draft,
    ) -> Result<Arc<Version>, FsError> {
        let _slot = self.slot(draft.codec.extent()).await?;
        let mut contents = Contents::new(self.cache.contents(1));
        let content = self.cache.contents(1);
        contents.changed.insert(0, content);
        let mut marks = Vec::new();
        let mut body = draft.codec.header();
        let mut kept = None;
        if let Some(Extent::Dirty(buffer)) = draft.extents.remove(&0) {
            if let Some(digest) = &mut draft.digest {
                let whole = buffer.bytes.len() as u64 == draft.codec.extent();
                digest.staged(0, &buffer.bytes, whole);
            }
            let (bytes, codec) = (Bytes::from(buffer.bytes), Arc::clone(&draft.codec));
            kept = Some((bytes.clone(), buffer.memory));
            let (sealed, mark) = in_place_or_not(bytes, codec).await?;
            body = sealed;
            marks.push(mark);
        }
        let attributes = draft.attributes();
        let committed = draft.codec.commit(path, draft.len, marks, attributes)?;
        body.extend_from_slice(&committed.trailer);
        let size = body.len() as u64;
        let (store, metadata) = (&self.store, &committed.metadata);
        let put = store.put_blob_with(path, body.into(), metadata, &draft.condition);
        let etag = self.at_commit(put).await?;
        if let Some((bytes, memory)) = kept {
            let unit = usize::try_from(draft.codec.unit()).unwrap_or(usize::MAX);
            self.cache.keep(content, 0, unit, bytes, memory);
        }
        let entry = committed.entry.or_else(|| plain_entry(path, draft));
        let made = Made {
            etag,
            size,
            frame: committed.frame,
            contents,
            blocks: Vec::new(),
            entry,
        };
        done(draft, made)
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

    /// Seals a changed extent and sends it on its way; its clear bytes move to the cache. Waits for a slot.
    pub(crate) async fn stage(
        self: &Arc<Self>,
        file: &File,
        draft: &mut Draft,
        index: u64,
    ) -> Result<(), FsError> {
        if let Some(Extent::Zero | Extent::Dirty(_)) = draft.extents.get(&index) {
            let slot = self.slot(draft.codec.extent()).await?;
            self.send(file, draft, index, slot);
        }
        Ok(())
    }

    /// As [`Inner::stage`], of an extent that is not staged, with a slot.
    pub(crate) fn send(
        self: &Arc<Self>,
        file: &File,
        draft: &mut Draft,
        index: u64,
        slot: OwnedSemaphorePermit,
    ) {
        let len = draft.extent_len(index);
        let extent = draft.extents.remove(&index);
        let content = self.cache.contents(1);
        let is_whole = len == draft.codec.extent();
        let clear = match extent {
            Some(Extent::Dirty(buffer)) => {
                if let Some(digest) = &mut draft.digest {
                    digest.staged(index, &buffer.bytes, is_whole);
                }
                let bytes = self.buffers.wrap(buffer.bytes);
                let unit = usize::try_from(draft.codec.unit()).unwrap_or(usize::MAX);
                let chunks = self.cache.keep(content, 0, unit, bytes, buffer.memory);
                chunks.into_iter().next()
            }
            _ => {
                // Zeros lie in the slot's memory and are not worth keeping.
                draft.digest = None;
                None
            }
        };
        let block = draft.staging.block();
        draft.extents.insert(
            index,
            Extent::Staged {
                block,
                content,
                done: None,
            },
        );
        let (inner, path, codec) = (Arc::clone(self), file.path(), Arc::clone(&draft.codec));
        draft.staging.uploads.spawn(async move {
            let buffers = Arc::clone(&inner.buffers);
            let sealed = blocking(move || match clear {
                Some(clear) => {
                    let mut out = buffers.wrap(Vec::new());
                    let spare = |length: usize| buffers.room(length);
                    let mark = codec.seal_into(index, &clear.rest, &mut out.bytes, &spare)?;
                    Ok((out, mark))
                }
                None => {
                    let (sealed, mark) = codec.seal_zeros(index, len)?;
                    Ok((buffers.wrap(sealed), mark))
                }
            });
            let (sealed, mark) = sealed.await?;
            inner.give_way();
            let len = sealed.bytes.len() as u64;
            let put = inner
                .store
                .put_block(&path, block, Bytes::from_owner(sealed));
            inner.bounded(put).await?;
            drop(slot);
            Ok(Uploaded {
                index,
                block,
                mark,
                len,
            })
        });
    }

    /// Takes note of uploads that have ended.
    pub(crate) fn settle(&self, draft: &mut Draft) -> Result<(), FsError> {
        while let Some(done) = draft.staging.uploads.try_join_next() {
            let uploaded = done.unwrap_or(Err(FsError::Handle))?;
            draft.uploaded(uploaded);
        }
        Ok(())
    }
}

/// What a commit made.
struct Made {
    etag: Etag,
    size: u64,
    frame: Arc<dyn Frame>,
    contents: Contents,
    blocks: Vec<(BlockId, u64)>,
    entry: Option<Entry>,
}

fn done(draft: &mut Draft, made: Made) -> Result<Arc<Version>, FsError> {
    let version = Arc::new(Version {
        info: BlobInfo {
            etag: made.etag.clone(),
            length: made.size,
            modified: SystemTime::now(),
            directory: false,
        },
        len: draft.len,
        frame: made.frame,
        contents: made.contents,
        blocks: Some(made.blocks),
        attributes: draft.attributes(),
        entry: made.entry,
    });
    draft.extents.clear();
    draft.kept = draft.extents();
    draft.condition = Condition::Match(made.etag.clone());
    draft.base = Some(Arc::clone(&version));
    draft.dirty = false;
    draft.time = None;
    if draft.codec.seals_once() {
        draft.codec = version.frame.edit()?;
    }
    Ok(version)
}

/// Seals a first extent: here if it is short, else on a thread for such work.
async fn in_place_or_not(bytes: Bytes, codec: Arc<dyn Codec>) -> Result<(Vec<u8>, Mark), FsError> {
    if bytes.len() as u64 <= INLINE {
        return codec.seal(0, &bytes);
    }
    blocking(move || codec.seal(0, &bytes)).await
}

/// Whether the whole file can be written by one request.
fn is_small(draft: &Draft) -> bool {
    match draft.extents() {
        0 => true,
        1 => matches!(draft.extents.get(&0), Some(Extent::Dirty(_))),
        _ => false,
    }
}

/// What was sealed since the last commit; the blocks are listed already.
fn take_marks(draft: &mut Draft) -> Vec<Mark> {
    let done = draft.extents.values_mut().map(|extent| match extent {
        Extent::Staged { done, .. } => done.take().and_then(|(mark, _)| mark),
        Extent::Dirty(_) | Extent::Zero => None,
    });
    done.collect()
}

fn contents(draft: &Draft, unused: ContentId) -> Contents {
    let mut contents = match &draft.base {
        Some(base) => base.contents.clone(),
        None => Contents::new(unused),
    };
    let count = draft.extents();
    contents.changed.retain(|index, _| *index < count);
    for (index, extent) in &draft.extents {
        if let Extent::Staged { content, .. } = extent {
            contents.changed.insert(*index, *content);
        }
    }
    contents
}

fn plain_entry(path: &str, draft: &Draft) -> Option<Entry> {
    let whole = draft.len / draft.codec.extent();
    let is_partial = !draft.len.is_multiple_of(draft.codec.extent());
    Some(Entry {
        path: path.to_owned(),
        length: draft.len,
        file_id: [0; 16],
        generation: 0,
        authenticator: draft.digest.as_ref()?.finish(whole, is_partial)?,
    })
}
