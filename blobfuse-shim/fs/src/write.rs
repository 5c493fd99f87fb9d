//! Writing at any offset: changed extents are kept in memory whole and leave when they are full or memory is short.

use std::sync::Arc;

use blob_store::Condition;

use crate::budget::Memory;
use crate::cache::{ContentId, Found, Key};
use crate::codec::extents;
use crate::draft::{Buffer, Draft, Extent};
use crate::file::{File, State};
use crate::inner::Inner;
use crate::{Changes, FsError, Mode};

/// Blocks of a blob that the service commits, less the trailer's.
const MOST_EXTENTS: u64 = 49_999;
/// Smallest allocation for an extent, in bytes.
const SMALLEST: u64 = 4096;

impl Inner {
    /// A draft of a new file.
    pub(crate) fn create_draft(&self, condition: Condition) -> Result<Box<Draft>, FsError> {
        let codec = self.layout.create()?;
        let mut draft = Draft::new(codec, None, condition)?;
        draft.dirty = true;
        Ok(Box::new(draft))
    }

    /// Makes sure that there is a draft: changes to what is stored.
    pub(crate) fn begin<'a>(&self, state: &'a mut State) -> Result<&'a mut Draft, FsError> {
        let draft = match (state.draft.take(), &state.stored) {
            (Some(draft), _) => draft,
            (None, Some(stored)) => {
                let condition = Condition::Match(stored.info.etag.clone());
                let codec = stored.frame.edit()?;
                Box::new(Draft::new(codec, Some(Arc::clone(stored)), condition)?)
            }
            (None, None) => return Err(FsError::Handle),
        };
        Ok(state.draft.insert(draft))
    }

    /// Replaces all content by nothing.
    pub(crate) fn begin_empty(&self, state: &mut State) -> Result<(), FsError> {
        let condition = match (&state.draft, &state.stored) {
            (Some(draft), _) => draft.condition.clone(),
            (None, Some(stored)) => Condition::Match(stored.info.etag.clone()),
            (None, None) => Condition::Absent,
        };
        // Uploads that are under way end with their draft; what they staged is not in the next commit.
        state.draft = Some(self.create_draft(condition)?);
        Ok(())
    }

    pub(crate) async fn write_at(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
        offset: u64,
        data: &[u8],
    ) -> Result<(), FsError> {
        let draft = self.begin(state)?;
        let end = self.check_len(draft, offset.checked_add(data.len() as u64))?;
        if data.is_empty() {
            return Ok(());
        }
        let is_sequential = offset == draft.next;
        draft.next = end;
        if offset > draft.len {
            self.extend(file, state, offset).await?;
        }
        let extent = self.begin(state)?.codec.extent();
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let index = at / extent;
            let within = at - index * extent;
            let room = usize::try_from(extent - within).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(room));
            let stop = within + now.len() as u64;
            self.make_dirty(file, state, index, within, stop).await?;
            let draft = self.begin(state)?;
            if let Some(Extent::Dirty(buffer)) = draft.extents.get_mut(&index) {
                buffer.put(within, now);
            }
            at += now.len() as u64;
            draft.len = draft.len.max(at);
            draft.dirty = true;
            if is_sequential && stop == extent {
                self.stage(file, draft, index).await?;
                if let Err(error) = self.settle(draft) {
                    return self.fail(file, state, error);
                }
            }
            rest = later;
        }
        if self.budget.is_short() {
            self.spill(file, state).await?;
        }
        Ok(())
    }

    /// Changes the length; what is added reads as zeros.
    pub(crate) async fn set_len(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
        len: u64,
    ) -> Result<(), FsError> {
        if len == 0 {
            return self.begin_empty(state);
        }
        let draft = self.begin(state)?;
        self.check_len(draft, Some(len))?;
        if len > draft.len {
            self.extend(file, state, len).await?;
        } else if len < draft.len {
            if draft.codec.seals_once() && draft.is_staged() {
                // What is cut off must not be sealed again before the next version.
                self.spill(file, state).await?;
            }
            let draft = self.begin(state)?;
            let extent = draft.codec.extent();
            let (index, within) = (len / extent, len % extent);
            if within > 0 {
                self.make_dirty(file, state, index, within, within).await?;
            }
            let draft = self.begin(state)?;
            if let Some(Extent::Dirty(buffer)) = draft.extents.get_mut(&index) {
                buffer
                    .bytes
                    .truncate(usize::try_from(within).unwrap_or(usize::MAX));
            }
            draft.len = len;
            draft.cut(draft.extents());
            draft.dirty = true;
        }
        Ok(())
    }

    /// Grows a file by zeros. Whole extents of them need no memory.
    async fn extend(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
        len: u64,
    ) -> Result<(), FsError> {
        let draft = self.begin(state)?;
        if len - draft.len > self.options.hole_limit {
            return Err(FsError::TooLarge);
        }
        let (extent, old) = (draft.codec.extent(), draft.len);
        let (last, within) = (old / extent, old % extent);
        if within > 0 {
            // The last extent is sealed with its length, so it cannot stay as it is.
            let stop = (len - last * extent).min(extent);
            if let Some(Extent::Zero) = draft.extents.get(&last) {
                // Zeros stay zeros.
            } else {
                self.make_dirty(file, state, last, within, stop).await?;
                let draft = self.begin(state)?;
                if let Some(Extent::Dirty(buffer)) = draft.extents.get_mut(&last) {
                    let stop = usize::try_from(stop).unwrap_or(usize::MAX);
                    buffer.bytes.resize(stop, 0);
                }
            }
        }
        let draft = self.begin(state)?;
        for index in old.div_ceil(extent)..extents(extent, len) {
            draft.extents.insert(index, Extent::Zero);
        }
        draft.len = len;
        draft.dirty = true;
        Ok(())
    }

    fn check_len(&self, draft: &Draft, len: Option<u64>) -> Result<u64, FsError> {
        let most = draft.codec.extent().saturating_mul(MOST_EXTENTS);
        len.filter(|len| *len <= most).ok_or(FsError::TooLarge)
    }

    /// Brings an extent into memory, with room up to `stop`; its content is not needed if `from..stop` covers it.
    async fn make_dirty(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
        index: u64,
        from: u64,
        stop: u64,
    ) -> Result<(), FsError> {
        loop {
            let draft = self.begin(state)?;
            let extent = draft.codec.extent();
            let have = draft.extent_len(index);
            let room = capacity(stop.max(have), extent);
            if let Some(Extent::Dirty(buffer)) = draft.extents.get_mut(&index) {
                if buffer.bytes.capacity() as u64 >= stop {
                    return Ok(());
                }
                if let Some(memory) = self.cache.make_room(&self.budget, room) {
                    return buffer.grow(room, memory);
                }
                // Nobody waits for memory while holding some.
                self.spill(file, state).await?;
                continue;
            }
            if draft.codec.seals_once()
                && matches!(draft.extents.get(&index), Some(Extent::Staged { .. }))
            {
                // It must not be sealed again before the next version.
                self.spill(file, state).await?;
                continue;
            }
            let is_covered = have == 0 || (from == 0 && stop >= have);
            let is_zero = matches!(draft.extents.get(&index), Some(Extent::Zero));
            let base = draft.clean(index).cloned().filter(|_| !is_covered);
            let need = match &base {
                // A copy is made once, when a fetched extent gets its room to grow.
                Some(base) => (room + have).max(base.frame.room(index, 0..have)),
                None => room,
            };
            let Some(mut memory) = self.room_for_writing(file, state, need).await? else {
                continue;
            };
            let draft = self.begin(state)?;
            let content = match (&base, draft.extents.get(&index)) {
                (Some(base), _) => Some(base.contents.of(index)),
                (None, Some(Extent::Staged { content, .. })) if !is_covered => Some(*content),
                _ => None,
            };
            let mut bytes = Vec::new();
            if let Some(content) = content
                && !self.copy_cached(content, have, draft.codec.unit(), &mut bytes)
            {
                let Some(base) = &base else {
                    // Staged content can only be read back once it is committed.
                    drop((bytes, memory));
                    self.spill(file, state).await?;
                    continue;
                };
                bytes = self.open(file, base, index, 0..have).await?.into();
            }
            if is_zero && !is_covered {
                bytes.resize(usize::try_from(have).unwrap_or(0), 0);
            }
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            bytes.reserve_exact(room.saturating_sub(bytes.len()));
            memory.shrink(room as u64);
            let buffer = Buffer { bytes, memory };
            draft.extents.insert(index, Extent::Dirty(buffer));
            return Ok(());
        }
    }

    /// Copies a whole extent from the cache; `false` if it is not there.
    fn copy_cached(&self, content: ContentId, len: u64, unit: u64, out: &mut Vec<u8>) -> bool {
        let is_there = (0..len.div_ceil(unit)).all(|unit| {
            let found = self.cache.find(Key { content, unit });
            if let Found::Ready(chunk) = &found {
                out.extend_from_slice(&chunk.bytes);
            }
            matches!(found, Found::Ready(_))
        });
        is_there && out.len() as u64 == len
    }

    /// Memory for a writer: from the cache, else from what he wrote himself, else he waits for others. `None` if what
    /// he knew of his draft may have changed meanwhile.
    async fn room_for_writing(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
        bytes: u64,
    ) -> Result<Option<Memory>, FsError> {
        if let Some(memory) = self.cache.make_room(&self.budget, bytes) {
            return Ok(Some(memory));
        }
        if state
            .draft
            .as_ref()
            .is_some_and(|draft| draft.holds_memory())
        {
            self.spill(file, state).await?;
            return Ok(None);
        }
        self.room(bytes).await.map(Some)
    }

    pub(crate) async fn change(
        self: &Arc<Self>,
        file: &File,
        state: &mut State,
        changes: Changes,
    ) -> Result<(), FsError> {
        if let Some(size) = changes.size {
            self.set_len(file, state, size).await?;
        }
        let records = matches!(self.mode, Mode::CseV2(_));
        if let Some(mode) = changes.mode {
            if !records {
                return Err(FsError::NotSupported(
                    "modes are recorded while a v2 file is written",
                ));
            }
            let draft = self.begin(state)?;
            draft.mode = mode & 0o7777;
            draft.dirty = true;
        }
        match changes.modified {
            // A commit sets the present time anyway.
            None | Some(None) => Ok(()),
            Some(Some(time)) if records => {
                let draft = self.begin(state)?;
                draft.time = Some(time);
                draft.dirty = true;
                Ok(())
            }
            Some(Some(_)) => Err(FsError::NotSupported(
                "times are recorded while a v2 file is written",
            )),
        }
    }
}

impl Buffer {
    /// Writes within the room that was made.
    fn put(&mut self, within: u64, data: &[u8]) {
        let start = usize::try_from(within).unwrap_or(usize::MAX);
        let end = start.saturating_add(data.len());
        if self.bytes.len() < start {
            self.bytes.resize(start, 0);
        }
        let over = end.min(self.bytes.len()) - start;
        let (replace, append) = data.split_at(over);
        if let Some(target) = self.bytes.get_mut(start..start + over) {
            target.copy_from_slice(replace);
        }
        self.bytes.extend_from_slice(append);
    }

    fn grow(&mut self, room: u64, memory: Memory) -> Result<(), FsError> {
        let mut bytes = Vec::with_capacity(usize::try_from(room).map_err(|_| FsError::TooLarge)?);
        bytes.extend_from_slice(&self.bytes);
        // The old bytes go before their memory is given back.
        self.bytes = bytes;
        self.memory = memory;
        Ok(())
    }
}

/// Room for `need` bytes of an extent, so that growing byte by byte copies little.
fn capacity(need: u64, extent: u64) -> u64 {
    need.next_power_of_two().max(SMALLEST).min(extent)
}
