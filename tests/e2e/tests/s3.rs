//! A room whose data lie in S3-compatible storage: from the owner's upload to the downloaded output, over a server that
//! others wrote.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use blob_store::BlobStore;
use e2e::{Options, Stage};
use judges::seaweedfs::{KEY, REGION, SECRET, Server};
use serde_json::{Value, json};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files(&entry.path(), found),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

/// Gives another access key to a datastore, on standard input: exit code, and what was said.
fn seal(stage: &Stage, secret: &str) -> (Option<i32>, String) {
    let line = "cleanroom datastore seal-access-key --name fabrikam-output --config datastores.yaml --access-key -";
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = stage.party("fabrikam", &words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let key = json!({"accessKeyId": KEY, "secretAccessKey": secret}).to_string();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(key.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_room_reads_and_writes_buckets_that_its_contract_names_under_a_sealed_access_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("server"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for bucket in ["fabrikam-input", "fabrikam-output"] {
        runtime.block_on(server.bucket(bucket));
    }
    let key = json!({"accessKeyId": KEY, "secretAccessKey": SECRET});
    std::fs::write(folder.path().join("access-key.json"), key.to_string()).unwrap();
    std::fs::write(folder.path().join("ca.pem"), &server.ca).unwrap();
    let stage = Stage::prepare(&Options {
        input_mode: Some("CSE"),
        data: Some("in-buckets"),
        variables: vec![
            ("S3_ENDPOINT", server.endpoint.to_string()),
            ("S3_REGION", REGION.to_owned()),
            ("S3_FOLDER", folder.path().display().to_string()),
        ],
        ..Options::default()
    });

    // What the contract names is what the shims are started with.
    let contract = std::fs::read_to_string(stage.work().join("public/contract.yaml")).unwrap();
    let endpoint = server.endpoint.as_str().trim_end_matches('/');
    assert!(
        contract.contains("protocol: Aws_S3") && contract.contains(endpoint),
        "{contract}"
    );
    let group: Value = e2e::read_json(
        &stage
            .work()
            .join("operator/deployment/cleanroom-container-group.json"),
    );
    let shims = group["containers"].as_array().unwrap().iter();
    let shims: Vec<&Value> = shims
        .filter(|one| one["name"].as_str().unwrap().starts_with("fabrikam-"))
        .collect();
    assert_eq!(shims.len(), 2);
    for shim in shims {
        let words: Vec<&str> = shim["command"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(Value::as_str)
            .collect();
        let after = |name: &str| words[words.iter().position(|word| *word == name).unwrap() + 1];
        assert_eq!((after("--store"), after("--s3-endpoint")), ("s3", endpoint));
        assert_eq!(
            (after("--s3-region"), after("--sub-directory")),
            (REGION, "a/folder")
        );
        let sealed = after("--s3-credentials");
        assert!(contract.contains(sealed));
    }

    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
    let input = std::fs::read(stage.work().join("fabrikam/input/input.txt")).unwrap();
    assert!(stage.clear_output() == input);

    // Both were there and nowhere else, sealed, and nothing is left of the transfers.
    for (bucket, names) in [
        (
            "fabrikam-input",
            ["a/folder/.cleanroom/manifest", "a/folder/input.txt"],
        ),
        (
            "fabrikam-output",
            ["a/folder/.cleanroom/manifest", "a/folder/output.gz"],
        ),
    ] {
        let store = server.store(server.config(bucket));
        let page = runtime.block_on(store.list("", false, None)).unwrap();
        let found: Vec<&str> = page.blobs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, names);
        let (name, info) = &page.blobs[1];
        let stored = runtime
            .block_on(store.get_range(name, 0..info.length, &info.etag))
            .unwrap();
        let line = input.split(|byte| *byte == b'\n').nth(2000).unwrap();
        assert!(line.len() > 24 && !stored.windows(line.len()).any(|part| part == line));
    }
    let elsewhere = stage
        .requests("blob")
        .into_iter()
        .filter(|line| line.contains(" /fabrikam-"));
    assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<String>::new());

    // The access key stands in clear in no file of any party, no log and no document of the group.
    let mut all = Vec::new();
    files(stage.work(), &mut all);
    assert!(all.len() > 50);
    for file in all {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes());
        assert!(!found, "{}", file.display());
    }

    // Another key takes its place if it opens the bucket, and only then.
    let list = || std::fs::read_to_string(stage.work().join("fabrikam/datastores.yaml")).unwrap();
    let before = list();
    let (code, said) = seal(&stage, "another secret");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("CR-BLOB-000") && !said.contains("another secret"),
        "{said}"
    );
    assert_eq!(list(), before);
    let (code, said) = seal(&stage, SECRET);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("contracts that are signed already") && !said.contains(SECRET),
        "{said}"
    );
    assert_ne!(list(), before);
    assert!(stage.clear_output() == input);
    owner(&stage, server.endpoint.as_str(), folder.path());
}

/// The owner's other commands on buckets: several blocks, another version, another place.
fn owner(stage: &Stage, endpoint: &str, folder: &Path) {
    let content: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(9 << 20).collect();
    let home = stage.work().join("fabrikam");
    std::fs::create_dir(home.join("more")).unwrap();
    for changed in [0, 1] {
        let mut content = content.clone();
        content[5 << 20] ^= changed;
        std::fs::write(home.join("more/large.bin"), &content).unwrap();
        let words =
            "cleanroom datastore upload --name fabrikam-input --config datastores.yaml --src more";
        stage.run("fabrikam", &words.split(' ').collect::<Vec<_>>());
    }
    let add = |prefix: &str| {
        let key = folder.join("access-key.json").display().to_string();
        let name = prefix.replace('/', "-");
        let line = format!(
            "cleanroom datastore add --name {name} --config datastores.yaml --secretstore fabrikam-local-store \
             --secretstore-config secretstores.yaml --encryption-mode CSE --format cse-v1-4m --backingstore-type Aws_S3 \
             --backingstore-id {endpoint} --region {REGION} --container-name fabrikam-input --prefix {prefix} --access-key \
             {key}"
        );
        let words: Vec<&str> = line.split(' ').collect();
        let output = stage.party("fabrikam", &words).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    for inside in ["a", "a/folder", "a/folder/b"] {
        let said = add(inside);
        assert!(said.contains("CR-CLI-0005"), "{inside}: {said}");
    }
    assert_eq!(add("beside"), "");
    let convert =
        "cleanroom datastore convert --name fabrikam-input --config datastores.yaml --to beside";
    stage.run("fabrikam", &convert.split(' ').collect::<Vec<_>>());
    for name in ["fabrikam-input", "beside"] {
        for verb in ["verify", "download --dst back"] {
            let line = format!("cleanroom datastore {verb} --name {name} --config datastores.yaml");
            stage.run("fabrikam", &line.split(' ').collect::<Vec<_>>());
        }
        let back = home.join("back").join(name).join("fabrikam-input");
        for (file, of) in [("input.txt", "input"), ("large.bin", "more")] {
            let read = std::fs::read(back.join(file)).unwrap();
            assert!(
                read == std::fs::read(home.join(of).join(file)).unwrap(),
                "{name}: {file}"
            );
        }
    }
}
