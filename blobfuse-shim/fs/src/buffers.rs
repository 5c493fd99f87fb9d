//! Buffers that are used again: memory fresh from the kernel costs more than opening content into it, or receiving it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::inner::lock;

/// Shorter ones the allocator keeps by itself.
const SMALLEST: usize = 1 << 20;
/// A buffer stands in for one that may be this much shorter, in bytes.
const SLACK: usize = 64 << 10;

/// Unused buffers of a mount.
#[derive(Debug)]
pub struct Buffers {
    free: Mutex<Free>,
    most: usize,
}

#[derive(Debug, Default)]
struct Free {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// A buffer; it goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// What is unused of a mount's memory: `memory` is [`crate::Options::memory`].
    pub fn of(memory: u64) -> Self {
        Self::new(share(memory))
    }

    /// Keeps at most `bytes` of memory.
    fn new(bytes: u64) -> Self {
        Self {
            free: Mutex::default(),
            most: usize::try_from(bytes).unwrap_or(usize::MAX),
        }
    }

    /// A buffer of `length` bytes, whatever they are.
    pub(crate) fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let mut bytes = self.find(length).unwrap_or_default();
        if bytes.capacity() == 0 {
            // Fresh memory is zero already.
            bytes = vec![0; rounded(length)];
        }
        bytes.resize(length, 0);
        self.wrap(bytes)
    }

    /// An empty buffer with room for `length` bytes.
    pub fn room(&self, length: usize) -> Vec<u8> {
        let mut bytes = self.find(length).unwrap_or_default();
        bytes.clear();
        bytes.reserve_exact(rounded(length));
        bytes
    }

    /// Keeps the memory of `bytes` that nobody else has.
    pub(crate) fn give_back(self: &Arc<Self>, bytes: Bytes) {
        // Another's would be copied.
        if bytes.len() >= SMALLEST && bytes.is_unique() {
            drop(self.wrap(bytes.into()));
        }
    }

    /// Lets a buffer come here when it is dropped.
    pub(crate) fn wrap(self: &Arc<Self>, bytes: Vec<u8>) -> Buffer {
        Buffer {
            bytes,
            home: Arc::clone(self),
        }
    }

    fn find(&self, length: usize) -> Option<Vec<u8>> {
        if length < SMALLEST {
            return None;
        }
        let mut free = lock(&self.free);
        let fits = |bytes: &Vec<u8>| (length..=length + SLACK).contains(&bytes.capacity());
        let at = free.buffers.iter().position(fits)?;
        let bytes = free.buffers.remove(at)?;
        free.bytes -= bytes.capacity();
        Some(bytes)
    }
}

/// The part of a mount's memory that unused buffers may have.
pub(crate) fn share(memory: u64) -> u64 {
    (memory / 16).min(8 << 20)
}

/// Bytes of a buffer for `length`: content and what it is sealed in, which is a little longer, lie in each other's.
const fn rounded(length: usize) -> usize {
    if length < SMALLEST {
        return length;
    }
    (length + SLACK) / SLACK * SLACK
}

impl Buffer {
    /// The buffer for good.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let capacity = self.bytes.capacity();
        if capacity < SMALLEST || capacity > self.home.most {
            return;
        }
        let mut free = lock(&self.home.free);
        free.bytes += capacity;
        free.buffers.push_back(std::mem::take(&mut self.bytes));
        // Those that nobody asked for longest make room.
        while free.bytes > self.home.most
            && let Some(oldest) = free.buffers.pop_front()
        {
            free.bytes -= oldest.capacity();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 2 << 20;

    #[test]
    fn large_buffers_are_used_again_and_no_more_are_kept_than_there_is_room_for() {
        let whole = LENGTH + SLACK;
        let buffers = Arc::new(Buffers::new(2 * whole as u64 + 1));
        let taken: Vec<_> = [LENGTH, LENGTH, LENGTH, 5]
            .map(|length| buffers.take(length))
            .into();
        let sum = taken.iter().map(|one| one.bytes.len()).sum::<usize>();
        assert_eq!(sum, 3 * LENGTH + 5);
        drop(taken);
        assert_eq!(lock(&buffers.free).bytes, 2 * whole);
        assert_eq!(
            buffers.take(LENGTH - 1).into_vec().len(),
            LENGTH - 1,
            "fresh, as the others are too long for it"
        );
        assert_eq!(lock(&buffers.free).bytes, 2 * whole);
        let mut kept = buffers.take(LENGTH);
        assert_eq!(kept.bytes.len(), LENGTH);
        assert_eq!(lock(&buffers.free).bytes, whole);
        kept.bytes.clear();
        drop(kept);
        assert_eq!(lock(&buffers.free).bytes, 2 * whole);
        assert_eq!(buffers.room(LENGTH).len(), 0);
        assert_eq!(lock(&buffers.free).bytes, whole);
    }

    #[test]
    fn what_content_was_sealed_in_holds_other_content_next_but_only_if_nobody_else_reads_it() {
        let buffers = Arc::new(Buffers::new(32 << 20));
        let mut received = buffers.room(LENGTH + 512);
        received.resize(LENGTH + 512, 1);
        let received = Bytes::from(received);
        let reader = received.slice(1..);
        buffers.give_back(received);
        assert_eq!(lock(&buffers.free).bytes, 0, "it is read");
        assert!(reader.iter().all(|byte| *byte == 1));
        drop(reader);

        let mut received = buffers.room(LENGTH + 512);
        let second = received.as_ptr();
        received.resize(LENGTH + 512, 1);
        buffers.give_back(received.into());
        let opened = buffers.take(LENGTH);
        assert_eq!(opened.bytes.as_ptr(), second);
        assert_eq!(opened.bytes.len(), LENGTH);
        drop(opened);
        let received = buffers.room(LENGTH + 512);
        assert_eq!(received.as_ptr(), second);
    }
}
