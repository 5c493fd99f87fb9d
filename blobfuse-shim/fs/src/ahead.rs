//! Read-ahead: who reads front to back finds the next part in memory already.

use std::ops::Range;
use std::sync::Arc;

use crate::file::Handle;
use crate::inner::{Inner, lock};
use crate::read::clear_range;
use crate::version::Version;

/// Requests of one reader arrive a little out of order; within this distance they count as sequential.
const SLACK: u64 = 2 << 20;
const SMALLEST: u64 = 512 << 10;
/// Largest part that is fetched by one request, in bytes.
const PART: u64 = 2 << 20;

/// Where one handle reads.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// Where a sequential reader goes on.
    next: u64,
    /// How far ahead of it content is fetched.
    window: u64,
    /// Everything before was asked for.
    ahead: u64,
}

impl Cursor {
    /// Takes note of a read; returns what to fetch now.
    fn advance(&mut self, offset: u64, end: u64, largest: u64, len: u64) -> Range<u64> {
        if offset.abs_diff(self.next) > SLACK {
            *self = Self {
                next: end,
                window: 0,
                ahead: end,
            };
            return 0..0;
        }
        self.next = self.next.max(end);
        if self.ahead.saturating_sub(self.next) > self.window / 2 {
            return 0..0;
        }
        self.window = (self.window * 2).clamp(SMALLEST.min(largest), largest);
        // One request brings the bytes of this read along with those expected next.
        let start = self.ahead.max(offset);
        self.ahead = len.min(self.next + self.window).max(start);
        start..self.ahead
    }
}

impl Inner {
    /// After a read: starts to fetch what a sequential reader will ask for next, as far as memory is free.
    pub(crate) fn look_ahead(
        self: &Arc<Self>,
        handle: &Handle,
        version: &Arc<Version>,
        offset: u64,
        end: u64,
    ) {
        let largest = self.options.window;
        let wanted = lock(&handle.cursor).advance(offset, end, largest, version.len);
        let (extent, unit) = (version.frame.extent(), version.frame.unit());
        let part = (PART / unit).max(1) * unit;
        let mut at = wanted.start / unit * unit;
        while at < wanted.end && !self.budget.is_short() {
            let index = at / extent;
            let start = at - index * extent;
            let stop = (start + part).min(extent).min(wanted.end - index * extent);
            let units = start / unit..stop.div_ceil(unit);
            at = index * extent + units.end * unit;
            self.fetch_ahead(handle, version, index, units);
        }
    }

    fn fetch_ahead(
        self: &Arc<Self>,
        handle: &Handle,
        version: &Arc<Version>,
        index: u64,
        units: Range<u64>,
    ) {
        let pending = self
            .cache
            .announce_missing(version.contents.of(index), units);
        if pending.units.is_empty() {
            return;
        }
        let clear = clear_range(version, index, &pending.units);
        if clear.is_empty() {
            return;
        }
        let need = version.frame.room(index, clear.clone());
        let Some(mut memory) = self.cache.make_room(&self.budget, need) else {
            return;
        };
        let (inner, file, version) = (
            Arc::clone(self),
            Arc::clone(&handle.file),
            Arc::clone(version),
        );
        tokio::spawn(async move {
            // Whoever needs it asks again and learns why it failed.
            let Ok(bytes) = inner.open(&file, &version, index, clear).await else {
                return;
            };
            memory.shrink(bytes.len() as u64);
            let unit = usize::try_from(version.frame.unit()).unwrap_or(usize::MAX);
            let content = version.contents.of(index);
            inner
                .cache
                .keep(content, pending.units.start, unit, &bytes, memory);
            drop(pending);
            inner.give_way();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_while_reads_are_sequential_and_closes_on_a_jump() {
        let mut cursor = Cursor::default();
        let (largest, len) = (8 << 20, 1 << 30);
        let mut fetched = 0..0;
        let mut step = |cursor: &mut Cursor, offset: u64| {
            let range = cursor.advance(offset, offset + (128 << 10), largest, len);
            if !range.is_empty() {
                assert!(fetched.end <= range.start, "nothing is fetched twice");
                fetched = range.clone();
            }
            range
        };
        let mut at = 0;
        while at < 64 << 20 {
            step(&mut cursor, at);
            at += 128 << 10;
        }
        assert_eq!(cursor.window, largest);
        assert!(cursor.ahead - at >= largest / 2 - (128 << 10));
        assert!(step(&mut cursor, 500 << 20).is_empty());
        assert_eq!(cursor.window, 0);
    }

    #[test]
    fn requests_out_of_order_are_one_reader_and_nothing_behind_the_end_is_fetched() {
        let mut cursor = Cursor::default();
        let len = 3 << 20;
        for part in [0_u64, 2, 1, 3, 5, 4] {
            let offset = part * (256 << 10);
            let range = cursor.advance(offset, offset + (256 << 10), 8 << 20, len);
            assert!(range.end <= len);
        }
        assert!(cursor.window > 0);
    }
}
