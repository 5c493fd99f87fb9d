//! Data in and out of storage.

use std::os::unix::fs::MetadataExt;

use blob_format::manifest::{self, Manifest};
use blob_store::Condition;
use emulators::upset::{Kind, Upset};

use super::{Desk, azure, tree};

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

#[tokio::test]
async fn files_come_back_as_they_went_in_every_mode_and_format_and_the_seed_layout() {
    let desk = Desk::online().await;
    desk.stores().await;
    input(&desk);
    for mode in [
        "CSE",
        "CPK",
        "SSE",
        "CSE --format cse-v1",
        "CSE --format cse-v1-4m",
        "CSE --format azure-cse-2.1",
        "CSE --format azure-cse-2.1-sealed",
    ] {
        let name = format!(
            "data-{}",
            mode.to_lowercase()
                .replace(" --format ", "-")
                .replace('.', "-")
        );
        desk.ok(&desk.add_datastore(&name, mode)).await;
        desk.ok(&format!(
            "datastore upload --datastore-name {name} --config @datastores.yaml --src @input"
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
    let error = desk.run(download).await.unwrap_err();
    assert_eq!(error.code(), "CR-CLI-0017");
    let failed: Vec<_> = error
        .files()
        .iter()
        .map(|one| (&*one.path, &*one.code))
        .collect();
    assert_eq!(failed, [("bad", "CR-FORMAT-0006")]);
    let left: Vec<String> = tree(&desk.path("output")).into_keys().collect();
    assert_eq!(left, ["sealed/sealed/good"], "the other file went on");

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
        assert!(!desk.path("other").exists());
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

/// Writes a manifest of some of the files that the one in storage lists, as a room would that wrote only them.
async fn seal(desk: &Desk, name: &str, keep: &[&str]) {
    let dataset = desk.dataset(name);
    let store = desk.container(name);
    let info = store.head(manifest::PATH).await.unwrap();
    let read = store.get_range(manifest::PATH, 0..info.length, &info.etag);
    let whole = Manifest::unseal(&dataset.dek, &read.await.unwrap()).unwrap();
    let entries = whole.entries().iter();
    let kept = entries.filter(|entry| keep.contains(&entry.path.as_str()));
    let part = Manifest::new(kept.cloned().collect()).unwrap();
    let blob = part.seal(&dataset.dek).unwrap();
    let put = store.put_blob(manifest::PATH, blob.into(), &Condition::Always);
    put.await.unwrap();
}

#[tokio::test]
async fn what_was_sealed_comes_back_whole_or_not_at_all() {
    for mode in ["CSE", "CPK"] {
        let desk = Desk::online().await;
        desk.stores().await;
        desk.write("input/a", SECRET);
        desk.write("input/b/c", "second");
        desk.ok(&desk.add_datastore("sink", mode)).await;
        let upload = "datastore upload --name sink --config @datastores.yaml --src @input";
        desk.ok(upload).await;
        let download = "datastore download --name sink --config @datastores.yaml --dst @output";
        let any = format!("{download} --any-manifest");
        let blob = &desk.world().services().blob;
        desk.ok(download).await;
        assert_eq!(
            tree(&desk.path("output/sink/sink")),
            tree(&desk.path("input")),
            "{mode}"
        );
        let sealed = blob.snapshot(ACCOUNT, "sink").unwrap();

        let store = desk.container("sink");
        store.delete("b/c", &Condition::Always).await.unwrap();
        assert_eq!(desk.failed(download).await, ["b/c"], "a file is missing");
        blob.restore(ACCOUNT, "sink", sealed);
        desk.ok(download).await;

        seal(&desk, "sink", &["a"]).await;
        assert_eq!(desk.code(download).await, "CR-CLI-0011", "another manifest");
        assert_eq!(desk.failed(&any).await, ["b/c"], "a file too many");

        assert_eq!(desk.code(upload).await, "CR-CLI-0011", "not ours");
        desk.ok(&format!("{upload} --mirror")).await;
        let older = blob.content(ACCOUNT, "sink", manifest::PATH).unwrap();
        desk.write("input/a", "third");
        desk.ok(upload).await;
        desk.ok(download).await;
        assert_eq!(desk.read("output/sink/sink/a"), "third");
        let put = store.put_blob(manifest::PATH, older.into(), &Condition::Always);
        put.await.unwrap();
        assert_eq!(desk.code(download).await, "CR-CLI-0011", "an old manifest");
        assert_eq!(desk.failed(&any).await, ["a"], "another version of a file");
        store
            .delete(manifest::PATH, &Condition::Always)
            .await
            .unwrap();
        assert_eq!(desk.code(download).await, "CR-CLI-0011", "no manifest");
        desk.ok(&any).await;
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

#[tokio::test]
async fn what_is_only_encrypted_changes_nothing_of_what_storage_must_have() {
    let desk = Desk::online().await;
    desk.stores().await;
    desk.write("input/a", "one");
    desk.write("other/b", "two");
    desk.ok(&desk.add_datastore("data", "CSE")).await;
    desk.ok("datastore upload --name data --config @datastores.yaml --src @input")
        .await;
    desk.ok(
        "datastore encrypt --name data --config @datastores.yaml --source-path @other --destination-path @sealed",
    )
    .await;
    let verify = "datastore verify --name data --config @datastores.yaml";
    let recorded = desk.read("datastores.yaml");
    desk.ok(verify).await;
    desk.ok(&format!("{verify} --src @sealed")).await;
    desk.ok("datastore download --name data --config @datastores.yaml --dst @output")
        .await;
    desk.ok(
        "datastore decrypt --name data --config @datastores.yaml --source-path @sealed --destination-path @clear",
    )
    .await;
    assert_eq!(tree(&desk.path("clear")), tree(&desk.path("other")));
    assert_eq!(recorded, desk.read("datastores.yaml"));

    // Another tool brings it: from then on the other one is an old manifest.
    let store = desk.container("data");
    let old = store.head(manifest::PATH).await.unwrap();
    let old = store
        .get_range(manifest::PATH, 0..old.length, &old.etag)
        .await
        .unwrap();
    for (name, content) in tree(&desk.path("sealed")) {
        let put = store.put_blob(&name, content.into(), &Condition::Always);
        put.await.unwrap();
    }
    store.delete("a", &Condition::Always).await.unwrap();
    desk.ok(verify).await;
    let put = store.put_blob(manifest::PATH, old, &Condition::Always);
    put.await.unwrap();
    assert_eq!(desk.code(verify).await, "CR-CLI-0011");
}

#[tokio::test]
async fn an_upload_that_ended_before_its_record_is_known_and_is_not_pinned() {
    let desk = Desk::online().await;
    desk.stores().await;
    desk.write("input/a", "one");
    desk.write("more/b", "two");
    desk.ok(&desk.add_datastore("data", "CSE")).await;
    let upload = |from: &str| {
        format!("datastore upload --name data --config @datastores.yaml --src @{from}")
    };
    desk.ok(&upload("input")).await;
    let before = desk.read("datastores.yaml");
    desk.ok(&upload("more")).await;
    let hmac = |text: &str| {
        let line = text.lines().find(|line| line.contains("manifestHmac:"));
        line.unwrap().trim().trim_start_matches("- ").to_owned()
    };
    let after = hmac(&desk.read("datastores.yaml"));
    let pending = after.replace("manifestHmac", "pendingManifestHmac");
    let old = hmac(&before);
    desk.write(
        "datastores.yaml",
        before.replace(&old, &format!("{old}\n  {pending}")),
    );
    assert!(desk.read("datastores.yaml").contains("pendingManifestHmac"));
    desk.ok("config init --cleanroom-config @litware.yaml")
        .await;
    desk.ok(
        "config add-identity az-federated --cleanroom-config @litware.yaml --name litware-identity \
         --client-id 11111111-1111-1111-1111-111111111111 --tenant-id 22222222-2222-2222-2222-222222222222",
    )
    .await;
    let pin = "config add-datasource --cleanroom-config @litware.yaml --datastore-name data --datastore-config \
               @datastores.yaml --identity litware-identity --secretstore-config @secretstores.yaml --dek-secret-store \
               deks --kek-secret-store keks --pin-manifest";
    assert_eq!(desk.code(pin).await, "CR-CLI-0003");
    desk.ok(&upload("more")).await;
    assert_eq!(hmac(&desk.read("datastores.yaml")), after);
    assert!(!desk.read("datastores.yaml").contains("pending"));
    desk.ok(pin).await;
}
