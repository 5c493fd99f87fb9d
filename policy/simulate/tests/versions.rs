//! What a policy's versions mean, and what a process of a running container is judged by.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use policy_simulate::{Decision, Document, Question, Simulator};
use serde_json::{Value, json};

const LAYER: &str = "abababababababababababababababababababababababababababababababab";
const POINTS: [&str; 6] = [
    "mount_device",
    "mount_overlay",
    "create_container",
    "exec_in_container",
    "exec_external",
    "load_fragment",
];

/// A policy of one container that leaves its capabilities to the platform, or names them.
fn policy(versions: &str, capabilities: &Value) -> String {
    let container = json!({
        "name": "one", "command": ["/one"], "layers": [LAYER], "mounts": [], "env_rules": [],
        "allow_elevated": true, "allow_stdio_access": false, "working_dir": "/", "signals": [],
        "exec_processes": [{"command": ["/probe"], "signals": []}], "capabilities": capabilities,
        "no_new_privileges": false, "seccomp_profile_sha256": "",
        "user": {"umask": "0022", "user_idname": {"pattern": "", "strategy": "any"},
                 "group_idnames": [{"pattern": "", "strategy": "any"}]},
    });
    let external = json!([{"command": ["/x"], "env_rules": [], "working_dir": "/", "allow_stdio_access": true}]);
    let import =
        json!([{"issuer": "i", "feed": "f", "includes": ["containers"], "minimum_svn": "1"}]);
    let mut text = format!(
        "package policy\napi_version := \"0.11.0\"\n{versions}\ncontainers := [{container}]\n\
         external_processes := {external}\nfragments := {import}\nallow_capability_dropping := true\n\
         reason := {{\"errors\": data.framework.errors}}\n"
    );
    for point in POINTS {
        text.push_str(&format!("{point} := data.framework.{point}\n"));
    }
    text
}

fn ask(simulator: &mut Simulator, point: &str, input: Value) -> Decision {
    let question = Question {
        point: point.to_owned(),
        input,
        fragment: None,
    };
    simulator.ask(&question).unwrap()
}

fn mount(simulator: &mut Simulator) -> bool {
    let device = json!({"target": "/m0", "deviceHash": LAYER, "mountPathRegex": "/m[0-9]"});
    assert!(ask(simulator, "mount_device", device).allowed);
    let overlay = json!({"containerID": "c", "layerPaths": ["/m0"], "target": "/o"});
    ask(simulator, "mount_overlay", overlay).allowed
}

fn process(command: &str, capabilities: &[&str], inheritable: &[&str]) -> Value {
    json!({
        "containerID": "c", "argList": [command], "envList": [], "workingDir": "/", "noNewPrivileges": false,
        "user": {"id": "0", "name": ""}, "groups": [], "umask": "0022",
        "capabilities": {"ambient": [], "bounding": capabilities, "effective": capabilities,
                         "inheritable": inheritable, "permitted": capabilities},
        "sandboxDir": "/s", "hugePagesDir": "/h", "mounts": [], "devices": [], "privileged": !inheritable.is_empty(),
        "seccompProfileSHA256": "", "isSandboxContainer": false,
    })
}

#[test]
fn a_framework_that_is_missing_or_too_new_has_no_candidates() {
    let external = json!({"argList": ["/x"], "envList": [], "workingDir": "/"});
    let load = json!({"issuer": "i", "feed": "f"});
    let starts = |versions: &str| {
        let document = Document::policy(&policy(versions, &Value::Null)).unwrap();
        let mut simulator = Simulator::new(document);
        let mut load = Question {
            point: "load_fragment".to_owned(),
            input: load.clone(),
            fragment: None,
        };
        load.fragment = Some(
            "package more\nsvn := \"1\"\nframework_version := \"0.2.3\"\ncontainers := []"
                .to_owned(),
        );
        let loaded = simulator.ask(&load).unwrap().allowed;
        let outside = ask(&mut simulator, "exec_external", external.clone()).allowed;
        [mount(&mut simulator), outside, loaded]
    };
    for versions in [
        "framework_version := \"0.2.3\"",
        "framework_svn := \"0.4.1\"",
        "framework_version := \"0.5.0\"",
    ] {
        assert_eq!(starts(versions), [true; 3], "{versions}");
    }
    for versions in [
        "",
        "framework_version := \"0.5.1\"",
        "framework_version := \"1.0.0\"",
    ] {
        assert_eq!(starts(versions), [false; 3], "{versions}");
    }
}

#[test]
fn a_fragment_without_a_known_framework_is_not_loaded() {
    let document =
        Document::policy(&policy("framework_version := \"0.2.3\"", &Value::Null)).unwrap();
    for (version, expected) in [
        ("", false),
        ("framework_version := \"0.5.1\"", false),
        ("framework_version := \"0.5.0\"", true),
    ] {
        let question = Question {
            point: "load_fragment".to_owned(),
            input: json!({"issuer": "i", "feed": "f"}),
            fragment: Some(format!(
                "package more\nsvn := \"1\"\n{version}\ncontainers := []"
            )),
        };
        let decision = Simulator::new(document.clone()).ask(&question).unwrap();
        assert_eq!(decision.allowed, expected, "{version}");
        assert!(expected || decision.findings[0].rule == "framework_version");
    }
}

#[test]
fn a_version_under_two_names_is_refused() {
    for versions in [
        "framework_version := \"0.2.3\"\nframework_svn := \"0.5.1\"",
        "framework_version := \"0.2.3\"\napi_svn := \"0.1.0\"",
    ] {
        let refused = Document::policy(&policy(versions, &Value::Null)).unwrap_err();
        assert_eq!(sidecar_http::Coded::code(&refused), "CR-SIM-0004");
    }
}

/// A set of capabilities that the real enforcer was asked for.
fn capabilities(kind: &str, count: usize) -> Vec<String> {
    let decisions: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/cce/policy-sim.json")).unwrap();
    let cases = decisions["cases"].as_array().unwrap().iter();
    let mut requests = cases.flat_map(|case| case["commands"].as_array().unwrap());
    let set = requests.find_map(|request| {
        let set = request["input"]["capabilities"][kind].as_array();
        set.filter(|set| set.len() == count)
    });
    serde_json::from_value(set.unwrap().clone().into()).unwrap()
}

#[test]
fn capabilities_are_dropped_since_framework_0_2_2() {
    // What a container has that names none.
    let mut more = capabilities("effective", 14);
    more.push("CAP_SYS_ADMIN".to_owned());
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    for (version, expected) in [("0.2.2", true), ("0.2.1", false)] {
        let text = policy(&format!("framework_version := \"{version}\""), &Value::Null);
        let mut simulator = Simulator::new(Document::policy(&text).unwrap());
        assert!(mount(&mut simulator));
        let decision = ask(
            &mut simulator,
            "create_container",
            process("/one", &more, &[]),
        );
        assert_eq!(decision.allowed, expected, "{version}");
    }
}

#[test]
fn a_process_in_a_privileged_container_is_judged_as_privileged() {
    let all = capabilities("inheritable", 41);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let text = policy("framework_version := \"0.2.3\"", &Value::Null);
    let mut simulator = Simulator::new(Document::policy(&text).unwrap());
    assert!(mount(&mut simulator));
    let decision = ask(
        &mut simulator,
        "create_container",
        process("/one", &all, &all),
    );
    assert!(decision.allowed, "{decision:?}");
    let decision = ask(
        &mut simulator,
        "exec_in_container",
        process("/probe", &all, &all),
    );
    assert!(decision.allowed, "{decision:?}");
    assert_eq!(decision.caps_list.unwrap().inheritable.len(), all.len());
}
