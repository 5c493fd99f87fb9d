//! The whole process as the group runs it: started as root with a mount namespace of its own, served by a `secrets` and
//! an `identity` that only answer under their uids, over TLS against emulated storage. Needs root and /dev/fuse.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

mod room;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};

use emulators::upset::{Kind, Upset};
use room::{APPLICATION, LAUNCHER, Room};
use serde_json::json;
use sidecar_http::Coded;

const NONCE: &str = "00112233445566778899aabbccddeeff";

#[test]
fn a_sink_is_proven_written_sealed_and_left_as_cipher_text() {
    let room = Room::new();
    let mut shim = room.start(
        "output",
        10021,
        &["--no-read-only", "--encryption-mode", "CSE"],
    );
    shim.wait_ready();

    let mount = room.mount_path("output");
    let status = fs::read_to_string(format!("/proc/{}/status", shim.pid())).unwrap();
    let ids = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    assert_eq!(
        ids.split_whitespace().collect::<Vec<_>>()[1..],
        ["10021"; 4]
    );
    let effective = status
        .lines()
        .find(|line| line.starts_with("CapEff:"))
        .unwrap();
    assert!(effective.ends_with("0000000000000000"), "{effective}");

    for uid in [0, APPLICATION, 10029] {
        let (status, body) = shim.post(uid, "/readiness", &json!({"nonce": NONCE}));
        assert_eq!(status, 403, "{uid}: {body}");
    }
    let (status, body) = shim.post(LAUNCHER, "/readiness", &json!({"nonce": "../../x"}));
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (400, Some("CR-MOUNT-0036"))
    );
    assert_eq!(
        shim.post(LAUNCHER, "/readiness", &json!({"nonce": NONCE}))
            .0,
        200
    );
    let nonce = mount.join(".cleanroom/nonce");
    let read = shim.inside(LAUNCHER, move || fs::read_to_string(nonce).unwrap());
    assert_eq!(read, NONCE);

    let data: Vec<u8> = (0_u32..)
        .flat_map(u32::to_le_bytes)
        .take(9_000_000)
        .collect();
    let (path, copy) = (mount.join("result.bin"), data.clone());
    shim.inside(APPLICATION, move || {
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(&copy).unwrap();
        file.sync_all().unwrap();
        drop(file);
        assert_eq!(fs::metadata(&path).unwrap().uid(), APPLICATION);
        assert!(fs::read(&path).unwrap() == copy);
    });
    let (status, sealed) = shim.post(LAUNCHER, "/seal", &json!({}));
    assert_eq!(
        (status, sealed["files"].as_u64(), sealed["bytes"].as_u64()),
        (200, Some(1), Some(9_000_000))
    );
    let path = mount.join("later");
    let refused = shim.inside(APPLICATION, move || fs::write(path, b"x").unwrap_err());
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));

    assert_eq!(room.names("output"), [".cleanroom/manifest", "result.bin"]);
    assert!(
        !room.wire_contains(&data[4_000_000..4_000_048]),
        "storage saw clear text"
    );
    assert_eq!(
        room.marker("output.volume.ready")["mount_path"],
        mount.to_str().unwrap()
    );
    assert_eq!(shim.terminate(), 0);
    let left = shim.inside(0, move || fs::read_dir(mount).map(|names| names.count()));
    assert_eq!(left.unwrap(), 0, "unmounted");
}

#[test]
fn a_source_under_a_customer_key_is_read_only_and_another_key_reads_nothing() {
    let room = Room::new();
    room.put("input", "data.txt", b"provided by litware", Some(room::DEK));
    room.put(
        "input",
        "foreign.txt",
        b"provided by somebody",
        Some([9; 32]),
    );
    let mut shim = room.start("input", 10020, &["--read-only", "--encryption-mode", "CPK"]);
    shim.wait_ready();
    let mount = room.mount_path("input");
    shim.inside(APPLICATION, move || {
        assert_eq!(
            fs::read(mount.join("data.txt")).unwrap(),
            b"provided by litware"
        );
        let foreign = fs::read(mount.join("foreign.txt")).unwrap_err();
        assert_eq!(foreign.raw_os_error(), Some(libc::EIO));
        let refused = fs::write(mount.join("data.txt"), b"x").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    });
    let (status, body) = shim.post(LAUNCHER, "/seal", &json!({}));
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (403, Some("CR-MOUNT-0006"))
    );
    assert_eq!(shim.terminate(), 0);
    let log = shim.log();
    assert!(
        log.contains("CR-BLOB-0009"),
        "the wrong key has a code of its own: {log}"
    );
    assert!(!log.contains("foreign.txt"), "no file names in the log");
}

#[test]
fn pinned_1_a_source_whose_manifest_the_contract_pins() {
    let room = Room::new();
    let args = ["--no-read-only", "--encryption-mode", "CSE"];
    let mut sink = room.start("output", 10021, &args);
    sink.wait_ready();
    let mount = room.mount_path("output");
    let inside = mount.clone();
    sink.inside(APPLICATION, move || {
        fs::create_dir(inside.join("d")).unwrap();
        fs::write(inside.join("d/a"), b"agreed").unwrap();
        fs::write(inside.join("b"), b"agreed, too").unwrap();
    });
    let (_, sealed) = sink.post(LAUNCHER, "/seal", &json!({}));
    let root = sealed["root"].as_str().unwrap().to_owned();
    assert_eq!(sink.terminate(), 0);

    let pinned = |root: &str| {
        let source = ["--encryption-mode", "CSE", "--manifest-hmac", root];
        room.start("output", 10021, &source)
    };
    let mut source = pinned(&root);
    source.wait_ready();
    room.put("output", "extra", b"not agreed", None);
    let inside = mount.clone();
    source.inside(APPLICATION, move || {
        let names = fs::read_dir(&inside).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["b", "d"]);
        assert_eq!(fs::metadata(inside.join("d/a")).unwrap().len(), 6);
        assert_eq!(fs::read(inside.join("d/a")).unwrap(), b"agreed");
        let extra = fs::read(inside.join("extra")).unwrap_err();
        assert_eq!(extra.raw_os_error(), Some(libc::ENOENT));
    });
    let none = json!({"seen": 0, "wait": false});
    assert_eq!(source.post(APPLICATION, "/findings", &none).0, 403);
    let (status, found) = source.post(LAUNCHER, "/findings", &none);
    assert_eq!((status, &found["findings"]), (200, &json!([])));
    room.put("output", "b", b"somebody else's", None);
    let inside = mount.clone();
    source.inside(APPLICATION, move || {
        let replaced = fs::read(inside.join("b")).unwrap_err();
        assert_eq!(replaced.raw_os_error(), Some(libc::EIO));
    });
    let (_, found) = source.post(LAUNCHER, "/findings", &json!({"seen": 0, "wait": true}));
    assert_eq!(found["findings"][0]["code"], "CR-FORMAT-0002", "{found}");
    assert_eq!(found["findings"].as_array().unwrap().len(), 1);
    assert_eq!(source.terminate(), 0);

    let mut refused = pinned(&"0".repeat(64));
    let error = refused.never_ready();
    assert_eq!(error.code(), "CR-FORMAT-0030", "{error}");
    assert_eq!(refused.terminate(), 1);
    let marker = room.marker("output.volume.error");
    assert_eq!(marker["reason"], "CR-FORMAT-0030");
    let text = marker["message"].as_str().unwrap();
    assert!(
        text.contains("not the one that the contract pins"),
        "{text}"
    );
}

#[test]
fn durable_8_sigterm_brings_home_what_was_written_and_tells_when_it_cannot() {
    for (storage_works, code) in [(true, 0), (false, 1)] {
        let room = Room::new();
        let mut shim = room.start(
            "output",
            10021,
            &["--no-read-only", "--encryption-mode", "CPK"],
        );
        shim.wait_ready();
        let path = room.mount_path("output").join("open.txt");
        let file = shim.inside(APPLICATION, move || {
            let mut file = fs::File::create(path).unwrap();
            file.write_all(b"not closed yet").unwrap();
            file
        });
        if !storage_works {
            let down = Upset::next("blob", Kind::Status(403)).on("PUT");
            room.world.upset(down.times(1000));
        }
        assert_eq!(shim.terminate(), code, "{}", shim.log());
        let stored = room.names("output").contains(&"open.txt".to_owned());
        assert_eq!(stored, storage_works);
        drop(file);
    }
}

#[test]
fn memory_1_resident_memory_follows_the_limit() {
    const LIMIT: u64 = 64 << 20;
    const FILE: usize = 60 << 20;
    let room = Room::new();
    let sink = ["--no-read-only", "--encryption-mode", "CSE"];
    let limit = ["--memory-limit-mb", "64"];
    let mut shim = room.start("output", 10021, &[sink.as_slice(), &limit].concat());
    shim.wait_ready();
    let mount = room.mount_path("output");
    shim.inside(APPLICATION, move || {
        // Four files that together are larger than the limit, all open and none complete at any time.
        let path = |n: u8| mount.join(format!("f{n}"));
        let part = vec![7; 1 << 20];
        let mut files: Vec<_> = (0..4).map(|n| fs::File::create(path(n)).unwrap()).collect();
        for _ in 0..FILE >> 20 {
            for file in &mut files {
                file.write_all(&part).unwrap();
            }
        }
        drop(files);
        // Four readers from front to back at once, then here and there.
        let readers: Vec<_> = (0..4)
            .map(|n| {
                (
                    path(n),
                    std::thread::spawn({
                        let path = path(n);
                        move || assert_eq!(fs::read(path).unwrap().len(), FILE)
                    }),
                )
            })
            .collect();
        for (path, reader) in readers {
            reader.join().unwrap();
            let file = fs::File::open(path).unwrap();
            let mut piece = vec![0; 256 << 10];
            for step in 0..64_u64 {
                let at = step * 7_919_777 % ((FILE - piece.len()) as u64);
                file.read_exact_at(&mut piece, at).unwrap();
            }
        }
    });
    let peak = shim.peak_memory();
    assert!(peak <= LIMIT + LIMIT / 10, "{} MiB", peak >> 20);
    assert_eq!(shim.terminate(), 0);
}

#[test]
fn a_refused_key_is_told_to_whoever_waits_with_the_code_of_the_one_who_refused() {
    let room = Room::new();
    room.refuse_keys();
    let mut shim = room.start(
        "input",
        10020,
        &["--encryption-mode", "CSE", "--format", "v2"],
    );
    // Whenever it is asked, and not at anybody's deadline.
    for _ in 0..2 {
        let error = shim.never_ready();
        assert_eq!(error.code(), "CR-SECRETS-0099", "{error}");
        let text = error.to_string();
        assert!(text.contains("failed: mount: "), "{text}");
        assert!(text.contains("not granted"), "{text}");
    }
    assert_eq!(shim.terminate(), 1);
    assert_eq!(
        room.marker("input.volume.error")["reason"],
        "CR-SECRETS-0099"
    );
    let mount = room.mount_path("input");
    let left = shim.inside(0, move || fs::read_dir(mount).map(|names| names.count()));
    assert_eq!(left.unwrap(), 0, "nothing is left mounted");
}

#[test]
fn every_mode_of_a_contract_is_written_sealed_and_read_and_none_but_the_services_own_needs_no_key()
{
    let content: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(40_000).collect();
    for args in [
        ["--encryption-mode", "CSE", "--format", "v2"].as_slice(),
        &["--encryption-mode", "CSE", "--format", "cse-v1"],
        &["--encryption-mode", "CSE", "--format", "cse-v1-4m"],
        &["--encryption-mode", "CSE", "--format", "azure-cse-2.1"],
        &[
            "--encryption-mode",
            "CSE",
            "--format",
            "azure-cse-2.1-sealed",
        ],
        &["--encryption-mode", "CPK"],
        &["--encryption-mode", "SSE"],
    ] {
        let is_keyless = args.contains(&"SSE");
        let room = Room::new();
        if is_keyless {
            room.refuse_keys();
        }
        let start = |access: &str| {
            let shim = room.start("output", 10021, &[args, &[access]].concat());
            shim.wait_ready();
            shim
        };
        let path = room.mount_path("output").join("file");
        let mut shim = start("--no-read-only");
        let (to, copy) = (path.clone(), content.clone());
        shim.inside(APPLICATION, move || fs::write(to, copy).unwrap());
        let (status, sealed) = shim.post(LAUNCHER, "/seal", &json!({}));
        assert_eq!(
            (status, sealed["files"].as_u64()),
            (200, Some(1)),
            "{args:?}"
        );
        assert_eq!(sealed["root"].as_str().unwrap().is_empty(), is_keyless);
        assert_eq!(shim.terminate(), 0);
        let mut names = room.names("output");
        names.retain(|name| name != "file");
        let manifest: &[&str] = if is_keyless {
            &[]
        } else {
            &[".cleanroom/manifest"]
        };
        assert_eq!(names, manifest, "{args:?}");
        let is_client_side = args.contains(&"CSE");
        assert_eq!(
            room.wire_contains(&content[20_000..20_048]),
            !is_client_side,
            "{args:?}"
        );

        let mut shim = start("--read-only");
        let read = shim.inside(APPLICATION, move || fs::read(path).unwrap());
        assert!(read == content, "{args:?}");
        assert_eq!(shim.terminate(), 0);
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused_before_anything_is_mounted() {
    let room = Room::new();
    let mut shim = room.start("input", 1000, &[]);
    assert_eq!(shim.wait(), 64);
    assert!(shim.log().contains("CR-MOUNT-0030"));
}
