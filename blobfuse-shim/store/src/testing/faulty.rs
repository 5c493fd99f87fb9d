use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::{BlobInfo, BlobStore, BlockId, Condition, Etag, Metadata, Outcome, Page, StoreError};

/// An operation of a store, for [`Faulty`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// `head`.
    Head,
    /// `get_range`.
    Get,
    /// `put_blob`, `put_directory`.
    Put,
    /// `put_block`.
    Block,
    /// `put_block_list`.
    BlockList,
    /// `committed_blocks`.
    Blocks,
    /// `rename`.
    Rename,
    /// `list`.
    List,
    /// `delete`.
    Delete,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The service does not serve.
    Down,
    /// The service asks to come back later, until the client gave up.
    Throttled,
    /// There is never an answer.
    Hang,
    /// The answer takes this long.
    Slow(Duration),
    /// Another writer commits the same blob just before.
    Overtaken,
    /// The account takes no more data.
    Full,
    /// A read finds another version than the expected one.
    Stale,
    /// The connection breaks within the answer's body, which the client notices.
    Reset,
    /// A read returns fewer bytes than asked, which the client does not notice.
    Truncated,
    /// A read returns more bytes than asked.
    Extended,
    /// The operation happens, its answer is lost.
    LostAnswer,
}

#[derive(Debug)]
struct Dice {
    state: AtomicU64,
    per_thousand: u64,
    failures: Vec<Failure>,
}

/// A store that fails on demand, or at random from a seed.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn BlobStore>,
    plan: Arc<Mutex<Vec<(Operation, Failure)>>>,
    dice: Arc<Mutex<Option<Dice>>>,
    log: Arc<Mutex<Vec<Operation>>>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faulty {
    /// Fails nothing yet.
    pub fn new(inner: impl BlobStore) -> Self {
        Self {
            inner: Arc::new(inner),
            plan: Arc::default(),
            dice: Arc::default(),
            log: Arc::default(),
        }
    }

    /// Lets every further `operation` fail until [`Faulty::heal`].
    pub fn fail(&self, operation: Operation, failure: Failure) {
        lock(&self.plan).push((operation, failure));
    }

    /// From now on lets `per_thousand` of all operations fail with one of `failures`, chosen by a generator that starts
    /// with `seed`; until [`Faulty::heal`].
    pub fn fail_at_random(&self, seed: u64, per_thousand: u64, failures: &[Failure]) {
        *lock(&self.dice) = Some(Dice {
            state: AtomicU64::new(seed | 1),
            per_thousand,
            failures: failures.to_vec(),
        });
    }

    /// Ends all failures.
    pub fn heal(&self) {
        lock(&self.plan).clear();
        *lock(&self.dice) = None;
    }

    /// The operations asked for so far.
    pub fn log(&self) -> Vec<Operation> {
        lock(&self.log).clone()
    }

    fn planned(&self, operation: Operation) -> Option<Failure> {
        let planned = lock(&self.plan)
            .iter()
            .find(|(of, _)| *of == operation)
            .copied();
        if let Some((_, failure)) = planned {
            return Some(failure);
        }
        let dice = lock(&self.dice);
        let dice = dice.as_ref()?;
        let mut roll = dice.state.load(Ordering::Relaxed);
        roll ^= roll << 13;
        roll ^= roll >> 7;
        roll ^= roll << 17;
        dice.state.store(roll, Ordering::Relaxed);
        if (roll >> 8) % 1000 >= dice.per_thousand {
            return None;
        }
        let index = usize::try_from((roll >> 32) % dice.failures.len().max(1) as u64).ok()?;
        dice.failures.get(index).copied()
    }

    /// What goes wrong with an operation before it happens; the rest is for the caller.
    async fn before(
        &self,
        operation: Operation,
        name: &str,
    ) -> Result<Option<Failure>, StoreError> {
        lock(&self.log).push(operation);
        let failure = self.planned(operation);
        match failure {
            None | Some(Failure::Truncated | Failure::Extended | Failure::LostAnswer) => {}
            Some(Failure::Hang) => std::future::pending().await,
            Some(Failure::Slow(time)) => tokio::time::sleep(time).await,
            Some(Failure::Overtaken) => {
                let body = Bytes::from_static(b"another writer");
                self.inner.put_blob(name, body, &Condition::Always).await?;
            }
            Some(Failure::Down) => return Err(unavailable(503, "ServerBusy")),
            Some(Failure::Throttled) => return Err(unavailable(429, "TooManyRequests")),
            Some(Failure::Full) => return Err(StoreError::Full),
            // A write that is told so would have to find that version afterwards: that is [`Failure::Overtaken`].
            Some(Failure::Stale) if operation == Operation::Get => return Err(StoreError::Changed),
            Some(Failure::Stale) => return Ok(None),
            Some(Failure::Reset) => {
                return Err(StoreError::Answer {
                    operation: "a request",
                    reason: "the connection was reset",
                });
            }
        }
        Ok(failure)
    }
}

fn unavailable(status: u16, code: &str) -> StoreError {
    StoreError::Unavailable {
        operation: "a request",
        status,
        code: code.to_owned(),
    }
}

macro_rules! after_plan {
    ($self:ident, $operation:ident, $name:expr, $call:expr) => {
        Box::pin(async move {
            let failure = $self.before(Operation::$operation, $name).await?;
            let outcome = $call.await?;
            match failure {
                Some(Failure::LostAnswer) => Err(unavailable(500, "OperationTimedOut")),
                _ => Ok(outcome),
            }
        })
    };
}

impl BlobStore for Faulty {
    fn head<'a>(&'a self, name: &'a str) -> Outcome<'a, BlobInfo> {
        after_plan!(self, Head, name, self.inner.head(name))
    }

    fn describe<'a>(&'a self, name: &'a str) -> Outcome<'a, (BlobInfo, Metadata)> {
        after_plan!(self, Head, name, self.inner.describe(name))
    }

    fn get_range<'a>(
        &'a self,
        name: &'a str,
        range: Range<u64>,
        version: &'a Etag,
    ) -> Outcome<'a, Bytes> {
        Box::pin(async move {
            let failure = self.before(Operation::Get, name).await?;
            let bytes = self.inner.get_range(name, range, version).await?;
            Ok(match failure {
                Some(Failure::Truncated) => bytes.slice(..bytes.len() / 2),
                Some(Failure::Extended) => [&bytes[..], &[0; 16]].concat().into(),
                Some(Failure::LostAnswer) => return Err(unavailable(500, "OperationTimedOut")),
                _ => bytes,
            })
        })
    }

    fn put_blob<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        after_plan!(self, Put, name, self.inner.put_blob(name, body, condition))
    }

    fn put_blob_with<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        let inner = &self.inner;
        after_plan!(
            self,
            Put,
            name,
            inner.put_blob_with(name, body, metadata, condition)
        )
    }

    fn put_directory<'a>(&'a self, name: &'a str) -> Outcome<'a, Etag> {
        after_plan!(self, Put, name, self.inner.put_directory(name))
    }

    fn put_block<'a>(&'a self, name: &'a str, id: BlockId, body: Bytes) -> Outcome<'a, ()> {
        after_plan!(self, Block, name, self.inner.put_block(name, id, body))
    }

    fn put_block_list<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        let inner = &self.inner;
        after_plan!(
            self,
            BlockList,
            name,
            inner.put_block_list(name, blocks, condition)
        )
    }

    fn put_block_list_with<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        let inner = &self.inner;
        after_plan!(
            self,
            BlockList,
            name,
            inner.put_block_list_with(name, blocks, metadata, condition)
        )
    }

    fn committed_blocks<'a>(&'a self, name: &'a str) -> Outcome<'a, Option<Vec<(BlockId, u64)>>> {
        after_plan!(self, Blocks, name, self.inner.committed_blocks(name))
    }

    fn rename<'a>(
        &'a self,
        from: &'a str,
        to: &'a str,
        source: &'a Condition,
        target: &'a Condition,
    ) -> Outcome<'a, Option<Etag>> {
        let inner = &self.inner;
        after_plan!(self, Rename, from, inner.rename(from, to, source, target))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        directories: bool,
        from: Option<&'a str>,
    ) -> Outcome<'a, Page> {
        after_plan!(
            self,
            List,
            prefix,
            self.inner.list(prefix, directories, from)
        )
    }

    fn delete<'a>(&'a self, name: &'a str, condition: &'a Condition) -> Outcome<'a, ()> {
        after_plan!(self, Delete, name, self.inner.delete(name, condition))
    }
}
