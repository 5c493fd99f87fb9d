//! The whole process on accounts of both kinds of names: it mounts what it is told, or asks, and never guesses.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests
#![allow(dead_code)] // of the shared room

#[path = "process/room.rs"]
mod room;

use std::fs;

use emulators::world::WorldConfig;
use room::{APPLICATION, Room};

fn room(hierarchical: bool) -> Room {
    let mut config = WorldConfig::two_parties();
    config.parties[0].storage_accounts[0].hierarchical = hierarchical;
    Room::of(config)
}

#[test]
fn the_kind_of_names_is_asked_or_checked() {
    for (hierarchical, flag) in [(true, None), (true, Some("--use-adls")), (false, None)] {
        let room = room(hierarchical);
        let mut args = vec!["--no-read-only", "--encryption-mode", "CSE"];
        args.extend(flag);
        let mut shim = room.start("output", 10021, &args);
        shim.wait_ready();
        let mount = room.mount_path("output");
        let renamed = shim.inside(APPLICATION, move || {
            fs::create_dir(mount.join("d")).unwrap();
            fs::write(mount.join("d/f"), b"content").unwrap();
            let renamed = fs::rename(mount.join("d"), mount.join("e"));
            renamed.map_err(|error| error.raw_os_error().unwrap())
        });
        if hierarchical {
            assert_eq!(renamed, Ok(()));
            assert_eq!(room.names("output"), ["e", "e/f"]);
        } else {
            assert_eq!(renamed, Err(libc::EXDEV));
            assert_eq!(room.names("output"), ["d", "d/f"]);
        }
        assert_eq!(shim.terminate(), 0);
    }
}

#[test]
fn another_kind_than_measured_is_refused() {
    for (hierarchical, flag) in [(true, "--no-use-adls"), (false, "--use-adls")] {
        let room = room(hierarchical);
        let mut shim = room.start("input", 10020, &["--encryption-mode", "CSE", flag]);
        let refused = format!("{:?}", shim.never_ready());
        assert!(refused.contains("CR-MOUNT-0050"), "{refused}");
        shim.terminate();
    }
}
