//! Clear content that storage holds, too: it can be dropped at any time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;

use crate::budget::{Budget, Memory};
use crate::inner::lock;

/// One sealed state of one extent. A number is never used for another content, so nothing in the cache is ever stale.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ContentId(u64);

impl ContentId {
    /// The number `index` places behind.
    pub(crate) const fn plus(self, index: u64) -> Self {
        Self(self.0 + index)
    }
}

/// A unit of an extent.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key {
    pub(crate) content: ContentId,
    pub(crate) unit: u64,
}

/// Clear bytes of a unit. They and their neighbours lie in one buffer, whose memory is the budget's until nobody refers
/// to any part of it.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// The unit, and all behind it in the same buffer.
    pub(crate) rest: Bytes,
}

/// A buffer, with the memory that it was allocated in; it is dropped first.
struct Held<T>(
    T,
    #[expect(dead_code, reason = "given back on drop")] Memory,
);

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

#[derive(Debug)]
enum Slot {
    Ready { chunk: Chunk, used: u64 },
    Pending(watch::Receiver<()>),
}

#[derive(Debug, Default)]
struct Slots {
    slots: HashMap<Key, Slot>,
    /// Ready ones by the time of their last use.
    order: BTreeMap<u64, Key>,
    clock: u64,
}

/// What is known of a unit.
pub(crate) enum Found {
    Ready(Chunk),
    /// Somebody fetches it; the channel closes when he is done.
    Pending(watch::Receiver<()>),
    Missing,
}

/// Cached content of all files.
#[derive(Debug)]
pub(crate) struct Cache {
    slots: Mutex<Slots>,
    next: AtomicU64,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            slots: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    /// A row of `count` unused numbers.
    pub(crate) fn contents(&self, count: u64) -> ContentId {
        ContentId(self.next.fetch_add(count, Ordering::Relaxed))
    }

    pub(crate) fn find(&self, key: Key) -> Found {
        let mut guard = lock(&self.slots);
        let slots = &mut *guard;
        match slots.slots.get_mut(&key) {
            None => Found::Missing,
            Some(Slot::Pending(done)) => Found::Pending(done.clone()),
            Some(Slot::Ready { chunk, used }) => {
                slots.clock += 1;
                slots.order.remove(used);
                slots.order.insert(slots.clock, key);
                *used = slots.clock;
                Found::Ready(chunk.clone())
            }
        }
    }

    /// As [`Cache::announce`], from the first unit on that nobody has or fetches.
    pub(crate) fn announce_missing(
        self: &Arc<Self>,
        content: ContentId,
        mut units: std::ops::Range<u64>,
    ) -> Pending {
        {
            let slots = lock(&self.slots);
            let is_known = |unit| slots.slots.contains_key(&Key { content, unit });
            while units.start < units.end && is_known(units.start) {
                units.start += 1;
            }
        }
        self.announce(content, units)
    }

    /// Announces that the caller fetches `units` of an extent, from the first on as far as nobody has or does.
    pub(crate) fn announce(
        self: &Arc<Self>,
        content: ContentId,
        units: std::ops::Range<u64>,
    ) -> Pending {
        let (sender, receiver) = watch::channel(());
        let mut slots = lock(&self.slots);
        let mut end = units.start;
        while end < units.end {
            let key = Key { content, unit: end };
            if slots.slots.contains_key(&key) {
                break;
            }
            slots.slots.insert(key, Slot::Pending(receiver.clone()));
            end += 1;
        }
        Pending {
            cache: Arc::clone(self),
            content,
            units: units.start..end,
            _done: sender,
        }
    }

    /// Keeps clear bytes, cut into units; `bytes` lie in `memory`.
    pub(crate) fn keep(
        &self,
        content: ContentId,
        first: u64,
        unit: usize,
        bytes: impl AsRef<[u8]> + Send + 'static,
        memory: Memory,
    ) -> Vec<Chunk> {
        let bytes = Bytes::from_owner(Held(bytes, memory));
        let mut guard = lock(&self.slots);
        let slots = &mut *guard;
        let mut chunks = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let end = bytes.len().min(at + unit);
            let chunk = Chunk {
                bytes: bytes.slice(at..end),
                rest: bytes.slice(at..),
            };
            slots.clock += 1;
            let used = slots.clock;
            let key = Key {
                content,
                unit: first + chunks.len() as u64,
            };
            chunks.push(chunk.clone());
            if let Some(Slot::Ready { used, .. }) =
                slots.slots.insert(key, Slot::Ready { chunk, used })
            {
                slots.order.remove(&used);
            }
            slots.order.insert(used, key);
            at = end;
        }
        chunks
    }

    /// Drops the longest unused units until `bytes` could be taken from the budget; `false` if nothing is left to drop.
    pub(crate) fn make_room(&self, budget: &Budget, bytes: u64) -> Option<Memory> {
        loop {
            if let Some(memory) = budget.try_take(bytes) {
                return Some(memory);
            }
            let mut guard = lock(&self.slots);
            let slots = &mut *guard;
            let (_, key) = slots.order.pop_first()?;
            // Dropped outside of the lock, as it may free a lot.
            let dropped = slots.slots.remove(&key);
            drop(guard);
            drop(dropped);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        let mut slots = lock(&self.slots);
        let ready = std::mem::take(&mut slots.order);
        let dropped: Vec<_> = ready
            .values()
            .filter_map(|key| slots.slots.remove(key))
            .collect();
        drop(slots);
        drop(dropped);
    }
}

/// Units that are being fetched; when it is dropped, whoever waited looks again.
pub(crate) struct Pending {
    cache: Arc<Cache>,
    content: ContentId,
    pub(crate) units: std::ops::Range<u64>,
    _done: watch::Sender<()>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut slots = lock(&self.cache.slots);
        for unit in self.units.clone() {
            let key = Key {
                content: self.content,
                unit,
            };
            if matches!(slots.slots.get(&key), Some(Slot::Pending(_))) {
                slots.slots.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_leaves_first_and_memory_follows_the_last_user() {
        let budget = Budget::new(8 << 12);
        let cache = Arc::new(Cache::new());
        let keep = |content| {
            let memory = budget.try_take(2 << 12).unwrap();
            cache.keep(content, 0, 1 << 12, vec![1; 2 << 12], memory)
        };
        let first = cache.contents(4);
        for index in 0..4 {
            keep(first.plus(index));
        }
        let key = |index, unit| Key {
            content: first.plus(index),
            unit,
        };
        let held = cache.find(key(0, 0));
        assert!(matches!(held, Found::Ready(_)));
        let taken = cache.make_room(&budget, 2 << 12).unwrap();
        assert!(matches!(cache.find(key(1, 0)), Found::Missing));
        assert!(matches!(cache.find(key(0, 0)), Found::Ready(_)));
        drop(taken);
        assert!(
            cache.make_room(&budget, 8 << 12).is_none(),
            "a reader still holds a part"
        );
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn one_fetches_and_the_others_wait() {
        let cache = Arc::new(Cache::new());
        let content = cache.contents(1);
        let fetching = cache.announce(content, 0..4);
        assert_eq!(fetching.units, 0..4);
        assert!(cache.announce(content, 2..6).units.is_empty());
        let Found::Pending(mut done) = cache.find(Key { content, unit: 1 }) else {
            panic!("it is being fetched");
        };
        drop(fetching);
        assert!(done.changed().await.is_err());
        assert!(matches!(
            cache.find(Key { content, unit: 1 }),
            Found::Missing
        ));
    }
}
