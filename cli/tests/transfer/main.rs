//! The program itself, against emulated storage: killed and run again, on a full disk, beside another tool. Needs root,
//! for mount namespaces and the FUSE mount.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod azcopy;
mod owner;

use emulators::upset::{Kind, Upset};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;

use owner::{Owner, pattern};

/// Nothing here waits so long; who would is stuck.
const FOR_EVER: u64 = 600_000;

fn six_files(owner: &Owner) {
    for name in ["a", "b", "c", "e", "f"] {
        owner.write(&format!("in/{name}"), name.repeat(1000).as_bytes());
    }
    owner.write("in/d", &pattern(9 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_upload_goes_on_where_it_was() {
    let owner = Owner::new("data", "CSE").await;
    six_files(&owner);
    // The fourth file has three blocks, and is never committed.
    let stuck = |method: &str, at: &str| {
        let upset = Upset::next("blob", Kind::Delay(FOR_EVER)).on(method).at(at);
        owner.world.upset(upset);
    };
    stuck("PUT", "/d?comp=blocklist");
    let upload = "datastore upload --name data --config datastores.yaml --src in --parallel 1";
    let mut killed = owner.spawn(upload);
    owner
        .wait_for("datastores.yaml.state/data.upload.jsonl", "\"c\"")
        .await;
    owner
        .wait_for_lines("datastores.yaml.state/data.upload.jsonl", "\"d\"", 2)
        .await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    owner.world.upsets().calm();
    assert!(
        !owner
            .names("data")
            .contains(&".cleanroom/manifest".to_owned())
    );

    let before = owner.requests("PUT", "/data/").len();
    let done = owner.ok(upload);
    assert_eq!((&done["files"], &done["unchanged"]), (&6.into(), &3.into()));
    let sent = owner.requests("PUT", "/data/").split_off(before);
    for name in ["a", "b", "c"] {
        let path = format!("/data/{name}");
        assert!(!sent.contains(&path), "{name} is sent again: {sent:?}");
    }
    let blocks = sent
        .iter()
        .filter(|path| path.starts_with("/data/d?comp=block&"));
    assert_eq!(
        blocks.count(),
        1,
        "only the last block of the fourth: {sent:?}"
    );
    owner.ok("datastore verify --name data --config datastores.yaml");
    owner.ok("datastore download --name data --config datastores.yaml --dst out");
    assert!(owner.tree("out/data/data") == owner.tree("in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_download_goes_on_where_it_was() {
    let owner = Owner::new("data", "CSE").await;
    six_files(&owner);
    owner.ok("datastore upload --name data --config datastores.yaml --src in");
    owner.world.upset(
        Upset::next("blob", Kind::Delay(FOR_EVER))
            .on("GET")
            .at("/data/d"),
    );
    let download = "datastore download --name data --config datastores.yaml --dst out --parallel 1";
    let mut killed = owner.spawn(download);
    // A line that begins so says that a file is whole; lines about its parts came before.
    let whole = "\"path\":\"c\",\"content\"";
    owner.wait_for_journal("data.download-", whole).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    owner.world.upsets().calm();
    let before = owner.requests("GET", "/data/").len();
    let done = owner.ok(download);
    assert_eq!((&done["files"], &done["unchanged"]), (&6.into(), &3.into()));
    let fetched = owner.requests("GET", "/data/").split_off(before);
    for name in ["a", "b", "c"] {
        assert!(!fetched.contains(&format!("/data/{name}")), "{fetched:?}");
    }
    assert!(owner.tree("out/data/data") == owner.tree("in"));
}

/// A small file system at a folder; gone when dropped.
struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_command_and_leaves_nothing_that_is_not_whole() {
    let owner = Owner::new("data", "CSE").await;
    owner.write("in/big", &pattern(9 << 20));
    owner.write("in/small", b"small");
    owner.ok("datastore upload --name data --config datastores.yaml --src in");
    let out = owner.path("out");
    std::fs::create_dir(&out).unwrap();
    mount(
        Some("tmpfs"),
        &out,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=6m"),
    )
    .unwrap();
    let small = Small(out);
    let download = "datastore download --name data --config datastores.yaml --dst out --parallel 1";
    let refused = owner.run(download);
    assert_eq!(refused.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(error["error"]["code"], "CR-CLI-0001");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("No space left"), "{message}");
    assert!(owner.tree("out").is_empty());
    drop(small);
    owner.ok(download);
    assert!(owner.tree("out/data/data") == owner.tree("in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_throttles_breaks_and_forgets_tokens_costs_time_only() {
    let owner = Owner::new("data", "CPK").await;
    six_files(&owner);
    let upsets = [
        Kind::Throttle(1),
        Kind::Status(503),
        Kind::Status(401),
        Kind::Reset,
        Kind::LoseAnswer,
    ];
    for kind in upsets {
        owner
            .world
            .upset(Upset::next("blob", kind).on("PUT").at("/data/"));
    }
    owner.ok("datastore upload --name data --config datastores.yaml --src in");
    for kind in [
        Kind::Status(401),
        Kind::TruncateBody,
        Kind::Throttle(1),
        Kind::Reset,
    ] {
        owner
            .world
            .upset(Upset::next("blob", kind).on("GET").at("/data/"));
    }
    let output = owner.run("datastore download --name data --config datastores.yaml --dst out");
    assert!(output.status.success());
    assert!(
        output.stderr.is_empty(),
        "no progress bar without a terminal"
    );
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["files"], 6);
    assert!(owner.tree("out/data/data") == owner.tree("in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_was_not_pinned_is_said() {
    let owner = Owner::new("data", "CSE").await;
    owner.write("in/a", b"one");
    owner.ok("datastore upload --name data --config datastores.yaml --src in");
    let download = "datastore download --name data --config datastores.yaml --dst out";
    for (line, pinned) in [
        (download.to_owned(), true),
        (format!("{download} --any-manifest"), false),
    ] {
        let output = owner.run(&line);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["pinned"], pinned);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains("was not pinned"), !pinned, "{said}");
    }

    // What nobody wrote from here is taken only if that is said.
    owner.add("new", "CPK");
    owner.add("newer", "CSE");
    let convert = "datastore convert --config datastores.yaml --name";
    let refused = owner.run(&format!("{convert} new --to newer"));
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(error["error"]["code"], "CR-CLI-0003");
    owner.ok(&format!("{convert} data --to new"));
    let shown = owner.ok(&format!("{convert} new --to newer --any-manifest"));
    assert_eq!(
        (&shown["files"], &shown["pinned"]),
        (&1.into(), &false.into())
    );
    let refused = owner.run(&format!("{convert} data --to newer"));
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(error["error"]["code"], "CR-CLI-0011");
}
