//! The wire tap: what a host that reads everything would have seen.
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Bytes kept; the oldest bodies go first.
const KEPT: usize = 256 << 20;

/// Every request body that blob storage received, bounded in memory.
#[derive(Debug, Default)]
pub struct WireTap(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    bodies: VecDeque<Received>,
    bytes: usize,
    dropped: bool,
}

#[derive(Clone, Debug)]
struct Received {
    container: String,
    body: Bytes,
}

/// What the tap saw.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Seen {
    /// Bodies kept.
    pub bodies: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Whether older bodies were dropped for want of room.
    pub overflowed: bool,
}

impl WireTap {
    pub(super) fn received(&self, container: &str, body: &Bytes) {
        if body.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += body.len();
        kept.bodies.push_back(Received {
            container: container.to_owned(),
            body: body.clone(),
        });
        while kept.bytes > KEPT
            && let Some(oldest) = kept.bodies.pop_front()
        {
            kept.bytes -= oldest.body.len();
            kept.dropped = true;
        }
    }

    /// Whether `needle` lies within one received body. An empty needle is nowhere.
    #[must_use]
    pub fn contains(&self, needle: &[u8]) -> bool {
        self.contains_in(None, needle)
    }

    /// As [`WireTap::contains`], of the bodies sent to containers of this name, of any account.
    #[must_use]
    pub fn contains_in(&self, container: Option<&str>, needle: &[u8]) -> bool {
        if needle.is_empty() {
            return false;
        }
        let bodies = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .bodies
            .clone();
        let finder = memchr::memmem::Finder::new(needle);
        let mut among = bodies
            .iter()
            .filter(|one| container.is_none_or(|name| one.container == name));
        among.any(|one| finder.find(&one.body).is_some())
    }

    /// How much there is to search; a "not contained" means something only where bodies came and none was dropped.
    #[must_use]
    pub fn seen(&self, container: Option<&str>) -> Seen {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let among = kept
            .bodies
            .iter()
            .filter(|one| container.is_none_or(|name| one.container == name));
        among.fold(
            Seen {
                bodies: 0,
                bytes: 0,
                overflowed: kept.dropped,
            },
            |seen, one| Seen {
                bodies: seen.bodies + 1,
                bytes: seen.bytes + one.body.len(),
                ..seen
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tap_finds_what_was_sent_and_where() {
        let tap = WireTap::default();
        tap.received("input", &Bytes::from_static(b"first secret body"));
        tap.received("output", &Bytes::from_static(b"sealed"));
        assert!(tap.contains(b"secret"));
        assert!(tap.contains_in(Some("input"), b"secret"));
        assert!(!tap.contains_in(Some("output"), b"secret"));
        assert!(!tap.contains(b"other"));
        assert!(!tap.contains(b""));
        assert_eq!(
            tap.seen(Some("output")),
            Seen {
                bodies: 1,
                bytes: 6,
                overflowed: false
            }
        );
        assert_eq!(tap.seen(Some("elsewhere")).bodies, 0);
    }

    #[test]
    fn a_full_tap_forgets_the_oldest_and_says_so() {
        let tap = WireTap::default();
        tap.received("input", &Bytes::from_static(b"secret"));
        tap.received("input", &Bytes::from(vec![0_u8; KEPT]));
        assert!(tap.seen(None).overflowed);
        assert!(!tap.contains(b"secret"));
    }
}
