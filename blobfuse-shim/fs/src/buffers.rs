//! Buffers that are used again: memory fresh from the kernel costs more than opening content into it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::inner::lock;

/// Shorter ones the allocator keeps by itself.
const SMALLEST: usize = 1 << 20;
/// A buffer stands in for one that may be this much shorter, in bytes.
const SLACK: usize = 64 << 10;

/// Unused buffers.
#[derive(Debug)]
pub(crate) struct Buffers {
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
    /// Keeps at most `bytes` of memory.
    pub(crate) fn new(bytes: u64) -> Self {
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
            bytes = vec![0; length];
        }
        bytes.resize(length, 0);
        self.wrap(bytes)
    }

    /// An empty buffer with room for `length` bytes.
    pub(crate) fn room(&self, length: usize) -> Vec<u8> {
        let mut bytes = self.find(length).unwrap_or_default();
        bytes.clear();
        bytes.reserve_exact(length);
        bytes
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
        let buffers = Arc::new(Buffers::new(2 * LENGTH as u64 + 1));
        let taken: Vec<_> = [LENGTH, LENGTH, LENGTH, 5]
            .map(|length| buffers.take(length))
            .into();
        let sum = taken.iter().map(|one| one.bytes.len()).sum::<usize>();
        assert_eq!(sum, 3 * LENGTH + 5);
        drop(taken);
        assert_eq!(lock(&buffers.free).bytes, 2 * LENGTH);
        assert_eq!(
            buffers.take(LENGTH - SLACK - 1).into_vec().len(),
            LENGTH - SLACK - 1
        );
        assert_eq!(
            lock(&buffers.free).bytes,
            2 * LENGTH,
            "it is too long for that"
        );
        let mut kept = buffers.take(LENGTH - 1);
        assert_eq!(kept.bytes.len(), LENGTH - 1);
        assert_eq!(lock(&buffers.free).bytes, LENGTH);
        kept.bytes.clear();
        drop(kept);
        assert_eq!(buffers.room(LENGTH).len(), 0);
        assert_eq!(lock(&buffers.free).bytes, LENGTH);
    }
}
