//! The published texts, byte for byte. Their inputs are image configurations and templates, which this file turns into the
//! parts of a policy by the rules of the platform's own tool; the text itself is the product's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use policy::HostData;
use policy::emit::cce::{
    Capabilities, Container, EnvRule, ExecProcess, Fragment, Identity, Policy, Profile, Strategy,
    User, fragment_of_the_platform, open_variables, pause, resolv_conf, volume,
};
use serde_json::Value;

const TEXTS: &str = include_str!("../../tests/vectors/cce/policy-text.json");
const UNPRIVILEGED: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const MORE_WITH_PRIVILEGE: [&str; 27] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "IPC_OWNER",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "NET_ADMIN",
    "NET_BROADCAST",
    "PERFMON",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

fn text(value: &Value, otherwise: &str) -> String {
    value.as_str().unwrap_or(otherwise).to_owned()
}

fn rule(pattern: String, required: bool, strategy: Strategy) -> EnvRule {
    EnvRule {
        pattern,
        required,
        strategy,
    }
}

fn environment(template: &Value, image: &Value) -> Vec<EnvRule> {
    let mut rules: Vec<EnvRule> = Vec::new();
    for variable in template["environmentVariables"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let strategy = match variable["strategy"].as_str() {
            Some("re2") => Strategy::Re2,
            None => Strategy::String,
            Some(other) => panic!("strategy {other}"),
        };
        let pattern = format!(
            "{}={}",
            text(&variable["name"], ""),
            text(&variable["value"], "")
        );
        rules.push(rule(
            pattern,
            variable["required"].as_bool().unwrap_or(false),
            strategy,
        ));
    }
    for pattern in strings(&image["Env"]) {
        let name = pattern.split_once('=').unwrap().0.to_owned();
        if !rules
            .iter()
            .any(|rule| rule.pattern.starts_with(&format!("{name}=")))
        {
            rules.push(rule(pattern, false, Strategy::String));
        }
    }
    rules.push(EnvRule::optional("TERM", "xterm"));
    rules.extend(open_variables().iter().map(|variable| variable.rule()));
    rules
}

fn capabilities(context: &Value) -> Capabilities {
    let privileged = context["privileged"] == true;
    let mut names: Vec<String> = UNPRIVILEGED.iter().map(|name| (*name).to_owned()).collect();
    if privileged {
        names.extend(MORE_WITH_PRIVILEGE.iter().map(|name| (*name).to_owned()));
    }
    let bare = |name: &String| name.trim_start_matches("CAP_").to_owned();
    names.extend(strings(&context["capabilities"]["add"]).iter().map(bare));
    let dropped: Vec<String> = strings(&context["capabilities"]["drop"])
        .iter()
        .map(bare)
        .collect();
    names.retain(|name| !dropped.contains(name));
    names.sort();
    let mut sets = Capabilities::of(&names);
    if privileged {
        sets.inheritable = sets.permitted.clone();
    }
    sets
}

fn identity(part: &str) -> Identity {
    let digits = part.bytes().all(|b| b.is_ascii_digit());
    Identity {
        pattern: part.to_owned(),
        strategy: if digits { Strategy::Id } else { Strategy::Name },
    }
}

fn user(context: &Value, image: &Value) -> User {
    let id = |name: &str| context[name].as_u64().map(|id| u32::try_from(id).unwrap());
    let (uid, gid) = (id("runAsUser"), id("runAsGroup"));
    if uid.is_some() || gid.is_some() {
        return User::of(uid.map_or_else(Identity::any, Identity::id), gid);
    }
    let Some(declared) = image["User"].as_str() else {
        return User::of(Identity::any(), None);
    };
    let (user, group) = declared.split_once(':').unwrap_or((declared, ""));
    let mut both = User::of(identity(user), None);
    if !group.is_empty() {
        both.group_idnames = vec![identity(group)];
    }
    both
}

fn container(input: &Value, debug: bool) -> Container {
    let (image, template) = (&input["config"], &input["template"]);
    let context = &template["securityContext"];
    let command = match (image["Entrypoint"].is_array(), image["Cmd"].is_array()) {
        (false, false) => None,
        _ => Some([strings(&image["Entrypoint"]), strings(&image["Cmd"])].concat()),
    };
    let mounts = template["mounts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|mount| {
            let kind = match mount["mountType"].as_str().unwrap() {
                "emptyDir" => "emptydir",
                "secret" => "secretsVolume",
                "azureFile" => "azureFileVolume",
                other => panic!("volume {other}"),
            };
            volume(
                kind,
                mount["mountPath"].as_str().unwrap(),
                mount["readonly"] == true,
            )
        });
    let probes = template["execProbes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(strings);
    let shells = ["/bin/sh", "/bin/bash"].map(|shell| vec![shell.to_owned()]);
    let shells = shells.into_iter().filter(|_| debug);
    Container {
        allow_elevated: context["privileged"] == true,
        allow_stdio_access: template["stdio"] != false,
        capabilities: capabilities(context),
        command,
        env_rules: environment(template, image),
        exec_processes: probes
            .chain(shells)
            .map(|command| ExecProcess {
                command,
                signals: Vec::new(),
            })
            .collect(),
        id: Some(text(&input["image"], "")),
        layers: strings(&input["layers"]),
        mounts: mounts.chain([resolv_conf()]).collect(),
        name: text(&input["name"], ""),
        no_new_privileges: context["allowPrivilegeEscalation"] == false,
        seccomp_profile_sha256: String::new(),
        signals: match image["StopSignal"].as_str() {
            None => Vec::new(),
            Some("SIGTERM") => vec![15],
            Some(other) => panic!("signal {other}"),
        },
        user: user(context, image),
        working_dir: text(&image["WorkingDir"], "/"),
    }
}

fn policy(input: &Value) -> (Policy, bool) {
    let options = &input["options"];
    let debug = options["debug"] == true;
    let mut containers: Vec<Container> = input["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| container(one, debug))
        .collect();
    containers.push(pause(options["stdio"] != false));
    let fragments = match options["frags"].as_array() {
        None => vec![fragment_of_the_platform()],
        Some(fragments) => fragments
            .iter()
            .map(|one| Fragment {
                feed: text(&one["feed"], ""),
                includes: strings(&one["includes"]),
                issuer: text(&one["issuer"], ""),
                minimum_svn: text(&one["minimum_svn"], ""),
            })
            .collect(),
    };
    let profile = match options["api"].as_str() {
        None => Profile::V2,
        Some("0.10.0") => Profile::V1,
        Some(other) => panic!("api {other}"),
    };
    let policy = Policy {
        profile,
        origin: None,
        fragments,
        containers,
        debug,
    };
    (policy, options["pretty"] == true)
}

#[test]
fn every_published_text_is_written_byte_for_byte() {
    let document: Value = serde_json::from_str(TEXTS).unwrap();
    let cases = document["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 13);
    for case in cases {
        let (policy, pretty) = policy(&case["input"]);
        let written = policy.text(pretty).unwrap();
        let expected = case["text"].as_str().unwrap();
        for (ours, theirs) in written.as_str().lines().zip(expected.lines()) {
            assert_eq!(ours, theirs, "{}", case["id"]);
        }
        assert_eq!(written.as_str(), expected, "{}", case["id"]);
        let host_data = HostData::of(expected.as_bytes()).to_string();
        assert_eq!(
            host_data,
            case["host_data_hex"].as_str().unwrap(),
            "{}",
            case["id"]
        );
        assert_eq!(written.host_data().unwrap().to_string(), host_data);
        assert_eq!(
            written.base64().len() as u64,
            case["base64_length"].as_u64().unwrap()
        );
    }
}
