//! Renaming and directories through the kernel, over accounts with flat and with hierarchical names. Needs root and
//! /dev/fuse, and fails without them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

#[path = "emulated/mod.rs"]
mod emulated;
#[path = "semantics/room.rs"]
mod room;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use blob_format::Params;
use blob_fs::Mode;
use emulators::upset::{Kind, Upset};

use emulated::Account;
use room::{errno, pattern, write_synced};

fn cse() -> Mode {
    Mode::CseV2(Params::default())
}

#[test]
fn a_hierarchical_account_renames_files_and_directories_in_one_step() {
    for mode in [cse(), Mode::Cpk] {
        let account = Account::new(true);
        let mount = account.mount(mode, false);
        fs::create_dir(mount.at("d")).unwrap();
        let data = pattern(5 << 20);
        write_synced(&mount.at("d/f"), &data).unwrap();
        write_synced(&mount.at("d/old"), b"replaced").unwrap();
        fs::rename(mount.at("d/f"), mount.at("d/old")).unwrap();
        fs::create_dir(mount.at("d/empty")).unwrap();
        let open = File::open(mount.at("d/old")).unwrap();
        let busy = fs::rename(mount.at("d"), mount.at("e"));
        assert_eq!(errno(busy), libc::EBUSY);
        let mut end = [0; 7];
        open.read_exact_at(&mut end, (5 << 20) - 7).unwrap();
        assert_eq!(end, data[(5 << 20) - 7..]);
        drop(open);
        fs::rename(mount.at("d"), mount.at("e")).unwrap();
        assert_eq!(account.names(), ["e", "e/empty", "e/old"]);
        assert!(fs::read(mount.at("e/old")).unwrap() == data, "{mode:?}");
        assert_eq!(errno(fs::remove_dir(mount.at("e"))), libc::ENOTEMPTY);
        let into_itself = fs::rename(mount.at("e"), mount.at("e/empty/x"));
        assert_eq!(errno(into_itself), libc::EINVAL);
        drop(mount);

        let mount = account.mount(mode, false);
        assert!(fs::read(mount.at("e/old")).unwrap() == data, "{mode:?}");
        fs::remove_dir(mount.at("e/empty")).unwrap();
        fs::remove_file(mount.at("e/old")).unwrap();
        assert!(mount.at("e").is_dir(), "a directory outlives its files");
        fs::remove_dir(mount.at("e")).unwrap();
        assert_eq!(account.names(), Vec::<String>::new());
        let requests = account.world.requests("dfs");
        let renamed = requests
            .iter()
            .filter(|one| one.method == "PUT" && one.path.contains("mode=posix"));
        assert_eq!(renamed.count(), 2, "one request for each");
    }
}

#[test]
fn a_flat_account_renames_files_by_copy_and_no_directories() {
    for mode in [cse(), Mode::Cpk] {
        let account = Account::new(false);
        let mount = account.mount(mode, false);
        fs::create_dir(mount.at("d")).unwrap();
        fs::create_dir(mount.at("empty")).unwrap();
        write_synced(&mount.at("d/f"), b"content").unwrap();
        assert_eq!(errno(fs::rename(mount.at("d"), mount.at("e"))), libc::EXDEV);
        fs::rename(mount.at("d/f"), mount.at("g")).unwrap();
        assert_eq!(account.names(), ["d", "empty", "g"]);
        drop(mount);
        let mount = account.mount(mode, true);
        assert_eq!(fs::read(mount.at("g")).unwrap(), b"content");
        assert!(mount.at("empty").is_dir(), "{mode:?}");
        assert_eq!(account.world.requests("dfs"), []);
    }
}

#[test]
fn a_rename_whose_answer_is_lost_has_happened_once() {
    let account = Account::new(true);
    let mount = account.mount(cse(), false);
    let data = pattern(5 << 20);
    for kind in [Kind::LoseAnswer, Kind::Reset, Kind::Status(503)] {
        write_synced(&mount.at("from"), &data).unwrap();
        account
            .world
            .upset(Upset::next("dfs", kind).on("PUT").at("/data/to"));
        fs::rename(mount.at("from"), mount.at("to")).unwrap();
        assert_eq!(account.names(), ["to"], "{kind:?}");
        assert!(fs::read(mount.at("to")).unwrap() == data, "{kind:?}");
        fs::create_dir(mount.at("d")).unwrap();
        write_synced(&mount.at("d/f"), b"1").unwrap();
        account
            .world
            .upset(Upset::next("dfs", kind).on("PUT").at("/data/e?"));
        fs::rename(mount.at("d"), mount.at("e")).unwrap();
        assert_eq!(account.names(), ["e", "e/f", "to"], "{kind:?}");
        fs::remove_file(mount.at("e/f")).unwrap();
        fs::remove_dir(mount.at("e")).unwrap();
        fs::remove_file(mount.at("to")).unwrap();
    }
}

#[test]
fn another_writer_of_the_directory_is_not_swept_away() {
    let account = Account::new(true);
    let mount = account.mount(cse(), false);
    fs::create_dir(mount.at("d")).unwrap();
    let other = account.mount(cse(), false);
    // Between the listing of the one and its request the other makes a file: the service has the last word.
    account
        .world
        .upset(Upset::next("dfs", Kind::Delay(300)).on("DELETE"));
    let (at, from) = (mount.at("d"), other.at("d/f"));
    let removing = std::thread::spawn(move || fs::remove_dir(at));
    let deletes = || {
        let requests = account.world.requests("blob");
        let listed = |path: &str| path.contains("comp=list") && path.contains("prefix=d%2F");
        requests.iter().filter(|one| listed(&one.path)).count()
    };
    while deletes() == 0 {
        std::thread::yield_now();
    }
    write_synced(&from, b"kept").unwrap();
    let removed = removing.join().unwrap();
    if removed.is_ok() {
        // The deletion was first: then the file has made its directory anew.
        assert_eq!(account.names(), ["d", "d/f"]);
    } else {
        assert_eq!(errno(removed), libc::ENOTEMPTY);
    }
    assert_eq!(fs::read(&from).unwrap(), b"kept");
}
