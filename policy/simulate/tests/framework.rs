//! A framework of the caller's, here a small one of our own: its rules are evaluated as they are, and what a yes changes is
//! there for the next question.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use policy_simulate::{Framework, Question};
use serde_json::{Value, json};

const FRAMEWORK: &str = r#"package framework

import future.keywords.in

version := "@@FRAMEWORK_VERSION@@"

known_kind("ext4")
known_kind("xfs")

taken(target) { data.metadata.devices[target] }

default mount_device := {"allowed": false}
mount_device := {"allowed": true, "metadata": [add]} {
    not taken(input.target)
    input.deviceHash in data.policy.hashes
    regex.match("^/m[0-9]+$", input.target)
    add := {"name": "devices", "action": "add", "key": input.target, "value": input.deviceHash}
}

default unmount_device := {"allowed": false}
unmount_device := {"allowed": true, "metadata": [remove]} {
    taken(input.unmountTarget)
    remove := {"name": "devices", "action": "remove", "key": input.unmountTarget}
}

default rw_mount_device := {"allowed": false}
rw_mount_device := {"allowed": true} { known_kind(input.filesystem) }

default load_fragment := {"allowed": false}
load_fragment := {"allowed": true} { not input.fragment_loaded }
load_fragment := {"allowed": true} {
    input.fragment_loaded
    data[input.namespace].svn == "2"
}

errors["place taken"] {
    input.rule == "mount_device"
    taken(input.target)
}
errors["unknown layer"] {
    input.rule == "mount_device"
    not input.deviceHash in data.policy.hashes
}
"#;
const POLICY: &str = r#"package policy
api_version := "0.10.0"
hashes := [lower(name) | name := ["AB", "CD"][_]]
mount_device := data.framework.mount_device
unmount_device := data.framework.unmount_device
load_fragment := data.framework.load_fragment
dump_stacks := {"allowed": false}
reason := {"errors": data.framework.errors}
"#;

fn question(point: &str, input: Value) -> Question {
    Question {
        point: point.to_owned(),
        input,
        fragment: None,
    }
}

fn ask(framework: &mut Framework, point: &str, input: Value) -> (bool, Vec<String>) {
    let decision = framework.ask(&question(point, input)).unwrap();
    (decision.allowed, decision.errors)
}

#[test]
fn rules_that_compute_are_evaluated_and_what_was_allowed_is_remembered() {
    let mut framework = Framework::new(POLICY, FRAMEWORK).unwrap();
    let mount = |hash: &str| json!({"target": "/m1", "deviceHash": hash});
    let no = |errors: &[&str]| (false, errors.iter().map(|e| (*e).to_owned()).collect());
    assert_eq!(
        ask(&mut framework, "mount_device", mount("ef")),
        no(&["unknown layer"])
    );
    assert_eq!(
        ask(&mut framework, "mount_device", mount("ab")),
        (true, vec![])
    );
    assert_eq!(
        ask(&mut framework, "mount_device", mount("cd")),
        no(&["place taken"])
    );
    let unmount = json!({"unmountTarget": "/m1"});
    assert_eq!(
        ask(&mut framework, "unmount_device", unmount.clone()),
        (true, vec![])
    );
    assert_eq!(ask(&mut framework, "unmount_device", unmount), no(&[]));
    assert_eq!(
        ask(&mut framework, "mount_device", mount("cd")),
        (true, vec![])
    );
}

#[test]
fn a_framework_of_either_version_of_rego_is_read() {
    let newer = FRAMEWORK
        .replace(" } {", " if {")
        .replace("} {", "} if {")
        .replace("(target) {", "(target) if {")
        .replace(
            "errors[\"place taken\"] {",
            "errors contains \"place taken\" if {",
        )
        .replace(
            "errors[\"unknown layer\"] {",
            "errors contains \"unknown layer\" if {",
        );
    assert_ne!(newer, FRAMEWORK);
    let mount = json!({"target": "/m1", "deviceHash": "ef"});
    for text in [FRAMEWORK, &newer] {
        let mut framework = Framework::new(POLICY, text).unwrap();
        let no = (false, vec!["unknown layer".to_owned()]);
        assert_eq!(ask(&mut framework, "mount_device", mount.clone()), no);
    }
}

#[test]
fn what_a_policy_does_not_say_means_what_the_platform_takes_it_to_mean() {
    let mut framework = Framework::new(POLICY, FRAMEWORK).unwrap();
    // Newer than the policy: the framework answers.
    assert!(
        ask(
            &mut framework,
            "rw_mount_device",
            json!({"filesystem": "xfs"})
        )
        .0
    );
    assert!(
        !ask(
            &mut framework,
            "rw_mount_device",
            json!({"filesystem": "btrfs"})
        )
        .0
    );
    assert!(!ask(&mut framework, "host_network", json!({})).0);
    assert!(!ask(&mut framework, "dump_stacks", json!({})).0);
    // Older, and missing.
    let missing = framework
        .ask(&question("get_properties", json!({})))
        .unwrap();
    assert_eq!(
        missing.policy_error.as_deref(),
        Some("rule for get_properties is missing from policy")
    );
}

#[test]
fn a_fragment_stays_only_if_the_framework_accepts_it_after_it_was_read() {
    let mut framework = Framework::new(POLICY, FRAMEWORK).unwrap();
    let mut load = |text: &str| {
        let mut question = question("load_fragment", json!({"issuer": "i", "feed": "f"}));
        question.fragment = Some(text.to_owned());
        framework.ask(&question).unwrap()
    };
    assert!(!load("package other\nsvn := \"1\"").allowed);
    assert!(load("package other\nsvn := \"2\"").allowed);
    for package in [
        "policy",
        "policy # x",
        "framework\t# x",
        "framework.more",
        " framework ",
    ] {
        let text = format!("package {package}\nsvn := \"2\"");
        assert!(load(&text).policy_error.is_some(), "{package}");
    }
}

#[test]
fn a_file_that_is_no_framework_is_refused() {
    let unversioned = POLICY.replace("api_version", "other_version");
    for (policy, framework) in [
        (POLICY, "package framework\nx := "),
        ("package", FRAMEWORK),
        // Nothing of another package is asked, and no default of the platform's is taken for its answer.
        ("package other\napi_version := \"0.10.0\"", FRAMEWORK),
        (&unversioned, FRAMEWORK),
        (POLICY, "package other\nversion := \"0.5.0\""),
        (POLICY, "package framework"),
        (
            POLICY,
            &format!(
                "{FRAMEWORK}\nx := \"#[\\\"\" # ]\ny := {}1",
                "[(".repeat(40)
            ),
        ),
    ] {
        let error = Framework::new(policy, framework).unwrap_err();
        assert_eq!(sidecar_http::Coded::code(&error), "CR-SIM-0008", "{error}");
    }
}
