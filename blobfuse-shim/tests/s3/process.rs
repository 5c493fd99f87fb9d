//! The whole process: the access key comes sealed in the measured command line.

use std::fs;
use std::io::Write;

use blob_store::{AccessKey, BlobStore, S3Credentials};
use cleanroom_crypto::Dek;
use serde_json::json;

use crate::group::{APPLICATION, DEK, LAUNCHER, Room};
use crate::server::{KEY, REGION, SECRET, Server, server};

fn sealed(server: &Server, bucket: &str, key: [u8; 32]) -> String {
    let access = AccessKey {
        access_key_id: KEY.to_owned(),
        secret_access_key: SECRET.to_owned(),
        session_token: None,
    };
    let dek = Dek::from_slice(&key).unwrap();
    S3Credentials::seal(&access, &dek, (&server.endpoint, bucket, REGION)).unwrap()
}

fn args<'a>(endpoint: &'a str, sealed: &'a str) -> [&'a str; 10] {
    [
        "--encryption-mode",
        "CSE",
        "--store",
        "s3",
        "--s3-endpoint",
        endpoint,
        "--s3-region",
        REGION,
        "--s3-credentials",
        sealed,
    ]
}

#[test]
fn a_sink_in_a_bucket_is_written_sealed_and_read_again() {
    let server = server();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(server.bucket("output"));
    let mut room = Room::new();
    room.roots = server.ca.clone();
    let sealed = sealed(server, "output", DEK);
    let endpoint = server.endpoint.to_string();
    let data: Vec<u8> = (0_u32..)
        .flat_map(u32::to_le_bytes)
        .take(9_000_000)
        .collect();
    {
        let mut flags = vec!["--no-read-only"];
        flags.extend(args(&endpoint, &sealed));
        let mut shim = room.start("output", 10021, &flags);
        shim.wait_ready();
        let line = fs::read(format!("/proc/{}/cmdline", shim.pid())).unwrap();
        let environment = fs::read(format!("/proc/{}/environ", shim.pid())).unwrap();
        for shown in [line, environment] {
            let shown = String::from_utf8_lossy(&shown).into_owned();
            assert!(!shown.contains(SECRET) && !shown.contains(KEY));
        }
        let (path, copy) = (room.mount_path("output").join("result.bin"), data.clone());
        let written = shim.inside(APPLICATION, move || {
            let mut file = fs::File::create(&path)?;
            file.write_all(&copy)?;
            file.sync_all()
        });
        assert!(written.is_ok(), "{written:?}: {}", shim.log());
        let (status, sealed) = shim.post(LAUNCHER, "/seal", &json!({}));
        assert_eq!(
            (status, sealed["files"].as_u64()),
            (200, Some(1)),
            "{sealed}"
        );
        assert_eq!(shim.terminate(), 0);
        assert!(!shim.log().contains(SECRET));
    }
    let listed = runtime.block_on(store.list("", false, None)).unwrap();
    let names: Vec<_> = listed.blobs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [".cleanroom/manifest", "result.bin"]);
    let etag = &listed.blobs[1].1.etag;
    let stored = runtime.block_on(store.get_range("result.bin", 4_000_000..4_100_000, etag));
    let stored = stored.unwrap();
    assert!(
        !stored
            .windows(16)
            .any(|part| part == &data[4_000_000..4_000_016])
    );

    let mut shim = room.start("output", 10021, &args(&endpoint, &sealed));
    shim.wait_ready();
    let path = room.mount_path("output").join("result.bin");
    let read = shim.inside(APPLICATION, move || fs::read(path).unwrap());
    assert!(read == data);
    assert_eq!(shim.terminate(), 0);
}

#[test]
fn an_access_key_of_another_dataset_does_not_mount() {
    let server = server();
    let mut room = Room::new();
    room.roots = server.ca.clone();
    let endpoint = server.endpoint.to_string();
    for (bucket, key) in [("input", [9; 32]), ("other", DEK)] {
        let sealed = sealed(server, bucket, key);
        let mut shim = room.start("input", 10020, &args(&endpoint, &sealed));
        let refused = format!("{:?}", shim.never_ready());
        assert!(refused.contains("CR-BLOB-0018"), "{refused}");
        shim.terminate();
    }
}
