//! What a voter is told about a policy that gives something away, and how it is explained.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use policy_simulate::lint::{Severity, lint};
use policy_simulate::{Document, Explained};
use serde_json::{Value, json};

const POINTS: [&str; 19] = [
    "mount_device",
    "rw_mount_device",
    "mount_overlay",
    "create_container",
    "unmount_device",
    "rw_unmount_device",
    "unmount_overlay",
    "exec_in_container",
    "exec_external",
    "shutdown_container",
    "signal_container_process",
    "plan9_mount",
    "plan9_unmount",
    "get_properties",
    "dump_stacks",
    "runtime_logging",
    "load_fragment",
    "scratch_mount",
    "scratch_unmount",
];

fn policy(api: &str, framework: &str, body: &str, without: &[&str]) -> Document {
    let mut text = format!(
        "package policy\napi_version := \"{api}\"\nframework_version := \"{framework}\"\n{body}\n\
         reason := {{\"errors\": data.framework.errors}}\n"
    );
    for point in POINTS.iter().filter(|point| !without.contains(point)) {
        text.push_str(&format!("{point} := data.framework.{point}\n"));
    }
    Document::policy(&text).unwrap()
}

/// The findings of an id: severity and place.
fn found(document: &Document, id: &str) -> Vec<(Severity, String)> {
    let found = lint(document).into_iter().filter(|one| one.id == id);
    found.map(|one| (one.severity, one.place)).collect()
}

fn pause() -> Value {
    let capabilities = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
    .map(|name| format!("CAP_{name}"));
    json!({
        "name": "pause-container", "command": ["/pause"], "mounts": [], "exec_processes": [], "signals": [],
        "layers": ["16b514057a06ad665f92c02863aca074fd5976c755d26bff16365299169e8415"], "working_dir": "/",
        "allow_elevated": false, "allow_stdio_access": false, "no_new_privileges": false, "seccomp_profile_sha256": "",
        "env_rules": [
            {"pattern": "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "strategy": "string", "required": true},
            {"pattern": "TERM=xterm", "strategy": "string", "required": false},
        ],
        "capabilities": {"ambient": [], "bounding": capabilities, "effective": capabilities, "inheritable": [], "permitted": capabilities},
        "user": {"umask": "0022", "user_idname": {"pattern": "", "strategy": "any"}, "group_idnames": [{"pattern": "", "strategy": "any"}]},
    })
}

#[test]
fn a_process_of_the_utility_vm_is_an_error_and_is_explained() {
    let processes = json!([{
        "command": ["/bin/sh", "-c", "x"], "working_dir": "/tmp", "allow_stdio_access": true,
        "env_rules": [{"pattern": "A=1", "strategy": "string", "required": true}, {"pattern": ".*", "strategy": "re2"}],
    }]);
    let document = policy(
        "0.11.0",
        "0.2.3",
        &format!("external_processes := {processes}"),
        &[],
    );
    let place = "external_processes[0]".to_owned();
    assert_eq!(
        found(&document, "external-process"),
        [(Severity::Error, place)]
    );
    assert_eq!(found(&document, "open-name").len(), 1);
    let text = Explained(&document).to_string();
    for line in [
        "process of the utility VM itself, outside every container\n  runs     /bin/sh -c x\n  in       /tmp\n",
        "  may      be read by the host\n  variable A=1 (exactly)\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn points_that_an_old_api_allows_are_named() {
    let silent = [
        "exec_in_container",
        "exec_external",
        "dump_stacks",
        "mount_overlay",
        "load_fragment",
        "rw_mount_device",
    ];
    let document = policy("0.1.0", "0.2.3", "", &silent);
    let named: Vec<_> = found(&document, "old-api");
    let expected = ["exec_in_container", "exec_external", "dump_stacks"];
    assert_eq!(
        named,
        expected.map(|name| (Severity::Error, name.to_owned()))
    );
    let text = Explained(&document).to_string();
    assert!(text.contains("dump_stacks always allowed"), "{text}");
    // The platform refuses a point that the claimed API has.
    let document = policy("0.11.0", "0.2.3", "", &silent);
    assert_eq!(found(&document, "old-api"), []);
    assert!(!Explained(&document).to_string().contains("always allowed"));
}

#[test]
fn a_framework_that_nobody_knows_is_an_error() {
    assert_eq!(
        found(&policy("0.11.0", "0.5.0", "", &[]), "new-framework"),
        []
    );
    assert_eq!(
        found(&policy("0.11.0", "0.5.1", "", &[]), "new-framework").len(),
        1
    );
}

#[test]
fn only_the_whole_pause_container_passes_for_it() {
    let wide = |container: &Value| {
        let document = policy(
            "0.11.0",
            "0.2.3",
            &format!("containers := [{container}]"),
            &[],
        );
        lint(&document)
            .into_iter()
            .filter(|one| one.severity > Severity::Note)
            .count()
    };
    assert_eq!(wide(&pause()), 0);
    for (member, value) in [
        ("allow_elevated", json!(true)),
        ("allow_stdio_access", json!(true)),
        ("layers", json!(["ab".repeat(32)])),
        ("name", json!("other")),
        ("command", json!(["/pause", "-x"])),
        ("working_dir", json!("/tmp")),
        ("no_new_privileges", json!(null)),
        (
            "exec_processes",
            json!([{"command": ["/evil"], "signals": []}]),
        ),
        ("signals", json!([10])),
        (
            "mounts",
            json!([{"destination": "/x", "options": [], "source": "sandbox:///tmp/atlas/x", "type": "bind"}]),
        ),
        ("capabilities", json!(null)),
    ] {
        let mut container = pause();
        container[member] = value;
        assert!(wide(&container) > 0, "{member}");
    }
    let mut container = pause();
    container["capabilities"]["effective"]
        .as_array_mut()
        .unwrap()
        .push("CAP_SYS_ADMIN".into());
    assert!(wide(&container) > 0);
    container = pause();
    container["env_rules"][1]["pattern"] = "LD_PRELOAD=/x".into();
    assert!(wide(&container) > 0);
}

#[test]
fn names_of_variables_are_plain_or_named() {
    let rule = |pattern: &str, strategy: &str| {
        let mut container = pause();
        container["env_rules"] =
            json!([{"pattern": pattern, "strategy": strategy, "required": true}]);
        let document = policy(
            "0.11.0",
            "0.2.3",
            &format!("containers := [{container}]"),
            &[],
        );
        let found = lint(&document).into_iter();
        let of_rule =
            found.filter(|one| one.place.contains(".env_rules") && one.severity > Severity::Note);
        of_rule.map(|one| one.id).collect::<Vec<_>>()
    };
    for plain in ["A=1", "_a_B9=", "A==1"] {
        assert_eq!(rule(plain, "string"), Vec::<&str>::new(), "{plain}");
    }
    for odd in ["A-B=1", "=1", "A", "A B=1", "é=1", "A.B=1", "A\n=1"] {
        assert_eq!(rule(odd, "string"), ["odd-name"], "{odd}");
    }
    assert_eq!(rule("A=[0-9]+", "re2"), Vec::<&str>::new());
    assert_eq!(rule("^A=[0-9]+$", "re2"), Vec::<&str>::new());
    assert_eq!(rule("^A=.*$", "re2"), ["open-variable"]);
    // The name ends at the first '=' that must be there.
    assert_eq!(rule("LD=[=_]X=1{2}", "re2"), Vec::<&str>::new());
    for open in [
        ".+=1",
        "LD_.*=/lib/x",
        "(A|B)=1",
        "A?=1",
        ".*",
        "A",
        "(?i)a=1",
        "LD_PRE=?.*",
        "LD_PRE=*[A-Z]+=x",
        "A={0}B=.*",
    ] {
        assert_eq!(rule(open, "re2"), ["open-name"], "{open}");
    }
    assert_eq!(rule("A=1\\$", "re2"), ["open-end"]);
    assert_eq!(rule("HOSTNAME=.+", "re2"), ["platform-variable"]);
}

#[test]
fn what_a_policy_says_cannot_forge_a_line() {
    let mut container = pause();
    let forged = "x\u{1b}[1A\n  runs     /good\u{202e}";
    for member in ["name", "id", "working_dir"] {
        container[member] = forged.into();
    }
    container["env_rules"][0]["pattern"] = forged.into();
    container["layers"][0] = forged.into();
    let import =
        json!([{"issuer": forged, "feed": forged, "includes": [forged], "minimum_svn": forged}]);
    let body = format!(
        "# {}\ncontainers := [{container}]\nfragments := {import}",
        forged.replace('\n', " ")
    );
    let document = policy("0.11.0", "0.2.3", &body, &[]);
    let mut text = Explained(&document).to_string();
    for finding in lint(&document) {
        text.push_str(&format!("{finding}\n"));
    }
    assert!(text.contains("x\\u{1b}[1A"), "{text}");
    assert!(!text.contains("\n  runs     /good"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
}
