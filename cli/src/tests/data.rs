//! Data in and out of storage.

use std::os::unix::fs::MetadataExt;

use blob_format::manifest::{self, Entry, Manifest};
use blob_format::{Attributes, Params, View, Writer};
use blob_store::{BlobStore, Condition};
use cleanroom_crypto::digest;
use cleanroom_spec::EncryptionMode;
use emulators::upset::{Kind, Upset};

use super::{Desk, azure, tree};
use crate::datastore::{self, Open};
use crate::stores::{self, DataStores};

const ACCOUNT: &str = "litwarestore";
const SECRET: &[u8] = b"an outstandingly recognisable sentence";

/// Files of all awkward sizes: empty, one byte, a chunk, a chunk and a bit, several chunks.
fn input(desk: &Desk) {
    let pattern = |length: usize| -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect();
        for (to, from) in bytes.iter_mut().zip(SECRET) {
            *to = *from;
        }
        bytes
    };
    for (name, length) in [
        ("empty", 0),
        ("one", 1),
        ("folder/chunk", 4 << 20),
        ("folder/deeper/more.csv", (4 << 20) + 1),
        ("many with space and ü", (13 << 20) + 77),
    ] {
        desk.write(&format!("input/{name}"), pattern(length));
    }
}

fn open(desk: &Desk, name: &str) -> Open {
    let known: DataStores = stores::read(&desk.path("datastores.yaml")).unwrap();
    datastore::open(
        known.find(name).unwrap(),
        desk.access.given.as_ref().unwrap(),
    )
    .unwrap()
}

#[tokio::test]
async fn files_come_back_as_they_went_in_both_modes_and_the_seed_layout() {
    let desk = Desk::online().await;
    desk.stores().await;
    input(&desk);
    for mode in ["CSE", "CPK"] {
        let name = format!("data-{}", mode.to_lowercase());
        desk.ok(&desk.add_datastore(&name, mode)).await;
        desk.ok(&format!(
            "datastore upload --name {name} --config @datastores.yaml --src @input"
        ))
        .await;
        desk.ok(&format!(
            "datastore download --name {name} --config @datastores.yaml --dst @output"
        ))
        .await;
        assert_eq!(
            tree(&desk.path(&format!("output/{name}/{name}"))),
            tree(&desk.path("input"))
        );
        let key = desk.path(&format!("keys/{name}.bin"));
        let meta = std::fs::metadata(key).unwrap();
        assert_eq!((meta.len(), meta.mode() & 0o777), (32, 0o600));
    }
    let stored = desk
        .world()
        .services()
        .blob
        .content(ACCOUNT, "data-cse", "one")
        .unwrap();
    assert!(stored.len() > 1);
    assert!(!desk.read("datastores.yaml").contains("key:"));
}

#[tokio::test]
async fn with_client_side_encryption_no_clear_text_reaches_storage() {
    let desk = Desk::online().await;
    desk.stores().await;
    desk.write("input/file", SECRET);
    desk.ok(&desk.add_datastore("sealed", "CSE")).await;
    desk.ok("datastore upload --name sealed --config @datastores.yaml --src @input")
        .await;
    assert!(!desk.world().blob_wire_contains(SECRET));
    desk.ok(&desk.add_datastore("open", "CPK")).await;
    desk.ok("datastore upload --name open --config @datastores.yaml --src @input")
        .await;
    assert!(
        desk.world().blob_wire_contains(SECRET),
        "the wire tap works"
    );
}

#[tokio::test]
async fn a_changed_byte_leaves_nothing_of_the_file_and_another_key_reads_nothing() {
    let desk = Desk::online().await;
    desk.stores().await;
    desk.write("input/good", SECRET);
    desk.write("input/bad", SECRET);
    desk.ok(&desk.add_datastore("sealed", "CSE")).await;
    desk.ok("datastore upload --name sealed --config @datastores.yaml --src @input")
        .await;
    let blob = &desk.world().services().blob;
    assert!(blob.tamper(ACCOUNT, "sealed", "bad", |bytes| bytes[40] ^= 1));
    let download = "datastore download --name sealed --config @datastores.yaml --dst @output";
    assert_eq!(desk.code(download).await, "CR-CLI-0013");
    let left = tree(&desk.path("output"));
    assert!(left.keys().all(|name| name.ends_with("/good")), "{left:?}");

    for (mode, code) in [("sealed", "CR-CLI-0013"), ("open", "CR-BLOB-0009")] {
        if mode == "open" {
            desk.ok(&desk.add_datastore("open", "CPK")).await;
            desk.ok("datastore upload --name open --config @datastores.yaml --src @input")
                .await;
        }
        desk.write(&format!("keys/{mode}.bin"), [7; 32]);
        let download =
            format!("datastore download --name {mode} --config @datastores.yaml --dst @other");
        assert_eq!(desk.code(&download).await, code);
        assert!(tree(&desk.path("other")).is_empty());
    }
    desk.write("keys/sealed.bin", [7; 31]);
    assert_eq!(desk.code(download).await, "CR-CLI-0008");
}

#[tokio::test]
async fn a_container_that_cannot_be_made_leaves_nothing_and_the_command_can_be_repeated() {
    let mut desk = Desk::online().await;
    desk.stores().await;
    let add = desk.add_datastore("data", "CSE");
    let upset = |kind| Upset::next("blob", kind).at("data");
    desk.world().upset(upset(Kind::Status(403)));
    assert_eq!(desk.code(&add).await, "CR-BLOB-0008");
    assert!(!desk.path("datastores.yaml").exists() && !desk.path("keys/data.bin").exists());
    let good = desk.access.given.replace(azure(desk.world(), "wrong"));
    assert_eq!(desk.code(&add).await, "CR-CLI-0010");
    desk.access.given = good;
    desk.ok(&add).await;
    let key = std::fs::read(desk.path("keys/data.bin")).unwrap();

    assert_eq!(desk.code(&add).await, "CR-CLI-0005");
    std::fs::remove_file(desk.path("datastores.yaml")).unwrap();
    assert_eq!(desk.code(&add).await, "CR-CLI-0007");
    assert_eq!(key, std::fs::read(desk.path("keys/data.bin")).unwrap());
}

#[tokio::test]
async fn storage_that_fails_for_a_moment_does_not_fail_a_transfer() {
    let desk = Desk::online().await;
    desk.stores().await;
    input(&desk);
    desk.ok(&desk.add_datastore("data", "CSE")).await;
    for (kind, times) in [
        (Kind::Status(503), 2),
        (Kind::Reset, 1),
        (Kind::TruncateBody, 1),
    ] {
        desk.world()
            .upset(Upset::next("blob", kind).at("many").times(times));
    }
    desk.ok("datastore upload --name data --config @datastores.yaml --src @input")
        .await;
    desk.ok("datastore download --name data --config @datastores.yaml --dst @output")
        .await;
    assert_eq!(
        tree(&desk.path("output/data/data")),
        tree(&desk.path("input"))
    );
}

/// Writes the manifest that a room would write.
async fn seal(to: &Open, names: &[&str]) {
    let mut entries = Vec::new();
    for name in names {
        let info = to.store.head(name).await.unwrap();
        let bytes = to
            .store
            .get_range(name, 0..info.length, &info.etag)
            .await
            .unwrap();
        let mut entry = Entry {
            path: (*name).to_owned(),
            length: info.length,
            file_id: [0; 16],
            generation: 0,
            authenticator: digest::sha256(&bytes),
        };
        if to.mode == EncryptionMode::Cse {
            let view = View::open(&to.dek, info.length, &bytes[32..], Some(name)).or_else(|_| {
                let tail =
                    usize::try_from(View::needed_tail(info.length, &bytes).unwrap()).unwrap();
                View::open(
                    &to.dek,
                    info.length,
                    &bytes[bytes.len() - tail..],
                    Some(name),
                )
            });
            let view = view.unwrap();
            entry.length = view.len();
            entry.file_id = view.footer().header.file_id;
            entry.generation = view.footer().generation;
            entry.authenticator = view.footer().mac;
        }
        entries.push(entry);
    }
    let text = Manifest::new(entries).unwrap().encode();
    let mut writer = Writer::create(&to.dek, Params::default(), Some(manifest::PATH)).unwrap();
    let mut body = writer.write(0, &text).unwrap().concat();
    body.extend(writer.commit(Attributes::default()).unwrap().tail);
    let put = to
        .store
        .put_blob(manifest::PATH, body.into(), &Condition::Always);
    put.await.unwrap();
}

#[tokio::test]
async fn what_a_room_sealed_comes_back_whole_or_not_at_all() {
    for mode in ["CSE", "CPK"] {
        let desk = Desk::online().await;
        desk.stores().await;
        desk.write("input/a", SECRET);
        desk.write("input/b/c", "second");
        desk.ok(&desk.add_datastore("sink", mode)).await;
        desk.ok("datastore upload --name sink --config @datastores.yaml --src @input")
            .await;
        let sink = open(&desk, "sink");
        let download = "datastore download --name sink --config @datastores.yaml --dst @output";
        let blob = &desk.world().services().blob;

        seal(&sink, &["a", "b/c"]).await;
        desk.ok(download).await;
        assert_eq!(
            tree(&desk.path("output/sink/sink")),
            tree(&desk.path("input")),
            "{mode}"
        );
        let sealed = blob.snapshot(ACCOUNT, "sink").unwrap();

        sink.store.delete("b/c", &Condition::Always).await.unwrap();
        assert_eq!(
            desk.code(download).await,
            "CR-CLI-0011",
            "a file is missing"
        );
        blob.restore(ACCOUNT, "sink", sealed);
        desk.ok(download).await;

        seal(&sink, &["a"]).await;
        assert_eq!(desk.code(download).await, "CR-CLI-0011", "a file too many");

        seal(&sink, &["a", "b/c"]).await;
        let older = blob.content(ACCOUNT, "sink", manifest::PATH).unwrap();
        desk.ok("datastore upload --name sink --config @datastores.yaml --src @input")
            .await;
        assert!(blob.content(ACCOUNT, "sink", manifest::PATH).is_none());
        desk.write("input/a", "third");
        desk.ok("datastore upload --name sink --config @datastores.yaml --src @input")
            .await;
        let put = sink
            .store
            .put_blob(manifest::PATH, older.into(), &Condition::Always);
        put.await.unwrap();
        assert_eq!(
            desk.code(download).await,
            "CR-CLI-0011",
            "another version of a file"
        );
    }
}

#[tokio::test]
async fn a_sink_is_downloaded_by_its_access_name() {
    let desk = Desk::online().await;
    desk.stores().await;
    desk.write("result/output.gz", "zipped");
    desk.ok("config init --cleanroom-config @litware.yaml")
        .await;
    desk.ok(
        "config add-identity az-federated --cleanroom-config @litware.yaml --name litware-identity \
         --client-id 11111111-1111-1111-1111-111111111111 --tenant-id 22222222-2222-2222-2222-222222222222",
    )
    .await;
    let account = desk.world().url("litwarestore.blob.core.windows.net");
    for verb in ["set-logging", "set-telemetry"] {
        let line = format!(
            "config {verb} --cleanroom-config @litware.yaml --datastore-config @datastores.yaml --storage-account {account} \
             --identity litware-identity --encryption-mode CSE --secretstore-config @secretstores.yaml \
             --datastore-secret-store local --dek-secret-store deks --kek-secret-store keks"
        );
        desk.ok(&line).await;
        desk.ok(&line).await;
    }
    desk.ok("config validate --cleanroom-config @litware.yaml")
        .await;
    let from = "--cleanroom-config @litware.yaml --datastore-config @datastores.yaml --target-folder @results";
    for (verb, store) in [
        ("logs", "application-telemetry-litware"),
        ("telemetry", "infrastructure-telemetry-litware"),
    ] {
        desk.ok(&format!(
            "datastore upload --name {store} --config @datastores.yaml --src @result"
        ))
        .await;
        desk.ok(&format!("{verb} download {from}")).await;
        assert_eq!(
            desk.read(&format!("results/{store}/{store}/output.gz")),
            "zipped"
        );
    }
    desk.ok(&format!(
        "datasink download --name application-telemetry {from}"
    ))
    .await;
    assert_eq!(
        desk.code(&format!("datasink download --name other {from}"))
            .await,
        "CR-CLI-0004"
    );
}
