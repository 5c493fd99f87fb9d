//! The same job with every sidecar in its own container, under docker-compose.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod admission;
mod containers;
mod kills;
mod room;
mod scratch;

use std::path::Path;
use std::process::{Command, Output};

use e2e::{Options, Stage};
use serde_json::{Value, json};

use containers::nothing_left;

const STARTED: &str = "starting execution of demo-app container";

fn stage(options: Options) -> Stage {
    Stage::prepare(&Options {
        compose: true,
        ..options
    })
}

/// What docker-compose makes of a document.
fn config_of(file: &Path) -> Output {
    Command::new("docker-compose")
        .arg("--file")
        .arg(file)
        .args(["config", "--quiet"])
        .output()
        .unwrap()
}

#[test]
fn the_job_in_containers_gives_what_the_job_in_processes_gives() {
    let stage = stage(Options::default());
    let deployed = stage.deploy("group", &[]);
    assert_eq!(
        deployed.code,
        Some(0),
        "{}{}",
        deployed.stderr,
        deployed.logs()
    );
    assert!(deployed.outcome["boot_ms"].is_u64(), "{}", deployed.outcome);
    let input = std::fs::read(stage.work().join("fabrikam/input/input.txt")).unwrap();
    assert!(stage.clear_output() == input);
    e2e::no_secrets(&stage, &deployed);
    assert_eq!(
        stage.messages(),
        [STARTED, "demo-app container terminated with exit code 0"]
    );
    nothing_left(&stage, "group");
    admission::what_was_asked_can_be_asked_again(&stage, &deployed);

    // The document that ran: valid for docker-compose's copy of the Compose Specification schema, and nothing privileged.
    let file = deployed.group.join("docker-compose.yml");
    let config = config_of(&file);
    assert!(
        config.status.success(),
        "{}",
        String::from_utf8_lossy(&config.stderr)
    );
    let document: Value = e2e::read_json(&file);
    let mut damaged = document.clone();
    damaged["services"]["governance"]["capabilities"] = json!(["ALL"]);
    let damaged_file = deployed.group.join("damaged.yml");
    std::fs::write(&damaged_file, damaged.to_string()).unwrap();
    let config = config_of(&damaged_file);
    assert!(!config.status.success(), "the schema refuses nothing");
    for (name, service) in document["services"].as_object().unwrap() {
        assert!(service.get("privileged").is_none(), "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["read_only"], json!(true), "{name}");
        // Names resolve through /etc/resolv.conf alone: nobody is given the emulators' addresses.
        assert!(service.get("extra_hosts").is_none(), "{name}");
    }
    assert_eq!(
        document["services"]["governance"]["network_mode"],
        json!("service:group")
    );
}

#[test]
fn what_is_refused_in_processes_is_refused_in_containers() {
    let stage = stage(Options::default());
    // A changed group.
    let accepted = stage
        .work()
        .join("operator/deployment/cleanroom-container-group.json");
    let mut group: Value = e2e::read_json(&accepted);
    group["containers"][0]["env"]["X"] = json!("1");
    std::fs::write(
        stage.work().join("operator/changed.json"),
        group.to_string(),
    )
    .unwrap();
    let refused = stage.deploy("changed", &["--template-file", "changed.json"]);
    assert_eq!(refused.code, Some(1), "{}", refused.logs());
    let log = refused.log("governance") + &refused.log("identity") + &refused.log("code-launcher");
    assert!(log.contains("x-ms-sevsnpvm-hostdata"), "{}", refused.logs());
    assert!(stage.messages().is_empty());
    nothing_left(&stage, "changed");

    // A sink that cannot be committed.
    stage.upset(&json!({
        "service": "blob", "path_contains": "/fabrikam-output/", "method": "PUT", "kind": {"status": 403}, "times": 100_000,
    }));
    let lost = stage.deploy("lost", &[]);
    assert_eq!(lost.code, Some(74), "{}", lost.logs());
    nothing_left(&stage, "lost");
    stage.calm();

    // No consent.
    stage.consent("disable");
    let refused = stage.deploy("refused", &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.logs());
    assert!(refused.codes("code-launcher").contains("CR-GOV-0020"));

    // A changed document; its twin is that of all three, too.
    stage.consent("enable");
    admission::changes_are_refused(&stage);
    admission::a_stop_in_the_middle_leaves_nothing(&stage);
}
