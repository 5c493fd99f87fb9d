//! What a store remembers of blocks: which are staged, and where those of the last commits lie.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cleanroom_crypto::digest;

use super::plan::Piece;
use crate::{BlockId, Etag, StoreError};

/// Blocks of committed versions that are remembered, over all names; the oldest versions go first.
const REMEMBERED: usize = 1 << 18;
/// Longest list of lengths in an object's metadata, bytes; S3 keeps 2 KiB of metadata.
const LONGEST: usize = 1500;
/// Most blocks of one object, as for every store.
const MOST: usize = 50_000;

/// The blocks of one committed version, in order.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) version: Etag,
    pub(super) blocks: Vec<(BlockId, u64)>,
}

#[derive(Default)]
struct Known {
    staged: HashMap<String, HashMap<BlockId, u64>>,
    layouts: HashMap<String, Layout>,
    order: VecDeque<String>,
    count: usize,
}

#[derive(Default)]
pub(super) struct Blocks(Mutex<Known>);

impl Blocks {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn staged(&self, name: &str, id: BlockId, length: u64) {
        let mut known = self.known();
        let of = known.staged.entry(name.to_owned()).or_default();
        of.insert(id, length);
    }

    /// The named blocks of which nothing is remembered.
    pub(super) fn missing(
        &self,
        name: &str,
        ids: &[BlockId],
        version: Option<&Etag>,
    ) -> Vec<BlockId> {
        let known = self.known();
        let mut found: HashSet<BlockId> = HashSet::new();
        found.extend(known.staged.get(name).into_iter().flat_map(HashMap::keys));
        let layout = known
            .layouts
            .get(name)
            .filter(|layout| version.is_none_or(|version| *version == layout.version));
        let kept = layout.iter().flat_map(|layout| &layout.blocks);
        found.extend(kept.map(|(id, _)| *id));
        let missing = ids.iter().filter(|id| !found.contains(*id));
        missing.copied().collect()
    }

    /// Where the bytes of the named blocks are, with the lengths of the blocks.
    pub(super) fn find(
        &self,
        name: &str,
        ids: &[BlockId],
        version: Option<&Etag>,
    ) -> Result<Vec<(BlockId, Piece)>, StoreError> {
        let known = self.known();
        let staged = known.staged.get(name);
        let layout = known
            .layouts
            .get(name)
            .filter(|layout| version.is_none_or(|version| *version == layout.version));
        let mut kept: HashMap<BlockId, Range<u64>> = HashMap::new();
        let mut at = 0_u64;
        for (id, length) in layout.iter().flat_map(|layout| &layout.blocks) {
            kept.insert(*id, at..at.saturating_add(*length));
            at = at.saturating_add(*length);
        }
        let find = |id: &BlockId| {
            if let Some(length) = staged.and_then(|staged| staged.get(id)) {
                let piece = Piece {
                    key: staging_key(*id),
                    version: None,
                    range: 0..*length,
                };
                return Ok((*id, piece));
            }
            let (Some(range), Some(layout)) = (kept.get(id), layout) else {
                return Err(StoreError::BlocksGone);
            };
            let piece = Piece {
                key: name.to_owned(),
                version: Some(layout.version.clone()),
                range: range.clone(),
            };
            Ok((*id, piece))
        };
        ids.iter().map(find).collect()
    }

    /// A version is there. Gives the blocks that were staged for it.
    pub(super) fn committed(
        &self,
        name: &str,
        version: &Etag,
        blocks: Vec<(BlockId, u64)>,
    ) -> Vec<BlockId> {
        let mut known = self.known();
        let layout = Layout {
            version: version.clone(),
            blocks,
        };
        known.remember(name, layout);
        let staged = known.staged.remove(name).unwrap_or_default();
        staged.into_keys().collect()
    }

    pub(super) fn remember(&self, name: &str, layout: Layout) {
        self.known().remember(name, layout);
    }

    pub(super) fn layout(&self, name: &str) -> Option<Layout> {
        self.known().layouts.get(name).cloned()
    }
}

impl Known {
    fn remember(&mut self, name: &str, layout: Layout) {
        self.count += layout.blocks.len();
        match self.layouts.insert(name.to_owned(), layout) {
            Some(old) => self.count -= old.blocks.len(),
            None => self.order.push_back(name.to_owned()),
        }
        while self.count > REMEMBERED
            && self.order.len() > 1
            && let Some(oldest) = self.order.pop_front()
        {
            if oldest == name {
                self.order.push_back(oldest);
            } else if let Some(old) = self.layouts.remove(&oldest) {
                self.count -= old.blocks.len();
            }
        }
    }
}

/// Where a staged block is.
pub(super) fn staging_key(id: BlockId) -> String {
    use std::fmt::Write as _;
    let mut key = super::STAGING.to_owned();
    for byte in id.0 {
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// The lengths of blocks as metadata: runs of equal ones are one; `None` if there are too many different ones.
pub(super) fn written(blocks: &[(BlockId, u64)]) -> Option<String> {
    let mut text = String::new();
    for run in blocks.chunk_by(|one, two| one.1 == two.1) {
        let length = run.first()?.1;
        let run = match run.len() {
            1 => length.to_string(),
            count => format!("{length}*{count}"),
        };
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&run);
        if text.len() > LONGEST {
            return None;
        }
    }
    Some(text)
}

/// The blocks that metadata speaks of, under names that follow from the version; `None` if it makes no sense.
pub(super) fn read(text: &str, version: &Etag, length: u64) -> Option<Layout> {
    let digest = digest::sha256(version.0.as_bytes());
    let writer: [u8; 8] = digest.first_chunk().copied()?;
    let mut blocks: Vec<(BlockId, u64)> = Vec::new();
    for run in text.split(',').filter(|run| !run.is_empty()) {
        let (size, count) = run.split_once('*').unwrap_or((run, "1"));
        let (size, count): (u64, usize) = (size.parse().ok()?, count.parse().ok()?);
        if count > MOST - blocks.len() {
            return None;
        }
        for _ in 0..count {
            blocks.push((BlockId::new(writer, blocks.len() as u64), size));
        }
    }
    let sum = blocks
        .iter()
        .try_fold(0_u64, |sum, (_, size)| sum.checked_add(*size))?;
    (sum == length).then(|| Layout {
        version: version.clone(),
        blocks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> BlockId {
        BlockId::new([1; 8], number)
    }

    #[test]
    fn lengths_survive_the_metadata_and_nonsense_is_refused() {
        let version = Etag::new("v");
        for sizes in [&[][..], &[7], &[5, 5, 5, 2], &[1, 2, 1, 2]] {
            let blocks: Vec<_> = (0..).map(id).zip(sizes.iter().copied()).collect();
            let text = written(&blocks).unwrap();
            let layout = read(&text, &version, sizes.iter().sum()).unwrap();
            let read_back: Vec<u64> = layout.blocks.iter().map(|(_, size)| *size).collect();
            assert_eq!(read_back, sizes, "{text}");
        }
        for text in [
            "5",
            "x",
            "5*",
            "5*99999999999",
            "18446744073709551615*2",
            "-5",
        ] {
            assert!(read(text, &version, 10).is_none(), "{text}");
        }
        let odd: Vec<_> = (0..2000).map(|n| (id(n), n)).collect();
        assert_eq!(written(&odd), None);
    }

    #[test]
    fn blocks_are_found_where_they_are_and_only_of_the_version_meant() {
        let blocks = Blocks::default();
        blocks.staged("a", id(0), 10);
        let staged = blocks.find("a", &[id(0)], None).unwrap();
        assert!(staged[0].1.key.starts_with(".cleanroom/staged/"));
        let version = Etag::new("v1");
        let gone = blocks.committed("a", &version, vec![(id(0), 10), (id(1), 5)]);
        assert_eq!(gone, [id(0)]);
        let kept = blocks.find("a", &[id(1)], Some(&version)).unwrap();
        assert_eq!((kept[0].1.key.as_str(), &kept[0].1.range), ("a", &(10..15)));
        for (name, wanted, version) in [
            ("a", id(2), &version),
            ("b", id(0), &version),
            ("a", id(0), &Etag::new("v2")),
        ] {
            assert!(blocks.find(name, &[wanted], Some(version)).is_err());
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let blocks = Blocks::default();
        let many: Vec<_> = (0..MOST as u64).map(|n| (id(n), 1)).collect();
        for name in 0..20 {
            blocks.committed(&name.to_string(), &Etag::new("v"), many.clone());
        }
        let known = blocks.known();
        assert!(known.count <= REMEMBERED);
        assert!(known.layouts.contains_key("19") && !known.layouts.contains_key("0"));
    }
}
