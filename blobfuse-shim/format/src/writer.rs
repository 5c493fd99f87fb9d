use std::fmt;

use cleanroom_crypto::{Dek, Zeroizing, random};

use crate::frame::COVERED;
use crate::{FileKeys, Footer, FormatError, Header, Params, key_id};

/// Blocks after which a block holds twice as many extents, so that 50 000 blocks never run out.
const STEP: u64 = 4096;
const MOST_EXTENTS_PER_BLOCK: u64 = 64;

/// What a commit records beside the content.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Attributes {
    /// Unix time in nanoseconds; 0 = unset.
    pub mtime_ns: u64,
    /// POSIX mode bits; 0 = unset.
    pub mode: u32,
}

/// One commit: the bytes behind the blocks handed out so far, and the footer in them.
#[derive(Debug)]
pub struct Committed {
    /// Everything that belongs behind the blocks handed out so far. Valid for this commit only.
    pub tail: Vec<u8>,
    /// The footer at its end.
    pub footer: Footer,
}

/// Writes one file front to back.
///
/// Whole extents leave as blocks as soon as they are complete and never change again; the last, incomplete extent stays
/// in memory in clear and can still be overwritten. A commit seals it under a fresh salt, so the file can grow after it.
pub struct Writer {
    keys: FileKeys,
    header: Header,
    key_id: [u8; 16],
    name_tag: [u8; 16],
    salts: Salts,
    table: Vec<u8>,
    /// Sealed bytes that are not a block yet; starts with the header.
    pending: Vec<u8>,
    pending_extents: u64,
    blocks: u64,
    /// The clear extent behind the sealed ones.
    open: Zeroizing<Vec<u8>>,
    generation: u64,
}

impl Writer {
    /// Starts a new file. With a `path`, readers refuse the file under any other.
    ///
    /// # Errors
    /// [`FormatError::Crypto`] without random bytes.
    pub fn create(dek: &Dek, params: Params, path: Option<&str>) -> Result<Self, FormatError> {
        Self::with(dek, params, path, random::bytes()?, Salts::Random)
    }

    pub(crate) fn with(
        dek: &Dek,
        params: Params,
        path: Option<&str>,
        file_id: [u8; 16],
        salts: Salts,
    ) -> Result<Self, FormatError> {
        let header = Header {
            params,
            name_bound: path.is_some(),
            file_id,
        };
        let keys = FileKeys::derive(dek, &header)?;
        Ok(Self {
            key_id: key_id(dek)?,
            name_tag: path.map_or([0; 16], |path| keys.name_tag(path)),
            keys,
            header,
            salts,
            table: Vec::new(),
            pending: header.encode().to_vec(),
            pending_extents: 0,
            blocks: 0,
            open: Zeroizing::default(),
            generation: 0,
        })
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
        self.extents() * self.header.params.extent()
    }

    /// Bytes held in memory.
    pub fn held(&self) -> usize {
        self.open.len() + self.pending.len() + self.table.len()
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
        self.header.params.blob_len(end)?;
        let gap = offset.saturating_sub(self.len());
        if offset < self.sealed() || gap >= self.header.params.extent() {
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
        let extent = usize::try_from(self.header.params.extent()).unwrap_or(usize::MAX);
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
        let index = self.extents();
        let salt = self.salts.draw(index)?;
        seal(
            &self.keys,
            &self.header,
            index,
            &salt,
            &self.open,
            &mut self.pending,
        )?;
        self.table.extend_from_slice(&salt);
        self.open.clear();
        self.pending_extents += 1;
        if self.pending_extents >= extents_per_block(self.blocks) {
            blocks.push(std::mem::take(&mut self.pending));
            self.pending_extents = 0;
            self.blocks += 1;
        }
        Ok(())
    }

    fn extents(&self) -> u64 {
        self.table.len() as u64 / 16
    }

    /// Commits what was written so far.
    ///
    /// # Errors
    /// [`FormatError::Crypto`].
    pub fn commit(&mut self, attributes: Attributes) -> Result<Committed, FormatError> {
        let mut tail = self.pending.clone();
        let mut table = self.table.clone();
        if !self.open.is_empty() {
            let index = self.extents();
            let salt = self.salts.draw(index)?;
            seal(
                &self.keys,
                &self.header,
                index,
                &salt,
                &self.open,
                &mut tail,
            )?;
            table.extend_from_slice(&salt);
        }
        self.generation += 1;
        let mut footer = Footer {
            header: self.header,
            key_id: self.key_id,
            clear_len: self.len(),
            generation: self.generation,
            mtime_ns: attributes.mtime_ns,
            mode: attributes.mode,
            name_tag: self.name_tag,
            mac: [0; 32],
        };
        let bytes = footer.encode();
        let covered = bytes.get(..COVERED).unwrap_or_default();
        footer.mac = self.keys.commit_mac(&table, covered);
        tail.extend_from_slice(&table);
        tail.extend_from_slice(&footer.encode());
        Ok(Committed { tail, footer })
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

fn seal(
    keys: &FileKeys,
    header: &Header,
    index: u64,
    salt: &[u8; 16],
    clear: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FormatError> {
    let cipher = keys.extent(index, salt)?;
    let segment = usize::try_from(header.params.segment()).unwrap_or(usize::MAX);
    out.reserve(clear.len() + 16 * clear.len().div_ceil(segment));
    for (number, clear) in (0_u64..).zip(clear.chunks(segment)) {
        let start = out.len();
        out.extend_from_slice(clear);
        let tag = cipher.seal(number, out.get_mut(start..).unwrap_or_default())?;
        out.extend_from_slice(&tag);
    }
    Ok(())
}

/// Where salts come from; a reader of recorded files needs recorded ones.
pub(crate) enum Salts {
    Random,
    #[cfg(test)]
    Recorded(fn(u64) -> [u8; 16]),
}

impl Salts {
    #[cfg_attr(not(test), allow(unused_variables, clippy::unused_self))]
    fn draw(&self, index: u64) -> Result<[u8; 16], FormatError> {
        match self {
            Self::Random => Ok(random::bytes()?),
            #[cfg(test)]
            Self::Recorded(salt) => Ok(salt(index)),
        }
    }
}
