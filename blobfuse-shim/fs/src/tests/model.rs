//! Any operations on the file system give what they give on a map from names to bytes; after a crash, storage holds the
//! last commit of every file; with a store that fails, each operation succeeds or says that it did not.
//!
//! `BLOB_FS_MODEL_OPS` sets the number of operations of a longer run: 1000000 takes some minutes.

mod run;

use proptest::prelude::{ProptestConfig, prop_oneof};
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::TestRunner;

use self::run::Run;
use super::{Fixture, SMALL, modes};
use crate::Mode;
use blob_store::testing::Failure;

const NAMES: [&str; 3] = ["a", "b", "long name ü"];
const SLOTS: usize = 3;
const LONGEST: usize = 40;
const FAILURES: [Failure; 8] = [
    Failure::Down,
    Failure::Throttled,
    Failure::Full,
    Failure::Stale,
    Failure::Reset,
    Failure::Truncated,
    Failure::Extended,
    Failure::LostAnswer,
];

#[derive(Clone, Debug)]
enum Op {
    Create(usize, usize),
    Open {
        slot: usize,
        name: usize,
        write: bool,
        truncate: bool,
    },
    Write {
        slot: usize,
        offset: usize,
        len: usize,
    },
    Append {
        slot: usize,
        len: usize,
    },
    SetLen {
        slot: usize,
        len: usize,
    },
    Truncate(usize, usize),
    Read {
        slot: usize,
        offset: usize,
        len: usize,
    },
    Sync(usize),
    Close(usize),
    Unlink(usize),
    Rename(usize, usize),
    List,
    Crash,
    /// With a store in which every operation may fail.
    Failing(Box<Self>, u64),
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    let slot = || 0..SLOTS;
    let plain = prop_oneof![
        3 => (slot(), name()).prop_map(|(s, n)| Op::Create(s, n)),
        5 => (slot(), name(), proptest::bool::weighted(0.7), proptest::bool::weighted(0.2)).prop_map(
            |(slot, name, write, truncate)| Op::Open { slot, name, write, truncate }
        ),
        6 => (slot(), 0..50_000_usize, 0..20_000_usize).prop_map(|(slot, offset, len)| Op::Write { slot, offset, len }),
        3 => (slot(), 0..12_000_usize).prop_map(|(slot, len)| Op::Append { slot, len }),
        2 => (slot(), 0..60_000_usize).prop_map(|(slot, len)| Op::SetLen { slot, len }),
        1 => (name(), 0..60_000_usize).prop_map(|(n, len)| Op::Truncate(n, len)),
        6 => (slot(), 0..60_000_usize, 0..30_000_usize).prop_map(|(slot, offset, len)| Op::Read { slot, offset, len }),
        3 => slot().prop_map(Op::Sync),
        4 => slot().prop_map(Op::Close),
        2 => name().prop_map(Op::Unlink),
        2 => (name(), name()).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => Just(Op::List),
        1 => Just(Op::Crash),
    ];
    (plain, proptest::bool::weighted(0.08), 1..u64::MAX).prop_map(|(op, failing, seed)| {
        match failing {
            true if !matches!(op, Op::Crash) => Op::Failing(Box::new(op), seed),
            _ => op,
        }
    })
}

fn cases(share: u32) -> u32 {
    let ops = std::env::var("BLOB_FS_MODEL_OPS").ok();
    let ops = ops.map_or(24_000, |ops| ops.parse().expect("a number of operations"));
    ops / u32::try_from(LONGEST / 2).unwrap() / share
}

fn check(share: u32, mode: Mode, memory: u64) {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: cases(share),
        max_shrink_iters: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ops = proptest::collection::vec(op(), 1..LONGEST);
    let outcome = runner.run(&ops, |ops| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut run = Run::new(mode, memory);
            for (step, op) in ops.into_iter().enumerate() {
                run.step(op, u8::try_from(step).unwrap()).await?;
            }
            run.end().await
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_file_system_equals_a_map_of_bytes() {
    check(2, SMALL, 32 << 20);
}

#[test]
fn the_file_system_equals_a_map_of_bytes_when_memory_is_short() {
    // Less than what is open for writing: extents leave, come back and are committed early.
    check(4, SMALL, 160 << 10);
}

#[test]
fn the_file_system_equals_a_map_of_bytes_in_every_mode() {
    for mode in modes() {
        if mode != SMALL {
            check(8, mode, 32 << 20);
            check(16, mode, 160 << 10);
        }
        if matches!(mode, Mode::CseV1(_)) {
            // As a budget of 80 MiB is to blocks of 16 MiB: one operation fits, two do not.
            check(16, mode, 120 << 10);
        }
    }
}

#[tokio::test]
async fn a_fixture_fails_on_demand() {
    let Fixture { fs, faulty, .. } = super::fixture(SMALL);
    faulty.fail_at_random(1, 1000, &[Failure::Down]);
    assert_eq!(fs.probe().await.unwrap_err().errno(), libc::EIO);
    faulty.heal();
    assert_eq!(fs.probe().await.unwrap(), 0);
}
