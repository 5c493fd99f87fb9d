//! What a version keeps of the one before it: its blocks are named again, or copied where they do not fit.

use std::ops::Range;
use std::sync::Arc;

use blob_store::BlockId;

use crate::FsError;
use crate::draft::{Draft, Extent, Staging, Uploaded};
use crate::inner::Inner;
use crate::read::blocking;
use crate::version::Version;
use crate::write::MOST_BLOCKS;

/// Blocks of a commit that are no extents: their uploads report no place in the draft.
const NOWHERE: u64 = u64::MAX;

impl Inner {
    /// The blocks of all extents in order; what the base has is named again or copied. Waits for all uploads.
    pub(crate) async fn all_blocks(
        self: &Arc<Self>,
        path: &str,
        draft: &mut Draft,
    ) -> Result<Vec<(BlockId, u64)>, FsError> {
        enum Piece {
            Extent(u64),
            Known(BlockId, u64),
        }
        let mut pieces = Vec::new();
        let mut base_blocks = None;
        let count = draft.extents();
        let mut index = 0;
        while index < count {
            if draft.clean(index).is_none() {
                pieces.push(Piece::Extent(index));
                index += 1;
                continue;
            }
            let first = index;
            while index < count && draft.clean(index).is_some() {
                index += 1;
            }
            let Some(base) = draft.base.clone() else {
                continue;
            };
            if draft.codec.seals_once() {
                for index in first..index {
                    let stored = base.frame.stored(index, 0..base.extent_len(index));
                    let id = self.seal_anew(path, &base, index, draft).await?;
                    pieces.push(Piece::Known(id, stored.end - stored.start));
                    self.settle(draft)?;
                }
                continue;
            }
            let start = base.frame.stored(first, 0..base.extent_len(first)).start;
            let end = base
                .frame
                .stored(index - 1, 0..base.extent_len(index - 1))
                .end;
            if base_blocks.is_none() {
                base_blocks = Some(self.blocks_of(path, &base).await?);
            }
            let known = base_blocks.as_deref().unwrap_or_default();
            let parts = take_over(known, start..end, self.extent);
            // Before any of it is sent.
            if (pieces.len() + parts.len()) as u64 > MOST_BLOCKS {
                return Err(FsError::TooLarge);
            }
            for part in parts {
                let (id, size) = match part {
                    Part::Block(id, size) => (id, size),
                    Part::Copy(range) => {
                        let size = range.end - range.start;
                        let staging = &mut draft.staging;
                        (
                            self.copy_range(path, &base, range, path, staging).await?,
                            size,
                        )
                    }
                };
                pieces.push(Piece::Known(id, size));
                self.settle(draft)?;
            }
        }
        while let Some(done) = draft.staging.uploads.join_next().await {
            let uploaded = done.unwrap_or(Err(FsError::Handle))?;
            draft.uploaded(uploaded);
        }
        let mut blocks = Vec::with_capacity(pieces.len());
        for piece in pieces {
            blocks.push(match piece {
                Piece::Known(id, size) => (id, size),
                Piece::Extent(index) => match draft.extents.get(&index) {
                    Some(Extent::Staged {
                        block,
                        done: Some((_, size)),
                        ..
                    }) => (*block, *size),
                    _ => return Err(FsError::Handle),
                },
            });
        }
        Ok(blocks)
    }

    /// The blocks of a version, if a commit can name them again.
    async fn blocks_of(
        &self,
        path: &str,
        version: &Version,
    ) -> Result<Vec<(BlockId, u64)>, FsError> {
        let blocks = match &version.blocks {
            Some(blocks) => Some(blocks.clone()),
            None => self.bounded(self.store.committed_blocks(path)).await?,
        };
        let total = |blocks: &Vec<(BlockId, u64)>| {
            let sizes = blocks.iter().map(|(_, size)| *size);
            sizes.fold(0_u64, u64::saturating_add) == version.info.length
        };
        Ok(blocks.filter(total).unwrap_or_default())
    }

    /// Opens an extent of the base and seals it for the draft's version, where it has the same length; returns its block.
    async fn seal_anew(
        self: &Arc<Self>,
        path: &str,
        base: &Arc<Version>,
        index: u64,
        draft: &mut Draft,
    ) -> Result<BlockId, FsError> {
        let slot = self.slot(base.frame.extent()).await?;
        let block = draft.staging.block();
        let (inner, path) = (Arc::clone(self), path.to_owned());
        let (base, codec) = (Arc::clone(base), Arc::clone(&draft.codec));
        draft.staging.uploads.spawn(async move {
            let clear = 0..base.extent_len(index);
            let stored = base.frame.stored(index, clear.clone());
            let sealed = inner.get(&path, stored, &base.info.etag).await?;
            let sealed = blocking(move || {
                let clear = base.frame.open(index, clear, &sealed)?;
                drop(sealed);
                codec.seal(index, &clear)
            });
            let sealed = sealed.await;
            let sealed =
                sealed.inspect_err(|error| inner.findings.report(&inner.dek, &path, error));
            let (sealed, mark) = sealed?;
            let len = sealed.len() as u64;
            let put = inner.store.put_block(&path, block, sealed.into());
            inner.bounded(put).await?;
            drop(slot);
            Ok(Uploaded {
                index: NOWHERE,
                block,
                mark,
                len,
            })
        });
        Ok(block)
    }

    /// Sends a sealed range of one blob to another, or to its own next version; returns its block.
    pub(crate) async fn copy_range(
        self: &Arc<Self>,
        from: &str,
        version: &Arc<Version>,
        range: Range<u64>,
        to: &str,
        staging: &mut Staging,
    ) -> Result<BlockId, FsError> {
        let slot = self.slot(self.extent).await?;
        let block = staging.block();
        let (inner, from, to) = (Arc::clone(self), from.to_owned(), to.to_owned());
        let version = Arc::clone(version);
        staging.uploads.spawn(async move {
            let len = range.end - range.start;
            let bytes = inner.get(&from, range, &version.info.etag).await?;
            inner
                .bounded(inner.store.put_block(&to, block, bytes))
                .await?;
            drop(slot);
            Ok(Uploaded {
                index: NOWHERE,
                block,
                mark: None,
                len,
            })
        });
        Ok(block)
    }
}

/// A piece of a version that is taken over.
#[derive(Debug, PartialEq)]
enum Part {
    Block(BlockId, u64),
    Copy(Range<u64>),
}

/// Covers a range of a blob by blocks that lie in it whole, and copies of at most `largest` bytes for the rest.
fn take_over(blocks: &[(BlockId, u64)], range: Range<u64>, largest: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut covered = range.start;
    let copy = |parts: &mut Vec<Part>, mut from: u64, to: u64| {
        while from < to {
            let end = to.min(from + largest);
            parts.push(Part::Copy(from..end));
            from = end;
        }
    };
    let mut at = 0;
    for (id, size) in blocks {
        let end = at + size;
        if at >= range.start && end <= range.end && *size > 0 {
            copy(&mut parts, covered, at);
            parts.push(Part::Block(*id, *size));
            covered = end;
        }
        at = end;
    }
    copy(&mut parts, covered, range.end);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_are_named_again_and_only_the_rest_is_copied() {
        let id = |n| BlockId([n; 16]);
        let blocks = [(id(1), 10), (id(2), 10), (id(3), 0), (id(4), 5)];
        assert_eq!(
            take_over(&blocks, 5..25, 4),
            [
                Part::Copy(5..9),
                Part::Copy(9..10),
                Part::Block(id(2), 10),
                Part::Block(id(4), 5)
            ]
        );
        assert_eq!(take_over(&blocks, 12..14, 4), [Part::Copy(12..14)]);
        assert_eq!(
            take_over(&[], 0..5, 4),
            [Part::Copy(0..4), Part::Copy(4..5)]
        );
        assert_eq!(take_over(&blocks, 0..20, 4).len(), 2);
    }
}
