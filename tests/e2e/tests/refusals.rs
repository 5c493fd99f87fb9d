//! What must not happen, each beside a run that shows that it would have worked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::time::{Duration, Instant};

use e2e::{Deployed, Options, Stage};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

const STARTED: &str = "starting execution of demo-app container";

fn nothing_ran(stage: &Stage, deployed: &Deployed) {
    assert_eq!(deployed.code, Some(1), "{}", deployed.logs());
    assert!(stage.messages().is_empty());
    assert!(deployed.outcome["boot_ms"].is_null());
}

fn layers_pulled(stage: &Stage) -> usize {
    stage
        .requests("registry")
        .iter()
        .filter(|request| request.starts_with("GET") && request.contains("/blobs/"))
        .count()
}

#[test]
fn without_consent_nothing_is_pulled_and_nothing_runs_and_with_it_the_same_room_does() {
    let stage = Stage::prepare(&Options::default());
    stage.consent("disable");
    let refused = stage.deploy("refused", &[]);
    nothing_ran(&stage, &refused);
    assert_eq!(layers_pulled(&stage), 0);
    assert!(
        refused.codes("code-launcher").contains("CR-GOV-0020"),
        "{:?}",
        refused.codes("code-launcher")
    );

    stage.consent("enable");
    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
    assert!(layers_pulled(&stage) > 0);
    assert_eq!(stage.messages()[0], STARTED);
}

#[test]
fn a_group_that_differs_in_one_value_gets_nothing_and_is_told_which_claim() {
    let stage = Stage::prepare(&Options::default());
    let accepted = stage
        .work()
        .join("operator/deployment/cleanroom-container-group.json");
    let mut group: Value = e2e::read_json(&accepted);
    let shim = group["containers"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|c| c["name"] == "fabrikam-input-blobfuse")
        .unwrap();
    shim["env"]["AZURE_STORAGE_ACCOUNT"] = json!("attacker");
    let changed = stage.work().join("operator/changed.json");
    std::fs::write(&changed, group.to_string()).unwrap();
    let refused = stage.deploy("refused", &["--template-file", "changed.json"]);
    nothing_ran(&stage, &refused);
    let log = refused.log("governance") + &refused.log("identity") + &refused.log("code-launcher");
    assert!(log.contains("x-ms-sevsnpvm-hostdata"), "{}", refused.logs());
    assert!(
        stage
            .requests("vault")
            .iter()
            .all(|request| !request.contains("/release"))
    );

    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
}

#[test]
fn a_wrong_data_key_is_an_input_output_error_and_the_exit_event_says_so() {
    // Under a pin it would not get as far: the manifest does not open.
    let stage = Stage::prepare(&Options {
        unpinned: true,
        ..Options::default()
    });
    std::fs::write(
        stage.work().join("fabrikam/secret/keys/fabrikam-input.bin"),
        [7_u8; 32],
    )
    .unwrap();
    stage.run(
        "fabrikam",
        &[
            "cleanroom",
            "config",
            "wrap-deks",
            "--cleanroom-config",
            "fabrikam.yaml",
            "--datastore-config",
            "datastores.yaml",
            "--secretstore-config",
            "secretstores.yaml",
            "--contract-id",
            "collab1",
        ],
    );
    let deployed = stage.deploy("group", &[]);
    let code = deployed.code.unwrap();
    assert!(
        code != 0 && code != 74 && code != 75,
        "{code}: {}",
        deployed.logs()
    );
    assert_eq!(
        stage.messages()[1],
        format!("demo-app container terminated with exit code {code}")
    );
    assert!(
        stage
            .requests("blob")
            .iter()
            .any(|request| request.contains("/fabrikam-input/") && request.ends_with(" 409"))
    );
}

#[test]
fn a_corrupted_image_is_not_run() {
    let stage = Stage::prepare(&Options::default());
    let layout = stage.work().join("litware/image");
    let images = e2e::read_json(&layout.join("images.json"));
    let manifest = images[0]["digest"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:");
    let manifest = e2e::read_json(&layout.join("blobs/sha256").join(manifest));
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    stage.admin(
        "PUT",
        "/registry/corrupt",
        &json!({"digest": layer}).to_string(),
    );
    let refused = stage.deploy("refused", &[]);
    nothing_ran(&stage, &refused);
    let codes = refused.codes("code-launcher");
    assert!(
        codes.contains("CR-LAUNCH-0006") || codes.contains("CR-LAUNCH-0005"),
        "{codes:?}: {}",
        refused.logs()
    );

    stage.admin("PUT", "/registry/corrupt", "{}");
    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
}

#[test]
fn services_that_stumble_are_asked_again_and_one_that_is_down_is_named() {
    let stage = Stage::prepare(&Options::default());
    for (service, path, kind) in [
        ("maa", "/attest", json!({"status": 503})),
        ("vault", "/release", json!("truncate_body")),
        ("entra", "/token", json!("reset")),
        ("blob", "fabrikam-input", json!({"status": 500})),
        ("cgs", "consentcheck", json!({"delay": 300})),
    ] {
        stage.upset(&json!({"service": service, "path_contains": path, "kind": kind, "times": 1}));
    }
    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());

    stage.upset(&json!({"service": "maa", "path_contains": "/attest", "kind": {"status": 503}, "times": 1000}));
    let refused = stage.deploy("refused", &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.logs());
    // The first of the two ends the room, and perhaps the other before it has said anything.
    let shims = ["fabrikam-input-blobfuse", "fabrikam-output-blobfuse"];
    assert!(
        shims.iter().any(|shim| refused.log(shim).contains("MAA")),
        "{}",
        refused.logs()
    );
    // The shim has told the launcher; no deadline had to end the wait.
    let launcher = refused.log("code-launcher");
    assert!(launcher.contains("failed: mount: "), "{launcher}");
    assert!(launcher.contains("MAA"), "{launcher}");
    let codes = refused.codes("code-launcher");
    assert!(!codes.contains("CR-LAUNCH-0004"), "{codes:?}");
}

#[test]
fn a_sink_that_cannot_commit_is_exit_code_74_and_never_0() {
    let stage = Stage::prepare(&Options::default());
    stage.upset(&json!({
        "service": "blob", "path_contains": "/fabrikam-output/", "method": "PUT", "kind": {"status": 403}, "times": 100_000,
    }));
    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(74), "{}", deployed.logs());
    assert_eq!(stage.messages()[0], STARTED);
}

#[test]
fn sigterm_in_the_middle_seals_the_sink_and_writes_the_exit_event() {
    // The application waits for an input that never comes.
    let stage = Stage::prepare(&Options {
        input_name: Some("other.txt"),
        ..Options::default()
    });
    let child = stage.start("group", &[]);
    let deadline = Instant::now() + Duration::from_secs(180);
    while stage.messages().is_empty() {
        assert!(Instant::now() < deadline, "the application was not started");
    }
    let deploy = e2e::deploy_process(child.id());
    kill(deploy, Signal::SIGTERM).unwrap();
    let deployed = stage.finish("group", child);
    let messages = stage.messages();
    assert_eq!(messages.len(), 2, "{messages:?} {}", deployed.logs());
    assert!(
        messages[1].starts_with("demo-app container terminated with exit code "),
        "{messages:?}"
    );
    assert_ne!(deployed.code, Some(0));
    assert!(
        deployed.log("fabrikam-output-blobfuse").contains("sealed"),
        "{}",
        deployed.logs()
    );
}
