//! The policy of a pod on an AKS virtual node: its text as the platform's own tool writes it, and what it answers when a
//! virtual node starts the pod.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{group, layers};
use policy::ContainerGroup;
use policy::emit::cce::{
    Capabilities, CceOptions, Container, EnvRule, ExecProcess, Identity, Platform, Policy,
    PolicyText, Profile, User, cce, cluster_variables, fragment_of_the_platform, open_variables,
    pause, pod_mounts,
};
use policy::emit::{Resources, TemplateOptions, pod};
use policy_simulate::lint::{Severity, lint};
use policy_simulate::platform::{Planned, questions};
use policy_simulate::{Document, Question, Simulator};
use serde_json::{Value, json};

const REGISTRY: &str = "litware.azurecr.io/cleanroom";
const PRIVILEGED: &str =
    include_str!("../../tests/vectors/cce/virtual-node/privileged_container.rego");
const LIFECYCLE: &str =
    include_str!("../../tests/vectors/cce/virtual-node/init_and_lifecycle.rego");
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// --- The published texts ---------------------------------------------------------------------------------------------------

/// All capabilities that the kernel knows, as the tool lists them for a privileged container.
const ALL: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
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
const DEFAULT: [&str; 14] = [
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

fn published(name: &str, command: &[&str], probes: &[[&str; 2]], privileged: bool) -> Container {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let mut capabilities = Capabilities::of(if privileged { ALL.as_slice() } else { &DEFAULT });
    if privileged {
        capabilities.inheritable = capabilities.permitted.clone();
    }
    let mut env_rules = vec![
        EnvRule::optional("PATH", PATH),
        EnvRule::optional("TERM", "xterm"),
    ];
    env_rules.extend(open_variables().iter().map(|one| one.rule()));
    env_rules.extend(cluster_variables().iter().map(|one| one.rule()));
    Container {
        allow_elevated: privileged,
        allow_stdio_access: true,
        capabilities,
        command: Some(words(command)),
        env_rules,
        exec_processes: probes
            .iter()
            .map(|probe| ExecProcess { command: words(probe), signals: Vec::new() })
            .collect(),
        id: Some(
            "mcr.microsoft.com/azurelinux/distroless/base@sha256:1e77d97e1e39f22ed9c52f49b3508b4c1044cec23743df9098ac44e025f654f2"
                .to_owned(),
        ),
        layers: vec!["243e1b3ce08093f2f0d9cd6a9eafde8737f64fec105ed59c346d309fbe760b58".to_owned()],
        mounts: pod_mounts(privileged),
        name: name.to_owned(),
        no_new_privileges: false,
        seccomp_profile_sha256: String::new(),
        signals: Vec::new(),
        user: User::of(Identity::any(), None),
        working_dir: "/".to_owned(),
    }
}

fn written(profile: Profile, mut containers: Vec<Container>, signals: &[u32]) -> String {
    containers.push(pause(true));
    for container in &mut containers {
        container.signals = signals.to_vec();
    }
    let policy = Policy {
        profile,
        origin: None,
        fragments: vec![fragment_of_the_platform()],
        containers,
        debug: false,
    };
    policy.text(true).unwrap().as_str().to_owned()
}

#[test]
fn the_published_policies_of_pods_are_written_byte_for_byte() {
    let app = published("app", &[], &[], true);
    assert_eq!(PRIVILEGED.len(), 12487);
    assert_eq!(written(Profile::V1, vec![app], &[]), PRIVILEGED.trim_end());

    let probes = [
        ["cat", "/tmp/healthy"],
        ["cat", "/tmp/ready"],
        ["cat", "/tmp/started"],
        ["echo", "started"],
        ["echo", "stopping"],
    ];
    let app = published("app", &["/bin/sh", "-c", "sleep 3600"], &probes, false);
    let init = published("init-setup", &["/bin/sh", "-c", "echo init"], &[], false);
    assert_eq!(LIFECYCLE.len(), 15015);
    let text = written(Profile::V2, vec![app, init], &[9, 15]);
    assert_eq!(text, LIFECYCLE.trim_end());
}

// --- The room as a pod -----------------------------------------------------------------------------------------------------

fn policy_for(
    group: &ContainerGroup,
    platform: Platform,
    platform_environment: bool,
) -> PolicyText {
    let options = CceOptions {
        platform,
        platform_environment,
        registry: Some(REGISTRY.to_owned()),
        ..CceOptions::default()
    };
    cce(group, &layers(), &options).unwrap()
}

fn made(group: &ContainerGroup) -> Value {
    let options = TemplateOptions {
        registry: REGISTRY.to_owned(),
        version: "0.1.0".to_owned(),
        application: Resources {
            cpu: 0.5,
            memory_gb: 4.0,
        },
    };
    pod(
        group,
        &policy_for(group, Platform::VirtualNode, false),
        &options,
    )
    .unwrap()
}

fn carried(pod: &Value) -> String {
    let policy =
        &pod["metadata"]["annotations"]["microsoft.containerinstance.virtualnode.ccepolicy"];
    String::from_utf8(BASE64_STANDARD.decode(policy.as_str().unwrap()).unwrap()).unwrap()
}

/// A text as Kubernetes reads it: of two `$` one is left, and a variable in brackets is replaced.
fn expanded(text: &str) -> String {
    let mut read = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        read.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.chars().next() {
            Some('$') => {
                read.push('$');
                rest = &rest[1..];
            }
            Some('(') if rest.contains(')') => {
                read.push_str("<replaced>");
                rest = &rest[rest.find(')').unwrap() + 1..];
            }
            _ => read.push('$'),
        }
    }
    read + rest
}

fn planned(pod: &Value) -> Vec<Planned> {
    let layers = layers();
    let spec = &pod["spec"];
    let of = |member: &str| spec[member].as_array().unwrap().clone();
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| expanded(item.as_str().unwrap())).collect()
    };
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let all = [of("initContainers"), of("containers")].concat();
    all.iter()
        .map(|one| {
            let security = &one["securityContext"];
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
            let (name, digest) = one["image"].as_str().unwrap().split_once('@').unwrap();
            assert!(name.starts_with(REGISTRY), "{name}");
            let env = one["env"].as_array().unwrap().iter();
            let mounts = one["volumeMounts"].as_array().unwrap().iter();
            Planned {
                name: one["name"].as_str().unwrap().to_owned(),
                layers: layers[digest].clone(),
                command: texts(&one["command"]),
                env: env
                    .map(|one| {
                        let value = expanded(one["value"].as_str().unwrap());
                        format!("{}={value}", one["name"].as_str().unwrap())
                    })
                    .collect(),
                volumes: mounts
                    .map(|mount| {
                        assert_eq!(mount.get("mountPropagation"), None);
                        let text = |name: &str| mount[name].as_str().unwrap().to_owned();
                        (text("name"), text("mountPath"), mount["readOnly"] == true)
                    })
                    .collect(),
                user: number(&security["runAsUser"]),
                group: number(&security["runAsGroup"]),
                privileged: security["privileged"] == true,
                no_new_privileges: security["allowPrivilegeEscalation"] == false,
                capabilities: texts(&security["capabilities"]["add"]),
                working_dir: one["workingDir"].as_str().unwrap().to_owned(),
                probes: match &one["readinessProbe"]["exec"]["command"] {
                    Value::Null => Vec::new(),
                    command => vec![texts(command)],
                },
            }
        })
        .collect()
}

/// The questions of a virtual node: those of a container group, with its own mounts and the cluster's variables.
fn as_a_virtual_node_asks(containers: &[Planned]) -> Vec<Question> {
    let mut all = questions(containers);
    for question in &mut all {
        if question.input["isSandboxContainer"] == true {
            continue;
        }
        if let Some(env) = question
            .input
            .get_mut("envList")
            .and_then(Value::as_array_mut)
        {
            env.extend(
                [
                    "KUBERNETES_SERVICE_HOST=10.0.0.1",
                    "KUBERNETES_PORT_443_TCP_PROTO=tcp",
                ]
                .map(Value::from),
            );
        }
        let folder = question.input["sandboxDir"].as_str().map(str::to_owned);
        let privileged = question.input["privileged"] == true;
        let mounts = question
            .input
            .get_mut("mounts")
            .and_then(Value::as_array_mut);
        let (Some(folder), Some(mounts)) = (folder, mounts) else {
            continue;
        };
        mounts.retain(|mount| mount["destination"] != "/etc/resolv.conf");
        let mut own = vec![
            ("/etc/resolv.conf", "rw"),
            ("/var/run/secrets/kubernetes.io/serviceaccount", "ro"),
            ("/etc/hosts", "rw"),
            ("/dev/termination-log", "rw"),
            ("/etc/hostname", "rw"),
        ];
        if privileged {
            own.extend([("/sys/fs/cgroup", "rw"), ("/sys", "rw")]);
        }
        mounts.extend(
            own.iter()
                .enumerate()
                .map(|(index, (destination, access))| {
                    json!({
                        "destination": destination,
                        "type": "bind",
                        "source": format!("{folder}/tmp/atlas/emptydir/{index}"),
                        "options": ["rbind", "rshared", access],
                    })
                }),
        );
    }
    all
}

fn first_refusal(policy: &str, questions: &[Question]) -> Option<String> {
    let mut simulator = Simulator::new(Document::policy(policy).unwrap());
    questions.iter().find_map(|question| {
        let decision = simulator.ask(question).unwrap();
        (!decision.allowed).then(|| format!("{}: {:?}", question.point, decision.errors))
    })
}

#[test]
fn a_virtual_node_starts_the_pod_under_the_policy_that_it_carries_and_under_no_other() {
    let group = group(false);
    let pod = made(&group);
    let containers = planned(&pod);
    assert_eq!(containers.len(), group.all().count());
    let asked = as_a_virtual_node_asks(&containers);
    assert_eq!(first_refusal(&carried(&pod), &asked), None);

    // The policy of the container group does not know a virtual node's mounts, nor does this one those of a group.
    let of_group = policy_for(&group, Platform::ContainerGroup, false);
    let refusal = first_refusal(of_group.as_str(), &asked).unwrap();
    assert!(refusal.contains("invalid mount list"), "{refusal}");
    let refusal = first_refusal(&carried(&pod), &questions(&containers)).unwrap();
    assert!(
        refusal.contains("invalid mount list: /etc/resolv.conf"),
        "{refusal}"
    );
}

#[test]
fn every_container_of_a_pod_that_differs_from_the_policy_is_refused() {
    type Change = fn(&mut Planned);
    let pod = made(&group(false));
    let policy = carried(&pod);
    let changes: [(&str, Change); 6] = [
        ("invalid command", |one| {
            one.command.push("--more".to_owned())
        }),
        ("missing required environment variable", |one| {
            one.env.clear()
        }),
        ("invalid mount list", |one| {
            one.volumes[0].1 = "/etc".to_owned()
        }),
        ("invalid user", |one| one.user = 4242),
        ("capabilities don't match", |one| {
            one.privileged = false;
            one.capabilities.clear();
        }),
        ("deviceHash not found", |one| {
            one.layers[1] = "ff".repeat(32)
        }),
    ];
    for (expected, change) in changes {
        let mut twisted = planned(&pod);
        let mut shims = twisted.iter_mut();
        change(shims.find(|one| one.name.ends_with("-blobfuse")).unwrap());
        let refusal = first_refusal(&policy, &as_a_virtual_node_asks(&twisted)).unwrap();
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
}

#[test]
fn no_variable_of_the_cluster_reaches_a_container_unless_it_is_asked_for() {
    let group = group(false);
    let asked = as_a_virtual_node_asks(&planned(&made(&group)));
    for (open, expected) in [(false, 0), (true, group.all().count())] {
        let policy = policy_for(&group, Platform::VirtualNode, open);
        let mut simulator = Simulator::new(Document::policy(policy.as_str()).unwrap());
        let mut with = 0;
        for question in &asked {
            let decision = simulator.ask(question).unwrap();
            assert!(decision.allowed, "{decision:?}");
            let kept = decision.env_list.unwrap_or_default();
            let of_cluster = kept.iter().any(|one| one.starts_with("KUBERNETES_"));
            with += usize::from(of_cluster && question.point == "create_container");
        }
        assert_eq!(with, expected);
    }
}

#[test]
fn a_voter_finds_nothing_to_refuse_in_it() {
    let policy = policy_for(&group(false), Platform::VirtualNode, false);
    let found = lint(&Document::policy(policy.as_str()).unwrap());
    let errors: Vec<_> = found
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn whatever_kubernetes_would_replace_stays_a_text() {
    let mut group = group(false);
    let odd = "$(PATH) $$(PATH) $ $$ a$".to_owned();
    group.containers[0].command.push(odd.clone());
    group.containers[0]
        .env
        .insert("ODD".to_owned(), odd.clone());
    group.containers[0]
        .probe
        .as_mut()
        .unwrap()
        .command
        .push(odd.clone());
    let pod = made(&group);
    let asked = &pod["spec"]["containers"][0];
    let doubled = "$$(PATH) $$$$(PATH) $$ $$$$ a$$";
    assert_eq!(
        asked["command"].as_array().unwrap().last().unwrap(),
        doubled
    );
    let probe = &asked["readinessProbe"]["exec"]["command"];
    assert_eq!(probe.as_array().unwrap().last().unwrap(), doubled);
    let read = planned(&pod);
    let read = read
        .iter()
        .find(|one| one.name == group.containers[0].name)
        .unwrap();
    assert_eq!(read.command.last(), Some(&odd));
    assert_eq!(
        first_refusal(&carried(&pod), &as_a_virtual_node_asks(&planned(&pod))),
        None
    );
}
