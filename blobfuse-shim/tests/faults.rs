//! What the application sees when storage or the way to it fails: `docs/mount-faults.md`, cell by cell, through the kernel
//! and over the emulator. Needs root and /dev/fuse, and fails without them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // helpers of tests

#[path = "emulated/mod.rs"]
mod emulated;
#[path = "semantics/room.rs"]
mod room;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use blob_format::Params;
use blob_fs::Mode;
use blob_store::{BlobStore, Condition, Token, TokenSource};
use emulators::upset::{Kind, Upset};
use futures::future::BoxFuture;
use sidecar_http::Coded;

use emulated::Account;
use room::{Mount, close, pattern, write_synced};

const OPERATIONS: [Operation; 7] = [
    Operation::Read,
    Operation::Write,
    Operation::Commit,
    Operation::List,
    Operation::Unlink,
    Operation::Copy,
    Operation::Rename,
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Operation {
    /// `read`.
    Read,
    /// `fsync`; the fault meets the upload of a block.
    Write,
    /// `fsync`; the fault meets the commit.
    Commit,
    /// `readdir`.
    List,
    /// `unlink`.
    Unlink,
    /// `rename` on a flat account; the fault meets the copy.
    Copy,
    /// `rename` on a hierarchical account.
    Rename,
}

impl Operation {
    /// The requests that meet the fault.
    fn upset(self, kind: Kind) -> Upset {
        match self {
            Self::Read => Upset::next("blob", kind).on("GET").at("/data/"),
            Self::Write => Upset::next("blob", kind).on("PUT").at("comp=block&"),
            Self::Commit => Upset::next("blob", kind).on("PUT").at("comp=blocklist"),
            Self::List => Upset::next("blob", kind).on("GET").at("comp=list"),
            Self::Unlink => Upset::next("blob", kind).on("DELETE"),
            Self::Copy => Upset::next("blob", kind).on("PUT").at("/data/renamed"),
            Self::Rename => Upset::next("dfs", kind).on("PUT").at("/data/renamed"),
        }
    }

    const fn is_hierarchical(self) -> bool {
        matches!(self, Self::Rename)
    }
}

const WORKERS: usize = 9;

/// A row: what fails, and how long.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The next request only.
    Once(Kind),
    /// This many requests in a row.
    Row(u32, Kind),
    /// Every request until the operation has ended.
    Always(Kind),
    /// Another writer replaces the file before.
    Replaced,
    /// The token is refused; a fresh one is taken.
    Expired,
    /// The token is refused, and so is every other.
    Revoked,
}

const ROWS: [(&str, Fault); 18] = [
    (
        "429 with `Retry-After` within the time budget, once",
        Fault::Once(Kind::Throttle(1)),
    ),
    (
        "429 with `Retry-After` beyond the time budget, each time",
        Fault::Always(Kind::Throttle(3600)),
    ),
    ("503 with `Retry-After`, once", Fault::Once(Kind::Busy(1))),
    (
        "503 without `Retry-After`, five times in a row",
        Fault::Row(5, Kind::Status(503)),
    ),
    ("503 each time", Fault::Always(Kind::Status(503))),
    (
        "connection reset before the request is seen, once",
        Fault::Once(Kind::Reset),
    ),
    (
        "connection reset before the request is seen, five times in a row",
        Fault::Row(5, Kind::Reset),
    ),
    (
        "connection reset in the middle of the answer's body, once",
        Fault::Once(Kind::TruncateBody),
    ),
    (
        "connection reset in the middle of the answer's body, each time",
        Fault::Always(Kind::TruncateBody),
    ),
    (
        "request served, answer lost, once",
        Fault::Once(Kind::LoseAnswer),
    ),
    (
        "answer shorter than asked, well-formed, each time",
        Fault::Always(Kind::ShortBody),
    ),
    (
        "answer longer than asked, well-formed, each time",
        Fault::Always(Kind::LongBody),
    ),
    (
        "refused with 400, each time",
        Fault::Always(Kind::Status(400)),
    ),
    (
        "replaced by another writer before (stale ETag)",
        Fault::Replaced,
    ),
    (
        "first byte late, within the time budget",
        Fault::Once(Kind::Delay(500)),
    ),
    (
        "first byte later than the time budget",
        Fault::Always(Kind::Delay(2500)),
    ),
    (
        "token expired on the way, a fresh one is accepted",
        Fault::Expired,
    ),
    ("token expired on the way, none is accepted", Fault::Revoked),
];

/// Gives good tokens until told otherwise.
struct Tokens {
    good: Token,
    state: AtomicU8,
}

const GOOD: u8 = 0;
const EXPIRED: u8 = 1;
const REVOKED: u8 = 2;

impl TokenSource for Tokens {
    fn token(&self, renew: bool) -> BoxFuture<'_, Result<Token, Box<dyn Coded>>> {
        let _ = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| {
                (renew && state == EXPIRED).then_some(GOOD)
            });
        let token = match self.state.load(Ordering::SeqCst) {
            GOOD => self.good.clone(),
            _ => Token::new("expired".to_owned()),
        };
        Box::pin(async move { Ok(token) })
    }
}

struct Stage {
    account: Account,
    tokens: Arc<Tokens>,
    /// What must hold whatever an operation says, and did not.
    broken: RefCell<Vec<String>>,
}

impl Stage {
    fn new(hierarchical: bool) -> Self {
        let mut account = Account::new(hierarchical);
        account.budget = Duration::from_secs(2);
        let tokens = Arc::new(Tokens {
            good: account.token(),
            state: AtomicU8::new(GOOD),
        });
        Self {
            account,
            tokens,
            broken: RefCell::default(),
        }
    }

    fn hold(&self, fault: Fault, operation: Operation, what: &str, holds: bool) {
        if !holds {
            let text = format!("{fault:?}, {operation:?}: {what}");
            self.broken.borrow_mut().push(text);
        }
    }

    fn mount(&self) -> Mount {
        let tokens = Arc::clone(&self.tokens) as Arc<dyn TokenSource>;
        self.account.mount_as(mode(), false, tokens)
    }

    fn begin(&self, fault: Fault, operation: Operation, name: &str) {
        match fault {
            Fault::Once(kind) => self.account.world.upset(operation.upset(kind)),
            Fault::Row(times, kind) => {
                let upset = operation.upset(kind).times(times);
                self.account.world.upset(upset);
            }
            Fault::Always(kind) => {
                let upset = operation.upset(kind).times(1000);
                self.account.world.upset(upset);
            }
            Fault::Replaced => {
                let other = self.mount();
                write_synced(&other.at(name), &pattern(6 << 20)).unwrap();
            }
            Fault::Expired => self.tokens.state.store(EXPIRED, Ordering::SeqCst),
            Fault::Revoked => self.tokens.state.store(REVOKED, Ordering::SeqCst),
        }
    }

    fn end(&self) {
        self.account.world.upsets().calm();
        self.tokens.state.store(GOOD, Ordering::SeqCst);
    }

    /// One cell: the operation under the fault, and that nothing is short or half done whatever it said.
    fn play(&self, fault: Fault, operation: Operation) -> String {
        let before = pattern(5 << 20);
        let setup = self.mount();
        write_synced(&setup.at("file"), &before).unwrap();
        drop(setup);
        let mount = self.mount();
        let path = mount.at("file");
        let is_replaced = matches!(fault, Fault::Replaced);
        let begin = |name: &str| self.begin(fault, operation, name);
        let hold = |what: &str, holds| self.hold(fault, operation, what, holds);
        let outcome = match operation {
            Operation::Read => {
                let mut file = File::open(&path).unwrap();
                begin("file");
                let mut read = Vec::new();
                let outcome = file.read_to_end(&mut read).map(|_| ());
                match &outcome {
                    Ok(()) => hold("the read is whole", read == before),
                    Err(_) => hold("no wrong byte", before.starts_with(&read)),
                }
                outcome
            }
            Operation::Write | Operation::Commit => {
                self.edit(&path, &before, (fault, operation), &begin)
            }
            Operation::List => {
                begin("other");
                let names: io::Result<Vec<_>> =
                    fs::read_dir(mount.at("")).and_then(Iterator::collect);
                let wanted = 1 + usize::from(is_replaced);
                names.map(|names| hold("the listing is whole", names.len() == wanted))
            }
            Operation::Unlink => {
                fs::metadata(&path).unwrap();
                begin("file");
                let outcome = fs::remove_file(&path);
                self.end();
                let left = self.account.names();
                hold("gone or as it was", left.is_empty() == outcome.is_ok());
                outcome
            }
            Operation::Copy | Operation::Rename => {
                fs::metadata(&path).unwrap();
                begin("file");
                let outcome = fs::rename(&path, mount.at("renamed"));
                self.end();
                let expected = if outcome.is_ok() { "renamed" } else { "file" };
                hold("one name", self.account.names() == [expected]);
                if !is_replaced {
                    let other = self.mount();
                    let read = fs::read(other.at(expected));
                    hold("the content is kept", read.is_ok_and(|read| read == before));
                }
                outcome
            }
        };
        self.end();
        drop(mount);
        self.clear();
        match outcome {
            Ok(()) => "works".to_owned(),
            Err(error) => name_of(&error),
        }
    }

    /// Changes a file and calls `fsync`.
    fn edit(
        &self,
        path: &Path,
        before: &[u8],
        (fault, operation): (Fault, Operation),
        begin: &dyn Fn(&str),
    ) -> io::Result<()> {
        let hold = |what: &str, holds| self.hold(fault, operation, what, holds);
        let mut after = before.to_vec();
        after[..6].copy_from_slice(b"edited");
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        begin("file");
        file.write_all(b"edited")?;
        let outcome = file.sync_all();
        let closed = close(file);
        self.end();
        assert_eq!(
            outcome.is_ok(),
            closed.is_ok(),
            "{fault:?}: close tells, too"
        );
        if !matches!(fault, Fault::Replaced) {
            let expected = if outcome.is_ok() { &after[..] } else { before };
            let other = self.mount();
            let stored = fs::read(other.at("file"));
            hold(
                "the old content or the new",
                stored.is_ok_and(|stored| stored == expected),
            );
        }
        outcome
    }

    fn clear(&self) {
        let store = self.account.store(mode(), self.account.tokens());
        let names = self.account.names();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for name in names {
            runtime
                .block_on(store.delete(&name, &Condition::Always))
                .unwrap();
        }
    }
}

fn mode() -> Mode {
    Mode::CseV2(Params::default())
}

fn name_of(error: &io::Error) -> String {
    match error.raw_os_error().unwrap() {
        libc::EIO => "EIO".to_owned(),
        libc::ESTALE => "ESTALE".to_owned(),
        libc::ENOENT => "ENOENT".to_owned(),
        other => panic!("errno {other} is not in the table: {error}"),
    }
}

#[test]
fn every_fault_is_survived_or_told_as_the_table_says() {
    // Most of the time is waiting: the rows are shared among workers, each with accounts of its own.
    let work = |worker: usize| {
        let (flat, hierarchical) = (Stage::new(false), Stage::new(true));
        let mut lines = Vec::new();
        for (number, (title, fault)) in ROWS.into_iter().enumerate().skip(worker).step_by(WORKERS) {
            let mut line = format!("| {title} |");
            for operation in OPERATIONS {
                let stage = match operation.is_hierarchical() {
                    true => &hierarchical,
                    false => &flat,
                };
                let _ = write!(line, " {} |", stage.play(fault, operation));
            }
            lines.push((number, line));
        }
        let broken = [flat, hierarchical].map(|stage| stage.broken.into_inner());
        (lines, broken.concat())
    };
    let done = std::thread::scope(|scope| {
        let started: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        let ended = started.into_iter().map(|worker| worker.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    let (mut lines, mut broken) = (Vec::new(), Vec::new());
    for (some, more) in done {
        lines.extend(some);
        broken.extend(more);
    }
    lines.sort();
    let table: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    assert!(broken.is_empty(), "{broken:#?}\n{table}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../docs/mount-faults.md")).unwrap();
    assert!(page.contains(&table), "measured:\n{table}");
}
