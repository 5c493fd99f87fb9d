//! A test program of its own: whoever starts a process beside this test gives it copies of the open files for a moment, and
//! closing a copy commits.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

#[path = "room.rs"]
mod room;

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;

use room::{APPLICATION, Room};

#[test]
fn durable_7_what_was_synced_survives_kill_9_and_nothing_else_is_seen() {
    let room = Room::new();
    let args = ["--no-read-only", "--encryption-mode", "CSE"];
    let mut synced: Vec<u8> = Vec::new();
    for round in 0..4_u8 {
        let mut shim = room.start("output", 10021, &args);
        shim.wait_ready();
        let path = room.mount_path("output").join("data");
        let before = synced.clone();
        synced = shim.inside(APPLICATION, move || {
            let mut options = fs::File::options();
            let options = options.read(true).write(true).create(true);
            let mut file = options.open(&path).unwrap();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            assert!(content == before, "after {round} crashes");
            // Over the border of two extents, in the middle, and longer each time.
            let offset = 4_194_000 * usize::from(round) / 2;
            let part = vec![round + 1; 4_500_000];
            file.write_all_at(&part, offset as u64).unwrap();
            content.resize(content.len().max(offset + part.len()), 0);
            content[offset..offset + part.len()].copy_from_slice(&part);
            file.sync_all().unwrap();
            file.write_all_at(&[0xff; 5_000_000], 100).unwrap();
            file.set_len(17).unwrap();
            // Closing would commit.
            std::mem::forget(file);
            content
        });
        shim.kill();
    }
    let mut shim = room.start("output", 10021, &args);
    shim.wait_ready();
    let path = room.mount_path("output").join("data");
    let read = shim.inside(APPLICATION, move || fs::read(path).unwrap());
    assert!(read == synced);
    assert_eq!(shim.terminate(), 0);
}
