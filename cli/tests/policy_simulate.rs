//! `cleanroom policy simulate`: who answered, and what is no yes although every point was allowed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A framework of our own: it knows one layer, which the policy computes.
const FRAMEWORK: &str = r#"package framework
import future.keywords.in
version := "@@FRAMEWORK_VERSION@@"
default mount_device := {"allowed": false}
mount_device := {"allowed": true} { input.deviceHash in data.policy.hashes }
errors["unknown layer"] { input.rule == "mount_device" }
"#;
const COMPUTES: &str = r#"package policy
api_version := "0.10.0"
hashes := [lower(name) | name := ["AB", "CD"][_]]
mount_device := data.framework.mount_device
reason := {"errors": data.framework.errors}
"#;
const PLAIN: &str = r#"package policy
api_version := "0.10.0"
framework_version := "0.2.3"
hash := "x"
"#;

fn simulate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cleanroom"))
        .args(["policy", "simulate"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn code(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    error["error"]["code"].as_str().unwrap().to_owned()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_framework_that_is_brought_answers_and_is_named() {
    let ask =
        |hash: &str| json!([{"point": "mount_device", "input": {"deviceHash": hash}}]).to_string();
    let folder = folder(&[
        ("policy.rego", COMPUTES),
        ("framework.rego", FRAMEWORK),
        ("known.json", &ask("cd")),
        ("unknown.json", &ask("ef")),
    ]);
    // This program answers no policy that computes.
    let ours = simulate(folder.path(), &["policy.rego", "--requests", "known.json"]);
    assert_eq!(code(&ours), "CR-SIM-0002");
    for (requests, exit, errors) in [
        ("known.json", 0, json!(null)),
        ("unknown.json", 3, json!(["unknown layer"])),
    ] {
        let arguments = [
            "policy.rego",
            "--requests",
            requests,
            "--framework",
            "framework.rego",
        ];
        let output = simulate(folder.path(), &[&arguments[..], &["--json"]].concat());
        assert_eq!(output.status.code(), Some(exit), "{output:?}");
        let told = answer(&output);
        assert_eq!(
            told["answers"][0]
                .get("errors")
                .cloned()
                .unwrap_or_default(),
            errors
        );
        let who = told["answeredBy"].as_str().unwrap();
        assert!(
            who.starts_with("the framework framework.rego, SHA-256 "),
            "{who}"
        );
        let text = simulate(folder.path(), &arguments);
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.starts_with(&format!("answered by {who}\n")), "{text}");
    }
}

#[test]
fn without_a_framework_the_answer_says_so() {
    let requests = json!([{"point": "dump_stacks"}]).to_string();
    let policy = PLAIN.replace("hash := \"x\"", "dump_stacks := {\"allowed\": true}");
    let folder = folder(&[("policy.rego", &policy), ("requests.json", &requests)]);
    let output = simulate(
        folder.path(),
        &["policy.rego", "--requests", "requests.json", "--json"],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let who = answer(&output)["answeredBy"].as_str().unwrap().to_owned();
    assert!(
        who.starts_with("cleanroom ") && who.ends_with(", without a framework"),
        "{who}"
    );
}

#[test]
fn an_answer_to_no_question_is_no_yes() {
    let folder = folder(&[
        ("policy.rego", COMPUTES),
        ("framework.rego", FRAMEWORK),
        ("plain.rego", &PLAIN.replace("hash := \"x\"", "")),
        ("none.json", "[]"),
    ]);
    for arguments in [
        vec!["plain.rego", "--requests", "none.json"],
        vec![
            "policy.rego",
            "--requests",
            "none.json",
            "--framework",
            "framework.rego",
        ],
    ] {
        let output = simulate(folder.path(), &[&arguments[..], &["--json"]].concat());
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert_eq!(answer(&output)["allowed"], false);
        let text = simulate(folder.path(), &arguments);
        assert!(
            String::from_utf8(text.stdout)
                .unwrap()
                .contains("nothing was asked")
        );
    }
}

#[test]
fn a_framework_that_is_none_is_refused() {
    let requests = json!([{"point": "mount_device", "input": {"deviceHash": "ab"}}]).to_string();
    let long = format!(
        "package framework\nversion := \"0.5.0\"\n#{}\n",
        "x".repeat(4 << 20)
    );
    let deep = format!("package framework\nversion := {}1\n", "[".repeat(100_000));
    let slow = FRAMEWORK.replace(
        "input.deviceHash in data.policy.hashes",
        "a := numbers.range(1, 3000)\n count([1 | a[_] + a[_] + a[_] == 0]) == 1",
    );
    let folder = folder(&[
        ("policy.rego", COMPUTES),
        ("requests.json", &requests),
        ("other.rego", "package other\nversion := \"0.5.0\""),
        ("broken.rego", "package framework\nx := "),
        ("long.rego", &long),
        ("deep.rego", &deep),
        ("slow.rego", &slow),
    ]);
    for (framework, expected) in [
        ("other.rego", "CR-SIM-0008"),
        ("broken.rego", "CR-SIM-0008"),
        ("deep.rego", "CR-SIM-0008"),
        ("slow.rego", "CR-SIM-0008"),
        ("long.rego", "CR-SIM-0001"),
        ("missing.rego", "CR-CLI-0001"),
    ] {
        let arguments = [
            "policy.rego",
            "--requests",
            "requests.json",
            "--framework",
            framework,
        ];
        assert_eq!(
            code(&simulate(folder.path(), &arguments)),
            expected,
            "{framework}"
        );
    }
}

#[test]
fn a_policy_that_ends_the_evaluator_is_refused_like_any_other() {
    let requests = json!([{"point": "mount_device", "input": {"deviceHash": "ab"}}]).to_string();
    let body =
        "package policy\napi_version := \"0.10.0\"\nmount_device := data.framework.mount_device\n";
    let stack = format!("{body}x := 1{}\n", "+1".repeat(200_000));
    let memory = format!("{body}hashes := numbers.range(1, 4000000000000000000)\n");
    let folder = folder(&[
        ("requests.json", &requests),
        ("framework.rego", FRAMEWORK),
        ("stack.rego", &stack),
        ("memory.rego", &memory),
    ]);
    for policy in ["stack.rego", "memory.rego"] {
        let arguments = [
            policy,
            "--requests",
            "requests.json",
            "--framework",
            "framework.rego",
        ];
        assert_eq!(
            code(&simulate(folder.path(), &arguments)),
            "CR-SIM-0008",
            "{policy}"
        );
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let folder = folder(&[(
        "denial.json",
        r#"{"decision":"deny","reason":{"errors":["deviceHash not found"]}}"#,
    )]);
    for path in ["denial.json", "-"] {
        let input = std::fs::File::open(folder.path().join("denial.json")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_cleanroom"))
            .args(["policy", "decode-denial", path, "--json"])
            .current_dir(folder.path())
            .env_clear()
            .stdin(input)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(
            answer(&output)["errors"][0]["error"],
            "deviceHash not found"
        );
    }
}

/// A group of one container, and the policy that this program writes for it.
fn group(folder: &Path) -> String {
    let image = json!({"name": "one", "digest": format!("sha256:{:064x}", 1)});
    let container = json!({
        "name": "one", "image": image, "command": ["/one"], "env": {"KEEP": "1", "NEED": "2"}, "mounts": [],
        "user": 1000, "group": 1000, "capabilities": ["CHOWN", "KILL"], "devices": [], "probe":
            {"command": ["/one", "--probe"], "periodSeconds": 5, "failureThreshold": 3},
        "workingDir": "/",
    });
    let group = json!({
        "contractId": "c", "specificationSha256": "00", "initContainers": [], "containers": [container], "volumes": [],
        "insecureVirtual": false,
    });
    let mut entry = image;
    entry["layers"] =
        json!([{"diff_id": format!("sha256:{:064x}", 2), "root_hash": "ab".repeat(32)}]);
    std::fs::write(folder.join("group.json"), group.to_string()).unwrap();
    std::fs::write(folder.join("images.json"), json!([entry]).to_string()).unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_cleanroom"))
        .args([
            "policy",
            "generate",
            "--group",
            "group.json",
            "--images",
            "images.json",
            "--out",
            "made.rego",
        ])
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let told: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(told["images"][0]["rootHashes"], "believed");
    std::fs::read_to_string(folder.join("made.rego")).unwrap()
}

#[test]
fn a_group_that_would_start_without_what_it_names_is_no_yes() {
    let folder = tempfile::tempdir().unwrap();
    let made = group(folder.path());
    let rule = r#"{"pattern":"NEED=2","required":true,"strategy":"string"},"#;
    assert!(made.contains(rule), "{made}");
    let fewer = made.replace("\"CAP_CHOWN\",", "");
    for (text, exit, gone) in [
        (made.clone(), 0, json!(null)),
        (made.replace(rule, ""), 3, json!(["NEED"])),
        (fewer, 3, json!(["CAP_CHOWN"])),
    ] {
        std::fs::write(folder.path().join("policy.rego"), text).unwrap();
        let arguments = [
            "policy.rego",
            "--group",
            "group.json",
            "--images",
            "images.json",
        ];
        let output = simulate(folder.path(), &[&arguments[..], &["--json"]].concat());
        let told = answer(&output);
        assert_eq!(output.status.code(), Some(exit), "{told}");
        let answers = told["answers"].as_array().unwrap();
        assert!(answers.iter().all(|one| one["allowed"] == true), "{told}");
        // The first process, and the probe in it.
        let dropped: Vec<_> = answers
            .iter()
            .filter_map(|one| one.get("dropped"))
            .collect();
        assert_eq!(dropped, vec![&gone; if exit == 0 { 0 } else { 2 }]);
        let text = String::from_utf8(simulate(folder.path(), &arguments).stdout).unwrap();
        assert_eq!(text.contains("starts without"), exit == 3, "{text}");
    }
}
