//! What the platform asks a policy when it starts a container group, made from nothing but the group's description.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::candidate::{PRIVILEGED, UNPRIVILEGED};
use crate::document::{Container, EnvRule, Identity, UserRule};
use crate::input::Question;
use crate::mounts;

/// Root hash of the pause image.
const PAUSE_LAYER: &str = "16b514057a06ad665f92c02863aca074fd5976c755d26bff16365299169e8415";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables that the platform adds to those of the template.
const ADDED: [&str; 6] = [
    PATH,
    "HOSTNAME=SandboxHost-639000000000000000",
    "TERM=xterm",
    "Fabric_NodeName=node-7",
    "IDENTITY_API_VERSION=2020-05-01",
    "azurecontainerinstance_restarted_by=",
];

/// A container that is going to be started.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Name.
    pub name: String,
    /// Root hashes of its layers, bottom first.
    pub layers: Vec<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// `NAME=VALUE`, as the template has them.
    pub env: Vec<String>,
    /// Volumes: name, place, and whether they are read-only.
    pub volumes: Vec<(String, String, bool)>,
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
    /// Asks to be privileged; it then has all capabilities, whatever it names.
    pub privileged: bool,
    /// Can get no more privileges than it starts with.
    pub no_new_privileges: bool,
    /// Capabilities without `CAP_`, all others dropped.
    pub capabilities: Vec<String>,
    /// Working directory.
    pub working_dir: String,
    /// Commands of probes.
    pub probes: Vec<Vec<String>>,
}

/// The questions of one start, in order: the sandbox first, then container by container its layers, its file system, its first
/// process and its probes.
pub fn questions(containers: &[Planned]) -> Vec<Question> {
    let sandbox = container_id("pause");
    let mut start = Start {
        questions: Vec::new(),
        devices: Vec::new(),
        folder: format!("/run/gcs/c/{sandbox}"),
    };
    start.ask(
        "rw_mount_device",
        json!({
            "target": start.folder,
            "encrypted": true,
            "ensureFilesystem": true,
            "filesystem": "xfs",
            "mountPathRegex": "/run/gcs/c/[0-9a-fA-F]{64}",
        }),
    );
    start.file_system(&sandbox, &[PAUSE_LAYER.to_owned()]);
    start.pause(&sandbox);
    for container in containers {
        let id = container_id(&container.name);
        start.file_system(&id, &container.layers);
        start.create(&id, container);
    }
    start.ask("get_properties", json!({}));
    start.questions
}

/// Whether a container is the platform's own, member by member: it is the same in every policy.
pub(crate) fn is_pause(container: &Container) -> bool {
    let same = |names: &[String]| {
        names.len() == UNPRIVILEGED.len()
            && UNPRIVILEGED
                .iter()
                .all(|name| names.contains(&format!("CAP_{name}")))
    };
    let capabilities = container.capabilities.as_ref().is_some_and(|set| {
        same(&set.bounding)
            && same(&set.effective)
            && same(&set.permitted)
            && set.ambient.is_empty()
            && set.inheritable.is_empty()
    });
    let exact = |pattern: &str, required| EnvRule {
        pattern: pattern.to_owned(),
        required,
        strategy: "string".to_owned(),
    };
    let any = || Identity {
        pattern: String::new(),
        strategy: "any".to_owned(),
    };
    let pause = Container {
        name: Some("pause-container".to_owned()),
        id: None,
        allow_elevated: false,
        allow_stdio_access: false,
        capabilities: container.capabilities.clone(),
        command: Some(vec!["/pause".to_owned()]),
        env_rules: vec![exact(PATH, true), exact("TERM=xterm", false)],
        exec_processes: Vec::new(),
        layers: vec![PAUSE_LAYER.to_owned()],
        mounts: Vec::new(),
        no_new_privileges: Some(false),
        seccomp_profile_sha256: Some(String::new()),
        signals: Vec::new(),
        user: Some(UserRule {
            group_idnames: vec![any()],
            umask: "0022".to_owned(),
            user_idname: any(),
        }),
        working_dir: "/".to_owned(),
    };
    capabilities && *container == pause
}

struct Start {
    questions: Vec<Question>,
    /// Root hashes; the index is the number of the device.
    devices: Vec<String>,
    folder: String,
}

impl Start {
    fn ask(&mut self, point: &str, input: Value) {
        self.questions.push(Question {
            point: point.to_owned(),
            input,
            fragment: None,
        });
    }

    fn file_system(&mut self, id: &str, layers: &[String]) {
        let mut paths = Vec::new();
        for layer in layers {
            let known = self.devices.iter().position(|device| device == layer);
            let device = known.unwrap_or(self.devices.len());
            let target = format!("/run/mounts/scsi/m{device}");
            if known.is_none() {
                self.devices.push(layer.clone());
                self.ask(
                    "mount_device",
                    json!({
                        "target": target,
                        "deviceHash": layer,
                        "mountPathRegex": "/run/mounts/scsi/m[0-9]+",
                    }),
                );
            }
            paths.push(target);
        }
        paths.reverse();
        self.ask(
            "mount_overlay",
            json!({
                "containerID": id,
                "layerPaths": paths,
                "target": format!("/run/gcs/c/{id}/rootfs"),
            }),
        );
    }

    fn pause(&mut self, id: &str) {
        let input = json!({
            "containerID": id,
            "argList": ["/pause"],
            "envList": [PATH, "TERM=xterm"],
            "workingDir": "/",
            "sandboxDir": format!("{}/sandboxMounts", self.folder),
            "hugePagesDir": format!("{}/hugepages", self.folder),
            "mounts": [],
            "devices": [],
            "privileged": false,
            "noNewPrivileges": false,
            "user": {"id": "65535", "name": ""},
            "groups": [{"id": "65535", "name": ""}],
            "umask": "0022",
            "capabilities": capabilities(&UNPRIVILEGED, false),
            "seccompProfileSHA256": "",
            "isSandboxContainer": true,
        });
        self.ask("create_container", input);
    }

    fn create(&mut self, id: &str, container: &Planned) {
        let sandbox = format!("{}/sandboxMounts", self.folder);
        let bind = |destination: &str, source: String, access: &str| {
            json!({
                "destination": destination,
                "type": "bind",
                "source": source,
                "options": ["rbind", "rshared", access],
            })
        };
        let volumes = container.volumes.iter().map(|(name, place, read_only)| {
            let access = if *read_only { "ro" } else { "rw" };
            bind(
                place,
                format!("{sandbox}/tmp/atlas/emptydir/{name}"),
                access,
            )
        });
        let resolver = format!("{sandbox}/tmp/atlas/resolvconf/resolv.conf");
        let mounts: Vec<Value> = mounts::of_the_platform(container.privileged)
            .chain(volumes)
            .chain([bind("/etc/resolv.conf", resolver, "rw")])
            .collect();
        let process = process(id, container);
        let mut input = process.clone();
        if let Some(members) = input.as_object_mut() {
            members.extend([
                ("argList".to_owned(), json!(container.command)),
                ("sandboxDir".to_owned(), json!(sandbox)),
                (
                    "hugePagesDir".to_owned(),
                    json!(format!("{}/hugepages", self.folder)),
                ),
                ("mounts".to_owned(), json!(mounts)),
                ("devices".to_owned(), json!([])),
                ("privileged".to_owned(), json!(container.privileged)),
                ("seccompProfileSHA256".to_owned(), json!("")),
                ("isSandboxContainer".to_owned(), json!(false)),
            ]);
        }
        self.ask("create_container", input);
        for probe in &container.probes {
            let mut input = process.clone();
            if let Some(members) = input.as_object_mut() {
                members.insert("argList".to_owned(), json!(probe));
            }
            self.ask("exec_in_container", input);
        }
    }
}

/// What the first process and its probes have in common.
fn process(id: &str, container: &Planned) -> Value {
    let added = ADDED.iter().map(|variable| (*variable).to_owned());
    let env: Vec<String> = container.env.iter().cloned().chain(added).collect();
    let named: Vec<&str> = container.capabilities.iter().map(String::as_str).collect();
    let capabilities = if container.privileged {
        capabilities(&PRIVILEGED, true)
    } else {
        capabilities(&named, false)
    };
    json!({
        "containerID": id,
        "envList": env,
        "workingDir": container.working_dir,
        "noNewPrivileges": container.no_new_privileges,
        "user": {"id": container.user.to_string(), "name": ""},
        "groups": [{"id": container.group.to_string(), "name": ""}],
        "umask": "0022",
        "capabilities": capabilities,
    })
}

fn capabilities(names: &[&str], inheritable: bool) -> Value {
    let set: Vec<String> = names.iter().map(|name| format!("CAP_{name}")).collect();
    let none: Vec<String> = Vec::new();
    json!({
        "ambient": none,
        "bounding": set,
        "effective": set,
        "inheritable": if inheritable { &set } else { &none },
        "permitted": set,
    })
}

/// The id of a container in the questions: 64 hex digits, as the platform's are; a digest of the name.
pub fn container_id(name: &str) -> String {
    hex::encode(Sha256::digest(name))
}
