use std::io::IsTerminal;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::CliError;

/// Memory is counted in pages of this many bytes.
const PAGE: u64 = 64 << 10;

/// How much a transfer may use.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Files and parts of files under way at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) parallel: u16,
    /// Memory for the content under way, in MiB.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    pub(crate) memory_mb: u32,
    /// No progress bar; without a terminal there is none anyway.
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parallel: 8,
            memory_mb: 256,
            quiet: true,
        }
    }
}

/// What all files of a command share: the right to have a part under way, memory for it, and the progress bar.
#[derive(Clone)]
pub(crate) struct Engine {
    slots: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// Bytes.
    total: u64,
    parallel: usize,
    bar: ProgressBar,
}

/// A part under way: a place among those that are, and memory. Both come back on drop.
pub(super) struct Part {
    slot: Option<OwnedSemaphorePermit>,
    _memory: OwnedSemaphorePermit,
}

impl Engine {
    pub(crate) fn new(limits: &Limits) -> Self {
        let total = u64::from(limits.memory_mb) << 20;
        let bar = if limits.quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4))
        };
        let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self {
            slots: Arc::new(Semaphore::new(limits.parallel.into())),
            memory: Arc::new(Semaphore::new(pages(total) as usize)),
            total,
            parallel: limits.parallel.into(),
            bar,
        }
    }

    /// Files at once.
    pub(super) const fn parallel(&self) -> usize {
        self.parallel
    }

    /// Waits for the right to have a part of `bytes` in memory under way.
    pub(super) async fn part(&self, bytes: u64) -> Result<Part, CliError> {
        if bytes > self.total {
            return Err(CliError::Argument {
                argument: "--memory-mb",
                reason: format!("a part of this file needs {} MiB", bytes.div_ceil(1 << 20)),
            });
        }
        // Whoever waits for memory holds none, and those who hold some never wait for more.
        let closed = |_| CliError::io("the transfer", std::io::ErrorKind::Interrupted.into());
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let memory = Arc::clone(&self.memory).acquire_many_owned(pages(bytes));
        Ok(Part {
            slot: Some(slot.map_err(closed)?),
            _memory: memory.await.map_err(closed)?,
        })
    }

    /// Shows what is to come.
    pub(super) fn begin(&self, what: &'static str, bytes: u64) {
        self.bar.set_message(what);
        self.bar.set_length(bytes);
        self.bar.set_position(0);
    }

    /// Counts clear bytes that are done.
    pub(super) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Part {
    /// It is not under way any more, but still in memory.
    pub(super) fn arrived(&mut self) {
        self.slot = None;
    }
}

fn pages(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PAGE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_and_memory_are_bounded_and_come_back() {
        let engine = Engine::new(&Limits {
            parallel: 3,
            memory_mb: 64,
            quiet: true,
        });
        let one = engine.part(40 << 20).await.unwrap();
        let mut waiting = Box::pin(engine.part(40 << 20));
        assert!(futures::poll!(&mut waiting).is_pending(), "memory");
        drop(one);
        let mut two = waiting.await.unwrap();
        let _three = engine.part(1).await.unwrap();
        let _four = engine.part(1).await.unwrap();
        let mut waiting = Box::pin(engine.part(1));
        assert!(futures::poll!(&mut waiting).is_pending(), "slots");
        two.arrived();
        waiting.await.unwrap();
        let refused = engine.part((64 << 20) + 1).await;
        assert!(matches!(refused, Err(CliError::Argument { .. })));
    }
}
