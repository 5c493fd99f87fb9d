//! dm-verity: the root hash over the blocks of an image, with a salt of 32 zero bytes.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, Sender};
use sha2::{Digest as _, Sha256};

use crate::device::{BLOCK, Block, Sink};
use crate::{LayerError, RootHash};

/// One hash.
type Hash = [u8; 32];

const SALT: Hash = [0; 32];
const HASHES_IN_BLOCK: usize = BLOCK / 32;

fn hash(block: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(SALT);
    hash.update(block);
    hash.finalize().into()
}

/// The root over the hashes of all data blocks.
fn root(leaves: &[Hash]) -> RootHash {
    let mut level = parents(leaves);
    while level.len() > 1 {
        level = parents(&level);
    }
    RootHash::from(level.first().copied().unwrap_or_else(|| hash(&[0; BLOCK])))
}

/// The hashes of the blocks that a level's hashes fill; the last one is padded with zeros.
fn parents(level: &[Hash]) -> Vec<Hash> {
    let parent = |hashes: &[Hash]| {
        let mut block = hashes.as_flattened().to_vec();
        block.resize(BLOCK, 0);
        hash(&block)
    };
    level.chunks(HASHES_IN_BLOCK).map(parent).collect()
}

/// Blocks to hash, and the number of the first.
type Batch = (usize, Vec<u8>);
/// A batch's hashes, and its buffer to use again.
type Hashed = (usize, Vec<Hash>, Vec<u8>);

/// Hashes batches until there are none. Several threads may share the channels.
pub(crate) fn work(batches: &Receiver<Batch>, results: &Sender<Hashed>) {
    for (first, mut buffer) in batches {
        let hashes = buffer.chunks_exact(BLOCK).map(hash).collect();
        buffer.clear();
        if results.send((first, hashes, buffer)).is_err() {
            return;
        }
    }
}

/// Keeps the hash of each block, 32 bytes for 4096.
pub(crate) struct Tree {
    /// `None`: there are no more, and the threads end.
    batches: Option<Sender<Batch>>,
    results: Receiver<Hashed>,
    buffers: Vec<Vec<u8>>,
    /// Blocks so far.
    next: usize,
    leaves: Vec<Hash>,
    /// A batch's hashes may come after a replacement in it.
    replaced: BTreeMap<usize, Hash>,
    zero: Hash,
    pending: usize,
}

impl Tree {
    pub(crate) fn new(batches: Sender<Batch>, results: Receiver<Hashed>) -> Self {
        Self {
            batches: Some(batches),
            results,
            buffers: Vec::new(),
            next: 0,
            leaves: Vec::new(),
            replaced: BTreeMap::new(),
            zero: hash(&[0; BLOCK]),
            pending: 0,
        }
    }

    /// The root hash, when the threads are done.
    pub(crate) fn finish(mut self) -> Result<RootHash, LayerError> {
        self.batches = None;
        while self.pending > 0 {
            let hashed = self.results.recv().map_err(|_| LayerError::Worker)?;
            self.keep(hashed);
        }
        for (index, hash) in std::mem::take(&mut self.replaced) {
            if let Some(leaf) = self.leaves.get_mut(index) {
                *leaf = hash;
            }
        }
        Ok(root(&self.leaves))
    }

    fn keep(&mut self, (first, hashes, buffer): Hashed) {
        self.pending = self.pending.saturating_sub(1);
        if let Some(leaves) = self
            .leaves
            .get_mut(first..first.saturating_add(hashes.len()))
        {
            leaves.copy_from_slice(&hashes);
        }
        self.buffers.push(buffer);
    }

    fn advance(&mut self, blocks: usize) {
        self.next = self.next.saturating_add(blocks);
        self.leaves.resize(self.next, self.zero);
    }
}

impl Sink for Tree {
    fn append(&mut self, blocks: &mut Vec<u8>) -> Result<(), LayerError> {
        while let Ok(hashed) = self.results.try_recv() {
            self.keep(hashed);
        }
        let empty = self
            .buffers
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(blocks.capacity()));
        let batch = std::mem::replace(blocks, empty);
        let first = self.next;
        self.advance(batch.len() / BLOCK);
        self.pending = self.pending.saturating_add(1);
        let batches = self.batches.as_ref().ok_or(LayerError::Worker)?;
        batches.send((first, batch)).map_err(|_| LayerError::Worker)
    }

    fn zeros(&mut self, count: u32) -> Result<(), LayerError> {
        self.advance(count as usize);
        Ok(())
    }

    fn replace(&mut self, index: u32, block: &Block) -> Result<(), LayerError> {
        self.replaced.insert(index as usize, hash(block));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_zero_block_is_the_published_one() {
        let expected = "2e534ef0107d592d1706ac38ad58596b85ef3375d360a6d669f974792df5cb5a";
        assert_eq!(hex::encode(hash(&[0; BLOCK])), expected);
    }

    #[test]
    fn a_level_that_fills_its_blocks_gets_no_padding_block() {
        let leaves = vec![[7; 32]; HASHES_IN_BLOCK];
        let one: Vec<u8> = leaves.as_flattened().to_vec();
        assert_eq!(root(&leaves), RootHash::from(hash(&one)));
        let two = [hash(&one), hash(&one)].as_flattened().to_vec();
        let padded = [two.as_slice(), &vec![0; BLOCK - 64]].concat();
        let leaves = vec![[7; 32]; 2 * HASHES_IN_BLOCK];
        assert_eq!(root(&leaves), RootHash::from(hash(&padded)));
    }
}
