//! Random operations through the kernel, on a store that fails now and then, give what they give on a map from names to
//! bytes: an operation succeeds, or says that it did not, and then storage holds what was before or what was asked for.
//!
//! `MOUNT_MODEL_OPS` sets the number of operations of a longer run, `MOUNT_MODEL_SEED` another beginning.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

#[allow(dead_code)] // shared with tests/crash
#[path = "../crash/model.rs"]
mod model;
#[path = "../semantics/room.rs"]
mod room;

use std::fs;
use std::sync::Arc;

use blob_format::Params;
use blob_fs::{Mode, Options};
use blob_store::testing::{Failure, Faulty};
use model::{Dice, Files, OpenFiles, Writer};
use room::{Mount, options, store};

/// One in so many steps, the store begins to fail,
const FAILING: u64 = 24;
/// for so many steps at most,
const TROUBLE: u64 = 8;
/// and so many of a thousand times.
const FAILURES: u64 = 200;
/// One in so many steps, another mount takes over.
const REMOUNT: u64 = 60;

const KINDS: [Failure; 8] = [
    Failure::Down,
    Failure::Throttled,
    Failure::Full,
    Failure::Stale,
    Failure::Reset,
    Failure::Truncated,
    Failure::Extended,
    Failure::LostAnswer,
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

struct Run {
    mode: Mode,
    faulty: Faulty,
    mount: Option<Mount>,
    writer: Writer,
    open: OpenFiles,
    dice: Dice,
    /// Steps that the store still fails for.
    failing: u64,
    failed: u64,
}

#[test]
fn operations_through_the_kernel_equal_a_map_with_small_extents() {
    run(Mode::CseV2(Params::new(12, 14).unwrap()), 1);
}

#[test]
fn operations_through_the_kernel_equal_a_map() {
    run(Mode::CseV2(Params::default()), 2);
}

#[test]
fn operations_through_the_kernel_equal_a_map_under_a_customer_key() {
    run(Mode::Cpk, 3);
}

fn run(mode: Mode, seed: u64) {
    let mut dice = Dice::new(number("MOUNT_MODEL_SEED", 0) * 16 + seed);
    let (_, faulty) = store();
    let mut run = Run {
        mode,
        mount: None,
        faulty,
        writer: Writer::new(0, dice.roll(1 << 40)),
        open: OpenFiles::new(),
        dice,
        failing: 0,
        failed: 0,
    };
    run.remount(0);
    let steps = number("MOUNT_MODEL_OPS", 4500) / 3;
    for step in 1..=steps {
        run.step(step);
    }
    run.settle(steps);
    assert!(run.failed > 0, "the store never failed");
}

impl Run {
    fn step(&mut self, step: u64) {
        if self.failing == 0 && self.dice.roll(FAILING) == 0 {
            self.failing = 1 + self.dice.roll(TROUBLE);
            let seed = self.dice.roll(1 << 40);
            self.faulty.fail_at_random(seed, FAILURES, &KINDS);
        }
        let path = self.mount.as_ref().unwrap().at("");
        let outcome = self.writer.step(&path, &mut self.open);
        if let Err(error) = &outcome {
            assert!(self.failing > 0, "step {step}: nothing failed, but {error}");
            let documented = [libc::EIO, libc::ENOSPC, libc::ESTALE];
            assert!(
                documented.contains(&error.raw_os_error().unwrap()),
                "step {step}: {error}"
            );
            self.failed += 1;
        }
        let was_failing = self.failing > 0;
        self.failing = self.failing.saturating_sub(1);
        // What failed in the background is told later: at the latest, when the files are closed.
        if outcome.is_err() || (was_failing && self.failing == 0) {
            self.failing = 0;
            self.settle(step);
        } else if !was_failing && self.dice.roll(REMOUNT) == 0 {
            self.faulty.heal();
            let closed = self.writer.close_all(std::mem::take(&mut self.open));
            assert!(closed, "step {step}: nothing failed, but a close did");
            self.remount(step);
        }
    }

    /// The store works again; every file is closed, and another mount shows what storage holds.
    fn settle(&mut self, step: u64) {
        self.faulty.heal();
        self.writer.close_all(std::mem::take(&mut self.open));
        self.remount(step);
    }

    fn remount(&mut self, step: u64) {
        drop(self.mount.take());
        let options = Options {
            memory: 256 << 20,
            ..options(false)
        };
        let mount = Mount::with(self.faulty.clone(), 7, self.mode, options);
        let names = fs::read_dir(mount.at("")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let found: Files = names
            .map(|name| (name.clone(), Arc::new(fs::read(mount.at(&name)).unwrap())))
            .collect();
        self.writer.recover(&found, step);
        self.mount = Some(mount);
    }
}
