//! The image as a sequence of blocks that are written once, in order.

use crate::{LayerError, Limits};

/// Bytes of a file system block, of a dm-verity data block, and of a hash block.
pub(crate) const BLOCK: usize = 4096;
/// Blocks that are handed on together.
const BATCH: usize = 64;

/// One block's content.
pub(crate) type Block = [u8; BLOCK];

/// Where blocks go: to the hash, or into a file.
pub(crate) trait Sink {
    /// The next blocks: whole ones. Takes the buffer's content.
    fn append(&mut self, blocks: &mut Vec<u8>) -> Result<(), LayerError>;
    /// The next `count` blocks are zero.
    fn zeros(&mut self, count: u32) -> Result<(), LayerError>;
    /// Replaces the content of a block that has been appended.
    fn replace(&mut self, index: u32, block: &Block) -> Result<(), LayerError>;
}

/// Appends bytes to the image and counts blocks.
#[derive(Debug)]
pub(crate) struct Device<S> {
    sink: S,
    limits: Limits,
    buffer: Vec<u8>,
    flushed: u32,
}

impl<S: Sink> Device<S> {
    pub(crate) fn new(sink: S, limits: Limits) -> Self {
        Self {
            sink,
            limits,
            buffer: Vec::with_capacity(BATCH * BLOCK),
            flushed: 0,
        }
    }

    /// The number of the block that is written next.
    pub(crate) fn next(&self) -> u32 {
        let buffered = self.buffer.len().div_ceil(BLOCK);
        self.flushed
            .saturating_add(u32::try_from(buffered).unwrap_or(u32::MAX))
    }

    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> Result<(), LayerError> {
        while !bytes.is_empty() {
            let room = (BATCH * BLOCK).saturating_sub(self.buffer.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() >= BATCH * BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Appends zero bytes, which need not end at a block.
    pub(crate) fn append_zeros(&mut self, mut bytes: u64) -> Result<(), LayerError> {
        const ZEROS: Block = [0; BLOCK];
        let over = self.buffer.len() % BLOCK;
        if over > 0 {
            let now = u64::min(bytes, (BLOCK - over) as u64);
            self.append(part(&ZEROS, now))?;
            bytes -= now;
        }
        let blocks = bytes / BLOCK as u64;
        let blocks = u32::try_from(blocks).map_err(|_| LayerError::TooLarge {
            entry: "the layer".into(),
            what: "the image",
        })?;
        self.zeros(blocks)?;
        self.append(part(&ZEROS, bytes % BLOCK as u64))
    }

    /// Fills the block that is being written with zeros.
    pub(crate) fn pad(&mut self) {
        let whole = self.buffer.len().next_multiple_of(BLOCK);
        self.buffer.resize(whole, 0);
    }

    /// Appends whole blocks of zeros.
    pub(crate) fn zeros(&mut self, count: u32) -> Result<(), LayerError> {
        if count == 0 {
            return Ok(());
        }
        self.flush()?;
        self.count(count)?;
        self.sink.zeros(count)
    }

    pub(crate) fn replace(&mut self, index: u32, block: &Block) -> Result<(), LayerError> {
        self.flush()?;
        self.sink.replace(index, block)
    }

    /// The sink, after the last block.
    pub(crate) fn finish(mut self) -> Result<S, LayerError> {
        self.flush()?;
        Ok(self.sink)
    }

    fn flush(&mut self) -> Result<(), LayerError> {
        self.pad();
        let blocks = u32::try_from(self.buffer.len() / BLOCK).unwrap_or(u32::MAX);
        if blocks == 0 {
            return Ok(());
        }
        self.count(blocks)?;
        self.sink.append(&mut self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn count(&mut self, blocks: u32) -> Result<(), LayerError> {
        self.flushed = self.flushed.saturating_add(blocks);
        self.limits.bytes(u64::from(self.flushed) * BLOCK as u64)
    }
}

fn part(zeros: &Block, bytes: u64) -> &[u8] {
    let bytes = usize::try_from(bytes).unwrap_or_default();
    zeros.get(..bytes).unwrap_or_default()
}
