//! The program itself: exit codes, and what goes to which stream.

#![allow(clippy::panic)] // helpers of tests

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn cleanroom(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cleanroom"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn a_refusal_is_one_line_of_json_on_standard_error_with_every_problem() {
    let folder = tempfile::tempdir().unwrap();
    let begun = cleanroom(folder.path(), "config init --cleanroom-config c.yaml");
    assert!(begun.status.success() && begun.stdout.is_empty());
    let file = folder.path().join("c.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let valid = cleanroom(folder.path(), "config validate --cleanroom-config c.yaml");
    assert!(valid.status.success() && valid.stderr.is_empty());

    std::fs::write(&file, format!("{text}aplications: []\nnetwrok: null\n")).unwrap();
    let refused = cleanroom(folder.path(), "config validate --cleanroom-config c.yaml");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(error.lines().count(), 1, "{error}");
    let error: Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["error"]["code"], "CR-SPEC-0002");
    let problems = error["error"]["problems"].as_array().unwrap();
    let said: Vec<&str> = problems
        .iter()
        .filter_map(|p| p["message"].as_str())
        .collect();
    assert_eq!(
        said,
        [
            r#"unknown key; did you mean "applications"?"#,
            r#"unknown key; did you mean "network"?"#
        ]
    );
}

#[test]
fn without_anybody_to_log_in_as_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = "secretstore add --name local --config s.yaml --backingstore-type Local_File --backingstore-path keys";
    assert!(cleanroom(folder.path(), store).status.success());
    let add = "datastore add --name data --config d.yaml --secretstore local --secretstore-config s.yaml \
               --encryption-mode CSE --backingstore-type Azure_BlobStorage --backingstore-id https://localhost:1";
    let refused = cleanroom(folder.path(), add);
    assert_eq!(refused.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(error["error"]["code"], "CR-CLI-0009");
    assert!(
        !folder.path().join("d.yaml").exists() && !folder.path().join("keys/data.bin").exists()
    );
}

#[test]
fn a_root_that_is_no_certificate_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    std::fs::write(folder.path().join("d.yaml"), "datastores: []\n").unwrap();
    let line = "--ca-file ca.pem config set-logging --cleanroom-config c.yaml --datastore-config d.yaml --storage-account \
                https://localhost:1 --identity i --encryption-mode CSE --secretstore-config s.yaml --datastore-secret-store \
                s --dek-secret-store s --kek-secret-store s";
    let refused = cleanroom(folder.path(), line);
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(error["error"]["code"], "CR-HTTP-0020");
}

#[test]
fn other_modes_and_stores_are_no_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let add = "datastore add --name data --config d.yaml --secretstore local --secretstore-config s.yaml \
               --encryption-mode None --backingstore-type Azure_BlobStorage --backingstore-id https://localhost:1";
    for line in [
        add.to_owned(),
        add.replace("None", "CSE")
            .replace("Azure_BlobStorage", "Gcp_Storage"),
    ] {
        assert_eq!(
            cleanroom(folder.path(), &line).status.code(),
            Some(2),
            "{line}"
        );
    }
}

#[test]
fn a_source_is_pinned_where_a_manifest_is_recorded_and_its_owner_is_told_where_it_is_not() {
    const ADD: &str = "--cleanroom-config c.yaml --datastore-name data --datastore-config d.yaml --identity i \
                       --secretstore-config s.yaml --dek-secret-store deks --kek-secret-store keks";
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let output = cleanroom(folder.path(), line);
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let contract = || std::fs::read_to_string(folder.path().join("c.yaml")).unwrap();
    let (old, new) = ("1".repeat(64), "a".repeat(64));
    let list = |recorded: &str| {
        let list = format!(
            "datastores:\n- name: data\n  secretstore_config: /s.yaml\n  secretstore_name: local\n  encryptionMode: CSE\n  \
             storeType: Azure_BlobStorage\n  storeProviderUrl: https://account.blob.core.windows.net\n  storeName: data\n\
             {recorded}"
        );
        std::fs::write(folder.path().join("d.yaml"), list).unwrap();
    };
    for line in [
        "secretstore add --name deks --config s.yaml --backingstore-type Azure_KeyVault --backingstore-id https://v.example",
        "secretstore add --name keks --config s.yaml --backingstore-type Azure_KeyVault_Managed_HSM --backingstore-id \
         https://v.example --attestation-endpoint https://a.example",
        "config init --cleanroom-config c.yaml",
        "config add-identity az-federated --cleanroom-config c.yaml --name i --client-id c --tenant-id t",
    ] {
        assert_eq!(run(line), (Some(0), String::new()), "{line}");
    }
    let source = format!("config add-datasource {ADD}");
    let demanded = format!("{source} --pin-manifest");

    list("");
    let (code, said) = run(&source);
    assert_eq!(code, Some(0));
    assert!(
        said.starts_with("data: not pinned, as no manifest of it is known"),
        "{said}"
    );
    assert!(
        said.contains("`cleanroom datastore upload` writes one"),
        "{said}"
    );
    assert!(!contract().contains("manifestHmac"));
    let (code, said) = run(&demanded);
    assert!(code == Some(1) && said.contains("CR-CLI-0003"), "{said}");

    list(&format!("  manifestHmac: '{new}'\n"));
    for line in [&source, &demanded] {
        let (code, said) = run(line);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.starts_with(&format!("data: pinned to the manifest {new}: ")),
            "{said}"
        );
        let pinned = format!(r#"\"manifestHmac\":\"{new}\""#);
        assert!(contract().contains(&pinned), "{}", contract());
    }
    let (code, said) = run(&format!("{source} --no-pin-manifest"));
    assert_eq!(code, Some(0));
    assert!(
        said.starts_with("data: not pinned: whoever runs the storage can give"),
        "{said}"
    );
    assert!(!contract().contains("manifestHmac"));
    let both = format!("{demanded} --no-pin-manifest");
    assert_eq!(run(&both).0, Some(2));

    // Which of two manifests storage has is not known, so neither is pinned, and giving it up takes a word.
    list(&format!(
        "  manifestHmac: '{old}'\n  pendingManifestHmac: '{new}'\n"
    ));
    let (code, said) = run(&source);
    assert!(code == Some(1) && said.contains("CR-CLI-0003"), "{said}");
    assert_eq!(run(&format!("{source} --no-pin-manifest")).0, Some(0));

    let sink = format!("config add-datasink {ADD} --name sink");
    assert_eq!(run(&sink), (Some(0), String::new()));
    for flag in ["--pin-manifest", "--no-pin-manifest"] {
        let (code, said) = run(&format!("{sink} {flag}"));
        assert!(
            code == Some(1) && said.contains(&format!("{flag}: ")),
            "{said}"
        );
    }
    assert!(!contract().contains("manifestHmac"));
}

#[test]
fn a_datastore_in_a_bucket_is_refused_before_anything_is_sent_or_made_where_it_cannot_work() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let output = cleanroom(folder.path(), line);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let key = r#"{"accessKeyId":"AKIA","secretAccessKey":"hush"}"#;
    std::fs::write(folder.path().join("key.json"), key).unwrap();
    std::fs::write(folder.path().join("text"), "AKIA hush").unwrap();
    let store = "secretstore add --name local --config s.yaml --backingstore-type Local_File --backingstore-path keys";
    assert_eq!(run(store).0, Some(0));
    let add = "datastore add --name data --config d.yaml --secretstore local --secretstore-config s.yaml --encryption-mode \
               CSE --backingstore-type Aws_S3 --backingstore-id https://127.0.0.1:1 --container-name bucket --region \
               eu-north-1 --access-key key.json";
    for (from, to, said) in [
        (
            "https://127",
            "http://127",
            "--backingstore-id: is no plain https URL",
        ),
        (
            "https://127",
            "https://AKIA:hush@127",
            "--backingstore-id: is no plain https URL",
        ),
        (
            "https://127.0.0.1:1",
            "127.0.0.1",
            "--backingstore-id: is no URL",
        ),
        ("--region eu-north-1", "", "--region: "),
        ("eu-north-1", "EU", "--region: "),
        (
            "--container-name bucket",
            "--container-name B",
            "--container-name: ",
        ),
        ("--region", "--prefix ../a --region", "--prefix: "),
        (
            "--access-key key.json",
            "",
            "--access-key: a room needs one",
        ),
        ("key.json", "text", "--access-key: is no JSON object"),
        ("CSE", "CPK", "--encryption-mode: "),
        ("CSE", "SSE", "--encryption-mode: "),
        (
            "CSE",
            "CSE --format azure-cse-2.1",
            "--format: needs metadata",
        ),
        (
            "Aws_S3",
            "Azure_BlobStorage",
            "--backingstore-type: --region, --prefix",
        ),
    ] {
        let line = add.replacen(from, to, 1);
        assert_ne!(line, add);
        let (code, refused) = run(&line);
        assert_eq!(code, Some(1), "{line}: {refused}");
        assert!(
            refused.contains("CR-CLI-0003") && refused.contains(said),
            "{line}: {refused}"
        );
        assert!(!refused.contains("hush"), "{refused}");
    }
    let (code, refused) = run(&add.replacen("key.json", "gone.json", 1));
    assert!(
        code == Some(1) && refused.contains("CR-CLI-0001"),
        "{refused}"
    );
    assert!(
        !folder.path().join("d.yaml").exists() && !folder.path().join("keys/data.bin").exists()
    );

    // A list that somebody wrote by hand: a bucket without a key, and a key that another data key sealed.
    std::fs::write(folder.path().join("keys/data.bin"), [7; 32]).unwrap();
    let list = |s3: &str| {
        let list = format!(
            "datastores:\n- name: data\n  secretstore_config: {}\n  secretstore_name: local\n  encryptionMode: CSE\n  \
             storeType: Aws_S3\n  storeProviderUrl: https://127.0.0.1:1\n  storeName: bucket\n{s3}",
            folder.path().join("s.yaml").display()
        );
        std::fs::write(folder.path().join("d.yaml"), list).unwrap();
    };
    std::fs::create_dir(folder.path().join("src")).unwrap();
    let upload = "datastore upload --name data --config d.yaml --src src";
    list("");
    let (code, refused) = run(upload);
    assert!(
        code == Some(1) && refused.contains("storeType: datastore"),
        "{refused}"
    );
    let sealed = "A".repeat(80);
    list(&format!(
        "  s3:\n    region: eu-north-1\n    sealedAccessKey: {sealed}\n"
    ));
    let (code, refused) = run(upload);
    assert!(
        code == Some(1) && refused.contains("CR-BLOB-0018"),
        "{refused}"
    );
    let unknown = std::fs::read_to_string(folder.path().join("d.yaml")).unwrap();
    std::fs::write(
        folder.path().join("d.yaml"),
        unknown.replace("Aws_S3", "Gcp_Storage"),
    )
    .unwrap();
    let (code, refused) = run(upload);
    assert!(
        code == Some(1) && refused.contains("CR-CLI-0002"),
        "{refused}"
    );
}
