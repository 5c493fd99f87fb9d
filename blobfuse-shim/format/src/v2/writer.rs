use std::fmt;

use cleanroom_crypto::{Dek, Zeroizing};

use super::{Attributes, Committed, Draft, Params};
use crate::FormatError;

/// Blocks after which a block holds twice as many extents, so that 50 000 blocks never run out.
const STEP: u64 = 4096;
const MOST_EXTENTS_PER_BLOCK: u64 = 64;

/// Writes one file front to back.
///
/// Whole extents leave as blocks as soon as they are complete and never change again; the last, incomplete extent stays
/// in memory in clear and can still be overwritten. A commit seals it under a fresh salt, so the file can grow after it.
pub struct Writer {
    draft: Draft,
    /// Whole extents sealed so far.
    extents: u64,
    /// Sealed bytes that are not a block yet; starts with the header.
    pending: Vec<u8>,
    pending_extents: u64,
    blocks: u64,
    /// The clear extent behind the sealed ones.
    open: Zeroizing<Vec<u8>>,
}

impl Writer {
    /// Starts a new file. With a `path`, readers refuse the file under any other.
    ///
    /// # Errors
    /// [`FormatError::Crypto`] without random bytes.
    pub fn create(dek: &Dek, params: Params, path: Option<&str>) -> Result<Self, FormatError> {
        Ok(Self::new(Draft::create(dek, params, path)?))
    }

    pub(crate) fn new(draft: Draft) -> Self {
        Self {
            pending: draft.header().to_vec(),
            draft,
            extents: 0,
            pending_extents: 0,
            blocks: 0,
            open: Zeroizing::default(),
        }
    }

    /// Clear length in bytes.
    pub fn len(&self) -> u64 {
        self.sealed() + self.open.len() as u64
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First byte that can still change.
    pub fn sealed(&self) -> u64 {
        self.extents * self.params().extent()
    }

    /// Bytes held in memory.
    pub fn held(&self) -> usize {
        self.open.len() + self.pending.len()
    }

    /// Writes at an offset that is not sealed yet; a gap of less than one extent behind the end is filled with zeros.
    /// Returns the blocks that are complete now, in order.
    ///
    /// # Errors
    /// [`FormatError::NotAppend`]; [`FormatError::TooLarge`]; the file is unchanged after both.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<Vec<Vec<u8>>, FormatError> {
        let refused = FormatError::NotAppend {
            offset,
            sealed: self.sealed(),
        };
        let end = offset
            .checked_add(data.len() as u64)
            .ok_or(FormatError::TooLarge)?;
        self.params().check_len(end)?;
        let gap = offset.saturating_sub(self.len());
        if offset < self.sealed() || gap >= self.params().extent() {
            return Err(refused);
        }
        let mut blocks = Vec::new();
        let gap = usize::try_from(gap).map_err(|_| FormatError::TooLarge)?;
        if gap > 0 {
            self.put(self.len(), &vec![0; gap], &mut blocks)?;
        }
        self.put(offset, data, &mut blocks)?;
        Ok(blocks)
    }

    /// Cuts the part that is not sealed yet, or extends it with zeros by less than one extent. Returns the blocks that
    /// are complete now.
    ///
    /// # Errors
    /// [`FormatError::NotAppend`].
    pub fn set_len(&mut self, len: u64) -> Result<Vec<Vec<u8>>, FormatError> {
        if len >= self.len() {
            return self.write(len, &[]);
        }
        let keep = len
            .checked_sub(self.sealed())
            .and_then(|keep| usize::try_from(keep).ok())
            .ok_or_else(|| FormatError::NotAppend {
                offset: len,
                sealed: self.sealed(),
            })?;
        self.open.truncate(keep);
        Ok(Vec::new())
    }

    fn put(
        &mut self,
        mut offset: u64,
        mut data: &[u8],
        blocks: &mut Vec<Vec<u8>>,
    ) -> Result<(), FormatError> {
        let extent = usize::try_from(self.params().extent()).unwrap_or(usize::MAX);
        while !data.is_empty() {
            let mut at = usize::try_from(offset - self.sealed()).unwrap_or(usize::MAX);
            if at >= extent {
                self.seal_open(blocks)?;
                at = 0;
            }
            let (now, later) = data.split_at(data.len().min(extent - at));
            let overlap = now.len().min(self.open.len() - at);
            let (over, append) = now.split_at(overlap);
            for (to, from) in self.open.iter_mut().skip(at).zip(over) {
                *to = *from;
            }
            self.append(append, extent);
            offset += now.len() as u64;
            data = later;
        }
        Ok(())
    }

    /// Grows the clear extent without leaving copies of it in freed memory.
    fn append(&mut self, data: &[u8], extent: usize) {
        let need = self.open.len() + data.len();
        if need > self.open.capacity() {
            let room = need.next_power_of_two().min(extent).max(need);
            let mut larger = Zeroizing::new(Vec::with_capacity(room));
            larger.extend_from_slice(&self.open);
            self.open = larger;
        }
        self.open.extend_from_slice(data);
    }

    fn seal_open(&mut self, blocks: &mut Vec<Vec<u8>>) -> Result<(), FormatError> {
        self.seal_into_pending()?;
        self.extents += 1;
        self.open.clear();
        self.pending_extents += 1;
        if self.pending_extents >= extents_per_block(self.blocks) {
            blocks.push(std::mem::take(&mut self.pending));
            self.pending_extents = 0;
            self.blocks += 1;
        }
        Ok(())
    }

    /// Seals the open bytes as the next extent, behind the pending bytes.
    fn seal_into_pending(&mut self) -> Result<(), FormatError> {
        let start = self.pending.len();
        let length = self.params().sealed_len(self.open.len() as u64);
        let length = usize::try_from(length).map_err(|_| FormatError::TooLarge)?;
        self.pending.resize(start + length, 0);
        let place = self.pending.get_mut(start..).unwrap_or_default();
        let sealed = self.draft.seal(self.extents, &self.open, place);
        let placed = sealed.and_then(|sealed| self.draft.place(sealed));
        if placed.is_err() {
            self.pending.truncate(start);
        }
        placed
    }

    const fn params(&self) -> Params {
        self.draft.params()
    }

    /// Commits what was written so far.
    ///
    /// # Errors
    /// [`FormatError::Crypto`].
    pub fn commit(&mut self, attributes: Attributes) -> Result<Committed, FormatError> {
        let before = self.pending.len();
        if !self.open.is_empty() {
            self.seal_into_pending()?;
        }
        let mut tail = self.pending.clone();
        // The open extent is sealed anew by the next commit.
        self.pending.truncate(before);
        let mut committed = self.draft.commit(self.len(), attributes)?;
        tail.append(&mut committed.tail);
        Ok(Committed { tail, ..committed })
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Whole extents in block number `block`: 1, doubling every 4096 blocks, at most 64.
fn extents_per_block(block: u64) -> u64 {
    let doublings = u32::try_from(block / STEP).unwrap_or(u32::MAX);
    1_u64
        .checked_shl(doublings)
        .map_or(MOST_EXTENTS_PER_BLOCK, |count| {
            count.min(MOST_EXTENTS_PER_BLOCK)
        })
}
