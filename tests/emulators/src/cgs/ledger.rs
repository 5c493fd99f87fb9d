//! Transaction ids and when they become committed. Nothing runs in the background: what is due is found when asked.
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// The only view: a service that was opened once.
const VIEW: u64 = 2;

/// Position in the ledger, `<view>.<seqno>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TxId {
    pub(super) view: u64,
    pub(super) seqno: u64,
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.view, self.seqno)
    }
}

pub(super) struct Ledger {
    delay: Option<Duration>,
    held: bool,
    last: u64,
    committed: u64,
    /// When each write after `committed` was made.
    pending: VecDeque<Instant>,
    root: [u8; 32],
    open: Option<TxId>,
}

impl Ledger {
    pub(super) fn new(delay: Option<Duration>) -> Self {
        // The transactions that opened the service.
        let genesis = 10;
        Self {
            delay,
            held: false,
            last: genesis,
            committed: genesis,
            pending: VecDeque::new(),
            root: Sha256::digest(b"genesis").into(),
            open: None,
        }
    }

    /// Starts the next request's transaction.
    pub(super) const fn begin(&mut self) {
        self.open = None;
    }

    /// The position of what this request writes: one, however much it writes.
    pub(super) fn write(&mut self) -> TxId {
        if let Some(open) = self.open {
            return open;
        }
        self.last += 1;
        self.pending.push_back(Instant::now());
        let mut hash = Sha256::new();
        hash.update(self.root);
        hash.update(self.last.to_be_bytes());
        self.root = hash.finalize().into();
        let tx = TxId {
            view: VIEW,
            seqno: self.last,
        };
        self.open = Some(tx);
        tx
    }

    /// What an answer names: its own write, or the version that it read.
    pub(super) fn answered(&self) -> TxId {
        self.open.unwrap_or(TxId {
            view: VIEW,
            seqno: self.last,
        })
    }

    pub(super) const fn root(&self) -> [u8; 32] {
        self.root
    }

    /// The last committed position.
    pub(super) fn committed(&mut self) -> TxId {
        if let (false, Some(delay)) = (self.held, self.delay) {
            let now = Instant::now();
            while self
                .pending
                .front()
                .is_some_and(|made| now.saturating_duration_since(*made) >= delay)
            {
                self.pending.pop_front();
                self.committed += 1;
            }
        }
        TxId {
            view: VIEW,
            seqno: self.committed,
        }
    }

    /// Keeps writes pending from now on, or lets them go again.
    pub(super) fn hold(&mut self, held: bool) {
        self.committed();
        self.held = held;
    }

    pub(super) fn set_delay(&mut self, delay: Option<Duration>) {
        self.committed();
        self.delay = delay;
    }

    /// The status of a transaction id, none for text that is no id.
    pub(super) fn status(&mut self, text: &str) -> Option<&'static str> {
        let committed = self.committed();
        let (view, seqno) = text.split_once('.')?;
        let number = |digits: &str| -> Option<u64> {
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())
                .flatten()
        };
        let (view, seqno) = (number(view)?, number(seqno)?);
        Some(if view > VIEW || (view == VIEW && seqno > self.last) {
            "Unknown"
        } else if view < VIEW {
            "Invalid"
        } else if seqno <= committed.seqno {
            "Committed"
        } else {
            "Pending"
        })
    }
}
