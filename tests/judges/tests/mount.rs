//! A kernel mount, and programs of others beside it: the Azure SDK for Python, upstream's format from its byte layout, and
//! Azurite under it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

#[path = "../../../blobfuse-shim/tests/semantics/room.rs"]
mod room;
#[path = "azurite/server.rs"]
#[allow(dead_code, reason = "another test program uses the rest")]
mod server;
#[path = "common/stage.rs"]
mod stage;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use blob_format::Format;
use blob_fs::{Mode, Options};
use blob_store::testing::{Faulty, MemoryStore};
use blob_store::{AzureConfig, AzureStore, BlobStore, Condition, FixedToken, Token};
use serde_json::{Value, json};

use room::{Mount, pattern};
use stage::{Stage, play};

const MIB: usize = 1 << 20;
/// The key of every mount here.
const KEY: u8 = 0x5a;
const KEY_ID: &str = "wrapped-dek";

fn mount(store: impl BlobStore, format: &str, read_only: bool) -> Mount {
    let mode = match format {
        "SSE" => Mode::Sse,
        format => Format::from_contract(format).unwrap().into(),
    };
    let options = Options {
        key_id: KEY_ID.to_owned(),
        deadline: std::time::Duration::from_secs(60),
        ..room::options(read_only)
    };
    Mount::with(Faulty::new(store), KEY, mode, options)
}

/// Writes as applications do: front to back, over what is there, at the end, shorter, under another name.
fn write_files(mount: &Mount, clear: &Path) -> Vec<&'static str> {
    let names = ["empty", "one", "blocks", "changed", "cut", "moved"];
    let mut contents = [0, 1, 8 * MIB, 9 * MIB + 5, 6 * MIB, 5 * MIB].map(pattern);
    for (name, content) in names.iter().zip(&contents) {
        let first = if *name == "moved" { "first" } else { name };
        fs::write(mount.at(first), content).unwrap();
    }
    let open = |name: &str| {
        let mut options = fs::OpenOptions::new();
        options.write(true).open(mount.at(name)).unwrap()
    };
    let changed = open("changed");
    let end = contents[3].len();
    for at in [3, 4 * MIB - 1, end] {
        changed.write_all_at(b"over", at as u64).unwrap();
        contents[3].resize(contents[3].len().max(at + 4), 0);
        contents[3][at..at + 4].copy_from_slice(b"over");
        changed.sync_all().unwrap();
    }
    open("cut").set_len(4 * MIB as u64 + 1).unwrap();
    contents[4].truncate(4 * MIB + 1);
    fs::rename(mount.at("first"), mount.at("moved")).unwrap();
    for (name, content) in names.iter().zip(contents) {
        fs::write(clear.join(name), content).unwrap();
    }
    names.to_vec()
}

async fn storage(stage: &Stage, container: &str) -> AzureStore {
    let party = &stage.world.config().parties[0];
    let https = test_support::https(&stage.world).unwrap();
    let token = test_support::storage_token(&stage.world, &party.name).await;
    let token = Token::new(token.unwrap());
    let account = &party.storage_accounts[0].name;
    let endpoint = stage.world.url(&format!("{account}.blob.core.windows.net"));
    let config = AzureConfig::new(endpoint, container, Arc::new(FixedToken(token)));
    AzureStore::new(config, https).unwrap()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mount_writes_the_sdk_reads_and_what_the_sdk_writes_the_mount_reads_and_changes() {
    let stage = Stage::set().await;
    let clear = stage.folder().to_owned();
    let ours = storage(&stage, "ours").await;
    ours.create_container().await.unwrap();
    let names = blocking({
        let (ours, clear) = (ours.clone(), clear.clone());
        move || write_files(&mount(ours, "azure-cse-2.1-sealed", false), &clear)
    })
    .await;
    let lengths = [0, 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 5];
    let in_one_piece = [0, 1, 4 * MIB, 4 * MIB + 1];
    let theirs = lengths.map(|length| {
        let name = format!("theirs-{length}");
        json!({"container": "theirs", "name": name, "clear": clear.join(&name), "length": length})
    });
    let written = names
        .iter()
        .map(|name| json!({"container": "ours", "name": name, "clear": clear.join(name)}));
    let mut description = stage.description();
    description["mounted"] = json!({
        "dek": hex::encode([KEY; 32]),
        "key_id": KEY_ID,
        "read": written.collect::<Vec<_>>(),
        "write": theirs,
    });
    stage.perform("mounted.py", &description).await;

    let container = storage(&stage, "theirs").await;
    blocking({
        let (container, clear) = (container.clone(), clear.clone());
        move || {
            let source = mount(container.clone(), "azure-cse-2.1", true);
            for length in lengths {
                let name = format!("theirs-{length}");
                let path = source.at(&name);
                assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
                assert!(fs::read(path).unwrap() == fs::read(clear.join(name)).unwrap());
            }
            // Nobody vouches for length and name of what the SDK wrote.
            let sealed = mount(container.clone(), "azure-cse-2.1-sealed", true);
            let refused = fs::read(sealed.at("theirs-1"));
            assert_eq!(room::errno(refused), libc::EIO);
            // Changes: a version with a content key of its own, which the SDK reads again.
            let sink = mount(container, "azure-cse-2.1", false);
            for length in in_one_piece {
                let name = format!("theirs-{length}");
                for path in [sink.at(&name), clear.join(&name)] {
                    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                    file.write_all_at(b"changed", length as u64 / 2).unwrap();
                    file.sync_all().unwrap();
                }
            }
            // The service takes no block whose id has another length than those of the blob.
            let in_blocks = sink.at(&format!("theirs-{}", lengths[4]));
            let file = fs::OpenOptions::new().write(true).open(in_blocks).unwrap();
            file.write_all_at(b"changed", 0).unwrap();
            assert_eq!(room::errno(file.sync_all()), libc::EIO);
        }
    })
    .await;
    description["mounted"]["read"] = json!(theirs);
    description["mounted"]["write"] = json!([]);
    stage.perform("mounted.py", &description).await;
}

#[test]
fn upstreams_files_are_read_and_written_byte_for_byte() {
    for (format, block) in [("cse-v1-4m", 4 * MIB), ("cse-v1", 16 * MIB)] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let play = |description: Value| {
            let path = at("description.json");
            fs::write(&path, description.to_string()).unwrap();
            let hosts = Path::new("/etc/hosts");
            let printed = play("upstream_v1.py", hosts, &path);
            assert_eq!(printed.lines().last(), Some("done"), "{printed}");
        };
        let memory = MemoryStore::default();
        let lengths = [0, 1, block - 1, block, block + 1];
        let pairs = lengths.map(|length| {
            let (clear, sealed) = (
                at(&format!("{length}.clear")),
                at(&format!("{length}.sealed")),
            );
            fs::write(&clear, pattern(length)).unwrap();
            (clear, sealed)
        });
        let dek = hex::encode([KEY; 32]);
        play(json!({"dek": dek, "block": block, "encrypt": pairs, "decrypt": []}));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for (length, (_, sealed)) in lengths.iter().zip(&pairs) {
            let (name, body) = (length.to_string(), fs::read(sealed).unwrap().into());
            let put = memory.put_blob(&name, body, &Condition::Absent);
            runtime.block_on(put).unwrap();
        }
        // What upstream's mount makes of an empty file.
        let put = memory.put_blob("none", Vec::new().into(), &Condition::Absent);
        runtime.block_on(put).unwrap();
        let source = mount(memory.clone(), format, true);
        for length in lengths {
            let path = source.at(&length.to_string());
            assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
            assert!(
                fs::read(path).unwrap() == pattern(length),
                "{format} {length}"
            );
        }
        assert_eq!(fs::read(source.at("none")).unwrap(), b"");

        // Ours, by upstream's layout; and upstream's own, changed by us.
        let sink = mount(memory.clone(), format, false);
        let mut names: Vec<String> = write_files(&sink, dir.path())
            .into_iter()
            .map(str::to_owned)
            .collect();
        let changed = fs::OpenOptions::new()
            .write(true)
            .open(sink.at(&block.to_string()))
            .unwrap();
        changed.write_all_at(b"over", block as u64 - 2).unwrap();
        changed.sync_all().unwrap();
        let mut content = pattern(block - 2);
        content.extend(b"over");
        fs::write(at(&block.to_string()), content).unwrap();
        names.push(block.to_string());
        drop((source, sink));
        let pairs = names.iter().map(|name| {
            let sealed = at(&format!("{name}.ours"));
            fs::write(&sealed, memory.bytes(name).unwrap()).unwrap();
            (sealed, at(name))
        });
        let pairs: Vec<_> = pairs.collect();
        play(json!({"dek": dek, "block": block, "encrypt": [], "decrypt": pairs}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_serves_a_mount_that_encrypts_nothing() {
    let azurite = server::Azurite::start();
    let store = azurite.container("plain").await;
    let clear = tempfile::tempdir().unwrap();
    let folder = clear.path().to_owned();
    let names = blocking({
        let store = store.clone();
        move || {
            let names = write_files(&mount(store.clone(), "SSE", false), &folder);
            let source = mount(store, "SSE", true);
            for name in &names {
                let expected = fs::read(folder.join(name)).unwrap();
                assert!(fs::read(source.at(name)).unwrap() == expected, "{name}");
            }
            let listed = fs::read_dir(source.at("")).unwrap().count();
            assert_eq!(listed, names.len());
            names
        }
    })
    .await;
    // The service sees every byte.
    for name in names {
        let stored = azurite.stored(&format!("plain/{name}")).await;
        assert!(
            stored == fs::read(clear.path().join(name)).unwrap(),
            "{name}"
        );
    }
}
