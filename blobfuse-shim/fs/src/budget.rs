//! One bounded memory budget for everything that holds file content: cache, read-ahead, write-back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Mode, Options, buffers, codec};

/// Memory is counted in pages of this many bytes.
const PAGE: u64 = 4096;

/// How a mount's memory is divided, beside answers and unused buffers.
pub(crate) struct Shares {
    /// Bytes of one upload.
    pub(crate) slot: u64,
    /// Uploads at once.
    pub(crate) slots: u64,
    /// Bytes for everything else: the budget.
    pub(crate) pool: u64,
}

impl Shares {
    pub(crate) fn of(mode: Mode, options: &Options) -> Self {
        // A quarter of the memory at most belongs to uploads.
        let slot = codec::upload_room(mode);
        let most = options.uploads.max(1) as u64;
        let slots = (options.memory / 4 / slot).clamp(1, most);
        let others = options.answers() + buffers::share(options.memory) + slots * slot;
        let pool = options.memory.saturating_sub(others);
        Self { slot, slots, pool }
    }
}

/// The least [`Options::memory`] of a mount, in whole MiB but given in bytes, under which each operation on the files that
/// it makes can have the memory that it takes.
pub fn least_memory(mode: Mode) -> u64 {
    let holds = |memory: &u64| {
        let options = Options {
            memory: *memory,
            ..Options::default()
        };
        Shares::of(mode, &options).pool >= codec::most_room(mode)
    };
    let mut sizes = (1..=u64::from(u32::MAX)).map(|mib| mib << 20);
    sizes.find(holds).unwrap_or(u64::MAX)
}

/// Memory for content, in pages. Never exceeded: who finds none waits, and nobody waits while holding some.
#[derive(Debug)]
pub(crate) struct Budget {
    pages: Arc<Semaphore>,
    total: u64,
    waiting: AtomicUsize,
}

/// Pages that belong to somebody; given back on drop.
#[derive(Debug)]
pub(crate) struct Memory(OwnedSemaphorePermit);

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let pages = (bytes / PAGE).min(u64::from(u32::MAX));
        Self {
            pages: Arc::new(Semaphore::new(
                usize::try_from(pages).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            total: pages,
            waiting: AtomicUsize::new(0),
        }
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        (self.total - (self.pages.available_permits() as u64).min(self.total)) * PAGE
    }

    /// Bytes in all.
    pub(crate) const fn total(&self) -> u64 {
        self.total * PAGE
    }

    /// Somebody waits: nobody should keep what he can do without.
    pub(crate) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Memory for `bytes`, if it is there now.
    pub(crate) fn try_take(&self, bytes: u64) -> Option<Memory> {
        let pages = Arc::clone(&self.pages);
        pages
            .try_acquire_many_owned(self.pages_for(bytes))
            .ok()
            .map(Memory)
    }

    /// Announces that somebody is about to wait.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(&self.waiting)
    }

    /// Waits for memory; the caller holds none.
    pub(crate) async fn take(&self, bytes: u64) -> Option<Memory> {
        let _waiting = self.waiting();
        let pages = Arc::clone(&self.pages);
        let taken = pages.acquire_many_owned(self.pages_for(bytes)).await;
        taken.ok().map(Memory)
    }

    fn pages_for(&self, bytes: u64) -> u32 {
        // One operation can at most have everything; what asks for more was refused when it was mounted or opened.
        u32::try_from(bytes.div_ceil(PAGE).min(self.total)).unwrap_or(u32::MAX)
    }
}

impl Memory {
    /// Gives back all but what `bytes` need.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let keep = usize::try_from(bytes.div_ceil(PAGE)).unwrap_or(usize::MAX);
        if let Some(spare) = self.0.num_permits().checked_sub(keep) {
            drop(self.0.split(spare));
        }
    }
}

/// While it lives, the budget counts as short.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use blob_format::Params;
    use blob_format::v1::BlockSize;

    use super::*;

    #[test]
    fn the_least_memory_holds_a_sealed_and_an_open_extent_and_more_does_so_too() {
        for mode in [
            Mode::Cpk,
            Mode::Sse,
            Mode::CseV2(Params::default()),
            Mode::CseV1(BlockSize::MIB_4),
            Mode::CseV1(BlockSize::MIB_16),
            Mode::CseV1(BlockSize::from_mib(64).unwrap()),
        ] {
            let extent = match mode {
                Mode::CseV1(size) => size.bytes(),
                _ => 4 << 20,
            };
            let pool = |memory| {
                let options = Options {
                    memory,
                    ..Options::default()
                };
                Shares::of(mode, &options).pool
            };
            let least = least_memory(mode);
            assert!(pool(least - (1 << 20)) < 2 * extent + (1 << 16), "{mode:?}");
            for mib in 0..1024 {
                assert!(pool(least + (mib << 20)) >= 2 * extent, "{mode:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_budget_is_never_exceeded_and_everything_comes_back() {
        let budget = Arc::new(Budget::new(64 << 10));
        let first = budget.try_take(40 << 10).unwrap();
        assert!(budget.try_take(40 << 10).is_none());
        let mut second = budget.try_take(20_000).unwrap();
        assert_eq!(budget.used(), (40 << 10) + 5 * 4096);
        second.shrink(1);
        assert_eq!(budget.used(), (40 << 10) + 4096);
        let waiter = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move {
                budget
                    .take(1 << 30)
                    .await
                    .map(|memory| memory.0.num_permits())
            }
        });
        tokio::task::yield_now().await;
        assert!(budget.is_short());
        drop((first, second));
        assert_eq!(
            waiter.await.unwrap(),
            Some(16),
            "more than there is means everything"
        );
        assert!(!budget.is_short());
        assert_eq!(budget.used(), 0);
    }
}
