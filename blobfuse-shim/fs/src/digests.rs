//! Content that only a digest over the whole blob names: read once as a whole, then known part by part.
//!
//! Storage could serve other bytes after the check than during it, so a digest of every unit is kept and each unit is
//! compared again whenever it is fetched.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use blob_format::FormatError;
use blob_format::manifest::Entry;
use bytes::Bytes;
use cleanroom_crypto::digest::{self, Sha256};
use tokio::task::JoinSet;

use crate::FsError;
use crate::budget::Memory;
use crate::codec::{Codec, Frame, extents};
use crate::inner::Inner;
use crate::read::blocking;
use crate::version::Version;

/// Of SHA-256: nobody but the writer chose the content, so it is second preimages that must not exist.
const LENGTH: usize = 16;
/// Memory for a part at least, in bytes: for what lies between extents, too.
const LEAST: u64 = 64 << 10;
/// Parts of a file on their way at once while it is read as a whole.
const AHEAD: usize = 4;

/// Digests of the clear units of one file.
#[derive(Debug)]
pub(crate) struct Digests {
    units: Vec<[u8; LENGTH]>,
    _memory: Memory,
}

/// A frame that releases no other content than was checked.
#[derive(Debug)]
struct Guarded {
    frame: Arc<dyn Frame>,
    digests: Arc<Digests>,
}

/// A part of a blob and the digests of the units in it, if they are content.
struct Part {
    sealed: Bytes,
    units: Vec<[u8; LENGTH]>,
    _memory: Option<Memory>,
}

fn digest_of(unit: &[u8]) -> [u8; LENGTH] {
    let mut out = [0; LENGTH];
    for (to, from) in out.iter_mut().zip(digest::sha256(unit)) {
        *to = from;
    }
    out
}

impl Digests {
    /// Memory in bytes.
    pub(crate) fn size(&self) -> u64 {
        (self.units.len() * LENGTH) as u64
    }

    pub(crate) fn guard(self: &Arc<Self>, frame: Arc<dyn Frame>) -> Arc<dyn Frame> {
        Arc::new(Guarded {
            frame,
            digests: Arc::clone(self),
        })
    }

    fn check(&self, first: u64, offset: u64, unit: u64, clear: &[u8]) -> Result<(), FormatError> {
        let changed = |at: u64| FormatError::Content {
            offset: offset + at * unit,
        };
        let size = usize::try_from(unit).map_err(|_| FormatError::TooLarge)?;
        for (part, at) in clear.chunks(size).zip(0..) {
            let index = usize::try_from(first + at).map_err(|_| FormatError::TooLarge)?;
            if self.units.get(index) != Some(&digest_of(part)) {
                return Err(changed(at));
            }
        }
        Ok(())
    }
}

impl Guarded {
    fn check(&self, index: u64, clear: &Range<u64>, opened: &[u8]) -> Result<(), FormatError> {
        let unit = self.unit();
        let offset = index * self.extent() + clear.start;
        self.digests.check(offset / unit, offset, unit, opened)
    }
}

impl Frame for Guarded {
    fn extent(&self) -> u64 {
        self.frame.extent()
    }

    fn unit(&self) -> u64 {
        self.frame.unit()
    }

    fn stored(&self, index: u64, clear: Range<u64>) -> Range<u64> {
        self.frame.stored(index, clear)
    }

    fn open(&self, index: u64, clear: Range<u64>, stored: &[u8]) -> Result<Vec<u8>, FsError> {
        let opened = self.frame.open(index, clear.clone(), stored)?;
        self.check(index, &clear, &opened)?;
        Ok(opened)
    }

    fn open_with(
        &self,
        index: u64,
        clear: Range<u64>,
        stored: &[u8],
        spare: &dyn Fn(usize) -> Vec<u8>,
    ) -> Result<Vec<u8>, FsError> {
        let opened = self.frame.open_with(index, clear.clone(), stored, spare)?;
        self.check(index, &clear, &opened)?;
        Ok(opened)
    }

    fn room(&self, index: u64, clear: Range<u64>) -> u64 {
        self.frame.room(index, clear)
    }

    fn edit(&self) -> Result<Arc<dyn Codec>, FsError> {
        self.frame.edit()
    }

    fn is_bound(&self) -> bool {
        self.frame.is_bound()
    }
}

impl Inner {
    /// Reads a version as a whole and compares it with a manifest's entry, which names the SHA-256 of its blob.
    pub(crate) async fn check_content(
        self: &Arc<Self>,
        path: &str,
        version: &Version,
        listed: &Entry,
    ) -> Result<Digests, FsError> {
        // Before anything is fetched.
        if version.len != listed.length {
            return Err(FormatError::Replaced.into());
        }
        let count = version.len.div_ceil(version.frame.unit());
        // For the digests, and for one part at any time: nobody waits for memory while he holds some.
        let own = count * LENGTH as u64;
        let part = version.frame.room(0, 0..version.extent_len(0)).max(LEAST);
        let mut memory = self.room(own + part).await?;
        let mut units = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        let mut whole = Sha256::new();
        let mut ahead = VecDeque::new();
        let mut fetching = Pieces::of(version);
        loop {
            while ahead.len() < AHEAD
                && let Some((range, extent)) = fetching.next()
            {
                let need = match extent {
                    Some(index) => version.frame.room(index, 0..version.extent_len(index)),
                    None => range.end - range.start,
                };
                let memory = match ahead.is_empty() {
                    true if need <= part => None,
                    true => return Err(FormatError::Replaced.into()),
                    false => match self.cache.make_room(&self.budget, need) {
                        Some(memory) => Some(memory),
                        None => {
                            fetching.put_back((range, extent));
                            break;
                        }
                    },
                };
                ahead.push_back(self.fetch_part(path, version, range, extent, memory));
            }
            let Some(mut fetched) = ahead.pop_front() else {
                break;
            };
            let fetched = fetched.join_next().await;
            let piece = fetched.and_then(Result::ok).ok_or(FsError::Handle)??;
            let (digest, known) = blocking(move || {
                whole.update(&piece.sealed);
                Ok((whole, piece.units))
            })
            .await?;
            whole = digest;
            units.extend(known);
            self.give_way();
        }
        listed.admit_plain(version.len, &whole.finish())?;
        memory.shrink(own);
        Ok(Digests {
            units,
            _memory: memory,
        })
    }

    fn fetch_part(
        self: &Arc<Self>,
        path: &str,
        version: &Version,
        range: Range<u64>,
        extent: Option<u64>,
        memory: Option<Memory>,
    ) -> JoinSet<Result<Part, FsError>> {
        let (inner, path, etag) = (Arc::clone(self), path.to_owned(), version.info.etag.clone());
        let frame = Arc::clone(&version.frame);
        let clear = extent.map_or(0, |index| version.extent_len(index));
        // Dropped with its set if the check ends before.
        let mut part = JoinSet::new();
        part.spawn(async move {
            let sealed = inner.get(&path, range, &etag).await?;
            blocking(move || {
                let opened = match extent {
                    Some(index) => frame.open(index, 0..clear, &sealed)?,
                    None => Vec::new(),
                };
                let unit = usize::try_from(frame.unit()).map_err(|_| FormatError::TooLarge)?;
                Ok(Part {
                    units: opened.chunks(unit).map(digest_of).collect(),
                    sealed,
                    _memory: memory,
                })
            })
            .await
        });
        part
    }
}

/// A blob front to back: its extents, and what lies between them.
struct Pieces<'a> {
    version: &'a Version,
    at: u64,
    next: u64,
    back: Option<(Range<u64>, Option<u64>)>,
}

impl<'a> Pieces<'a> {
    const fn of(version: &'a Version) -> Self {
        Self {
            version,
            at: 0,
            next: 0,
            back: None,
        }
    }

    fn put_back(&mut self, piece: (Range<u64>, Option<u64>)) {
        self.back = Some(piece);
    }
}

impl Iterator for Pieces<'_> {
    type Item = (Range<u64>, Option<u64>);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(piece) = self.back.take() {
            return Some(piece);
        }
        let Version {
            frame, info, len, ..
        } = self.version;
        let is_content = self.next < extents(frame.extent(), *len);
        let stored = match is_content {
            true => frame.stored(self.next, 0..self.version.extent_len(self.next)),
            false => info.length..info.length,
        };
        let from = self.at;
        if from < stored.start {
            self.at = stored.start;
            return Some((from..stored.start, None));
        }
        self.at = stored.end;
        self.next += 1;
        is_content.then(|| (stored, Some(self.next - 1)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use blob_store::Metadata;

    use super::*;
    use crate::Mode;
    use crate::budget::Budget;
    use crate::codec::{Layout, Stored};
    use crate::tests::{bytes, dek, modes};

    /// A version of one whole extent and half a unit: its frame and its blob.
    fn version(mode: Mode) -> (Arc<dyn Frame>, Vec<u8>, Vec<u8>) {
        let layout = Layout::new(mode, &dek(7), "key");
        let codec = layout.create().unwrap();
        let extent = usize::try_from(codec.extent()).unwrap();
        let clear = bytes(extent + usize::try_from(codec.unit()).unwrap() / 2, 1);
        let (mut blob, mut marks) = (Vec::new(), Vec::new());
        for (index, part) in (0..).zip(clear.chunks(extent)) {
            let (sealed, mark) = codec.seal(index, part).unwrap();
            blob.extend(sealed);
            marks.push(mark);
        }
        let committed = codec.commit("a", clear.len() as u64, marks, Default::default());
        let committed = committed.unwrap();
        blob.extend(&committed.trailer);
        let metadata: &Metadata = &committed.metadata;
        let stored = Stored {
            length: blob.len() as u64,
            tail: &blob,
            metadata,
        };
        let opened = layout.open("a", &stored).unwrap();
        (opened.frame, blob, clear)
    }

    #[test]
    fn no_frame_holds_what_it_opens_twice() {
        for mode in modes() {
            let (frame, blob, clear) = version(mode);
            let digests = Digests {
                units: clear
                    .chunks(usize::try_from(frame.unit()).unwrap())
                    .map(digest_of)
                    .collect(),
                _memory: Budget::new(4096).try_take(0).unwrap(),
            };
            let guarded = Arc::new(digests).guard(Arc::clone(&frame));
            for frame in [frame, guarded] {
                let extent = frame.extent();
                let rest = clear.len() as u64 - extent;
                for (index, part) in [(0, 0..extent), (1, 0..rest)] {
                    let range = frame.stored(index, part.clone());
                    let place = |at| usize::try_from(at).unwrap();
                    let sealed = &blob[place(range.start)..place(range.end)];
                    let given = Cell::new((0, std::ptr::null()));
                    let spare = |length| {
                        let memory = vec![0xee; length];
                        given.set((given.get().0 + 1, memory.as_ptr()));
                        memory
                    };
                    let length = part.end;
                    let opened = frame.open_with(index, part, sealed, &spare).unwrap();
                    let from = place(index * extent);
                    assert!(opened == clear[from..from + place(length)], "{mode:?}");
                    // A padded block of `cse-v1` is opened elsewhere; then nothing is taken here.
                    match given.get() {
                        (0, _) => assert!(matches!(mode, Mode::CseV1(_)) && index == 1),
                        (count, at) => assert!(count == 1 && at == opened.as_ptr(), "{mode:?}"),
                    }
                    assert!(opened.capacity() == opened.len(), "{mode:?}");
                }
            }
        }
    }
}
