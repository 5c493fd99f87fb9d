//! The mount's process is killed again and again while applications write: what was acknowledged is there afterwards,
//! and every file is one version that the application made, whole.
//!
//! `MOUNT_CRASH_ROUNDS` sets the number of crashes of a longer run, `MOUNT_CRASH_SEED` another beginning.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

#[allow(dead_code)] // shared with tests/kernel
mod model;
#[path = "../process/room.rs"]
mod room;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use model::{Dice, Files, Writer};
use room::{APPLICATION, Room, Shim};

const ACCESS: &str = "output";
const SHIM: u32 = 10021;
/// Applications at the same time, each with files of its own.
const WRITERS: u64 = 2;
/// A process is killed in the midst of one of the first so many steps of all writers.
const LIFE: u64 = 100;
/// So many crashes apart, the helper that unmounts dies too.
const STALE: u64 = 4;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

// One test, so that nothing else in this process forks meanwhile: a child's copies of open files are closed by its
// exec, which commits them.
#[test]
fn nothing_acknowledged_is_lost_in_crashes() {
    for (mode, seed) in [("CSE", 1), ("CPK", 2)] {
        crash(&["--no-read-only", "--encryption-mode", mode], seed);
    }
}

fn crash(args: &[&str], seed: u64) {
    let mut dice = Dice::new(number("MOUNT_CRASH_SEED", 0) * 16 + seed);
    let room = Room::new();
    let mut writers: Vec<_> = (0..WRITERS)
        .map(|number| Writer::new(number, dice.roll(1 << 40)))
        .collect();
    let mut shim = room.start(ACCESS, SHIM, args);
    let mut commits = 0;
    for round in 0..number("MOUNT_CRASH_ROUNDS", 32) / 2 {
        shim.wait_ready();
        let killed = Arc::new(AtomicBool::new(false));
        let stale = round % STALE == STALE - 1;
        let (steps, begun) = mpsc::channel();
        writers = std::thread::scope(|scope| {
            let work: Vec<_> = writers
                .drain(..)
                .map(|mut writer| {
                    let (mount, killed) = (room.mount_path(ACCESS), Arc::clone(&killed));
                    let (shim, steps) = (&shim, steps.clone());
                    scope.spawn(move || {
                        shim.inside(APPLICATION, move || {
                            writer.work(&mount, &killed, &steps);
                            writer
                        })
                    })
                })
                .collect();
            drop(steps);
            for _ in 0..dice.roll(LIFE) {
                begun.recv().unwrap();
            }
            killed.store(true, Ordering::SeqCst);
            shim.signal_kill(stale);
            work.into_iter()
                .map(|work| {
                    let writer = work.join();
                    assert!(writer.is_ok(), "{}", shim.log());
                    writer.unwrap()
                })
                .collect()
        });
        shim.kill();
        if stale {
            assert_dead(&room, &shim);
        }
        // Where the helper lives on, it may come to unmount before, while or after the next process mounts.
        shim = room.start_after(&shim, ACCESS, args);
        shim.wait_ready();
        if stale {
            assert_eq!(mounts(&room, &shim), 1, "the dead mount is still there");
        }
        let found = found(&room, &shim);
        for writer in &mut writers {
            writer.recover(&found, round);
            commits += writer.take_commits();
        }
    }
    assert!(commits > 0, "nothing was ever acknowledged");
    assert_eq!(shim.terminate(), 0, "{}", shim.log());
}

/// What the application sees after a crash.
fn found(room: &Room, shim: &Shim) -> Files {
    let mount = room.mount_path(ACCESS);
    shim.inside(APPLICATION, move || {
        let names = fs::read_dir(&mount)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .map(|name| (name.clone(), Arc::new(fs::read(mount.join(name)).unwrap())))
            .collect()
    })
}

fn assert_dead(room: &Room, shim: &Shim) {
    let mount = room.mount_path(ACCESS);
    let dead = shim.inside(0, move || nix::sys::statvfs::statvfs(&mount).unwrap_err());
    assert_eq!(dead, nix::errno::Errno::ENOTCONN);
}

fn mounts(room: &Room, shim: &Shim) -> usize {
    let mount = format!(" {} ", room.mount_path(ACCESS).display());
    let table = shim.inside(0, || {
        fs::read_to_string("/proc/thread-self/mountinfo").unwrap()
    });
    table.lines().filter(|line| line.contains(&mount)).count()
}
