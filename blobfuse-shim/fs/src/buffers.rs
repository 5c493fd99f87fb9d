//! Buffers that are used again: memory fresh from the kernel costs more than opening content into it.

use std::sync::{Arc, Mutex};

use crate::inner::lock;

/// Length of the buffers that are kept, in bytes; others come and go.
pub(crate) const LENGTH: usize = 2 << 20;

/// Unused buffers.
#[derive(Debug)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
    most: usize,
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
            most: usize::try_from(bytes).unwrap_or(usize::MAX) / LENGTH,
        }
    }

    /// A buffer of some content, `length` bytes of it.
    pub(crate) fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let kept = match length {
            LENGTH => lock(&self.free).pop(),
            _ => None,
        };
        Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; length]),
            home: Arc::clone(self),
        }
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
        if self.bytes.len() == LENGTH {
            let mut free = lock(&self.home.free);
            if free.len() < self.home.most {
                free.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_parts_are_kept_and_no_more_than_there_is_room_for() {
        let buffers = Arc::new(Buffers::new(2 * LENGTH as u64 + 1));
        let taken: Vec<_> = [LENGTH, LENGTH, LENGTH, 5]
            .map(|length| buffers.take(length))
            .into();
        assert_eq!(
            taken.iter().map(|one| one.bytes.len()).sum::<usize>(),
            3 * LENGTH + 5
        );
        drop(taken);
        assert_eq!(lock(&buffers.free).len(), 2);
        let kept = buffers.take(LENGTH);
        assert_eq!(lock(&buffers.free).len(), 1);
        assert_eq!(kept.into_vec().len(), LENGTH);
        assert_eq!(lock(&buffers.free).len(), 1, "it was given away");
    }
}
