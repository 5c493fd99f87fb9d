//! Docker's account of containers is made here from the hello-job group, then changed; what Docker really says is asked in
//! `tests/e2e/tests/compose/admission.rs`.

use cleanroom_spec::Specification;
use policy::emit::cce::{CceOptions, cce};
use policy::{Container, ContainerGroup, Deployment, ImageEntry, ImageLayer};
use serde_json::json;
use sidecar_http::Coded;

use super::*;

const HELLO: &str = include_str!("../../../../tests/vectors/spec/hello-job.yaml");
const NAMES: [&str; 9] = [
    "init",
    "skr-agent",
    "secrets",
    "identity",
    "governance",
    "otel-collector",
    "blobfuse-shim",
    "code-launcher",
    "pause",
];
const SHIM: &str = "fabrikam-input-blobfuse";

fn digest(kind: u32, index: usize) -> String {
    format!("sha256:{kind:032x}{index:032x}")
}

struct Stage {
    images: ImageManifest,
    hashed: RootHashes,
    policy: String,
    made: Vec<Value>,
    of: Vec<Value>,
}

fn stage() -> Stage {
    let entries = NAMES.iter().enumerate().map(|(index, name)| ImageEntry {
        name: (*name).to_owned(),
        digest: digest(1, index),
        config: Some(digest(2, index)),
        executable: None,
        executable_sha256: None,
        layers: vec![ImageLayer {
            diff_id: digest(3, index),
            root_hash: format!("{index:064x}"),
        }],
    });
    let images = ImageManifest::new(entries.collect());
    let deployment = Deployment {
        contract_id: "collab1".to_owned(),
        ccf_endpoint: "https://cgs.operator.example".to_owned(),
        service_cert_pem: "certificate".to_owned(),
        extra_roots_pem: None,
        insecure_virtual: false,
    };
    let spec = Specification::from_yaml(HELLO).unwrap();
    let group = policy::build(&spec, &deployment, &images).unwrap();
    let policy = cce(&group, &images, &CceOptions::default()).unwrap();
    let mut made = vec![holder()];
    made.extend(group.all().map(|one| docker_view(&group, &images, one)));
    let of = (0..NAMES.len())
        .map(|index| json!({"Id": digest(2, index), "RootFS": {"Layers": [digest(3, index)]}}));
    Stage {
        images,
        hashed: RootHashes::new(),
        policy: policy.as_str().to_owned(),
        made,
        of: of.collect(),
    }
}

fn holder() -> Value {
    let mut view = docker_frame("group", &digest(2, 8), &["/pause".to_owned()]);
    view["HostConfig"]["NetworkMode"] = json!("room");
    view
}

fn docker_frame(name: &str, image: &str, command: &[String]) -> Value {
    json!({
        "Id": format!("id-{name}"),
        "Image": image,
        "Path": command[0],
        "Args": command[1..],
        "Config": {
            "Env": null, "User": "65534:65534", "WorkingDir": "", "Labels": {"com.docker.compose.service": name},
        },
        "HostConfig": {
            "Privileged": false, "CapAdd": null, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges:true"],
            "Devices": null, "DeviceRequests": null, "DeviceCgroupRules": null, "GroupAdd": null, "Tmpfs": null,
            "NetworkMode": "container:id-group", "PidMode": "", "IpcMode": "private", "UTSMode": "", "UsernsMode": "",
        },
        "Mounts": [],
    })
}

fn docker_view(group: &ContainerGroup, images: &ImageManifest, one: &Container) -> Value {
    let image = images.by_digest(&one.image.digest).unwrap();
    let mut view = docker_frame(&one.name, image.config.as_ref().unwrap(), &one.command);
    let mut env: Vec<String> = one
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    env.push("UVM_SECURITY_CONTEXT_DIR=/run/context".to_owned());
    view["Config"]["Env"] = json!(env);
    view["Config"]["User"] = json!(format!("{}:{}", one.user, one.group));
    view["Config"]["WorkingDir"] = json!(one.working_dir);
    if let Some(probe) = &one.probe {
        let test: Vec<&str> = ["CMD"]
            .into_iter()
            .chain(probe.command.iter().map(String::as_str))
            .collect();
        view["Config"]["Healthcheck"] = json!({"Test": test});
    }
    let added: Vec<String> = one
        .capabilities
        .iter()
        .map(|name| format!("CAP_{name}"))
        .collect();
    view["HostConfig"]["CapAdd"] = json!(added);
    let devices: Vec<Value> = one
        .devices
        .iter()
        .map(|path| json!({"PathOnHost": path, "PathInContainer": path}))
        .collect();
    view["HostConfig"]["Devices"] = json!(devices);
    assert!(
        one.mounts
            .iter()
            .all(|mount| group.volumes.iter().any(|v| v.name == mount.volume))
    );
    let mut mounts: Vec<Value> = one
        .mounts
        .iter()
        .map(|mount| {
            bind(
                &format!("/group/volumes/{}", mount.volume),
                &mount.path,
                !mount.read_only,
            )
        })
        .collect();
    mounts.push(bind("/group/context", "/run/context", false));
    view["Mounts"] = json!(mounts);
    view
}

fn bind(source: &str, destination: &str, writable: bool) -> Value {
    json!({"Type": "bind", "Source": source, "Destination": destination, "RW": writable})
}

impl Stage {
    fn admit(&self) -> Result<usize, DeployError> {
        let read =
            |values: &[Value]| serde_json::from_value::<Vec<Created>>(json!(values)).unwrap();
        let made = read(&self.made);
        let of: Vec<ImageOf> = serde_json::from_value(json!(self.of)).unwrap();
        let basis = Basis {
            policy: &self.policy,
            images: &self.images,
            hashed: &self.hashed,
        };
        let places = Places {
            volumes: Path::new("/group/volumes"),
            context: Path::new("/group/context"),
            context_target: "/run/context",
            network: "id-group",
        };
        admit_network(&basis, &read(&self.made[..1]))?;
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("requests.json");
        let admitted = admit(&basis, &made, &of, &places, &record);
        if let Ok(creates) = &admitted {
            let asked: Vec<Question> =
                serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
            let of_creates = asked.iter().filter(|one| one.point == CREATE);
            assert_eq!(of_creates.count(), *creates);
        }
        admitted
    }

    fn of(&mut self, name: &str) -> &mut Value {
        let mut made = self.made.iter_mut();
        made.find(|one| one["Config"]["Labels"][SERVICE] == name)
            .unwrap()
    }
}

const SERVICE: &str = "com.docker.compose.service";

#[test]
fn what_the_group_says_is_allowed_container_by_container() {
    let stage = stage();
    assert_eq!(stage.admit().unwrap(), stage.made.len());
    // Whatever the order.
    let mut reversed = stage;
    reversed.made[1..].reverse();
    assert_eq!(reversed.admit().unwrap(), reversed.made.len());
}

#[test]
fn whatever_docker_would_start_otherwise_is_refused_with_the_reason() {
    type Change = (&'static str, fn(&mut Value), &'static str);
    let changes: [Change; 24] = [
        (
            SHIM,
            |one| one["Path"] = json!("/bin/sh"),
            "invalid command",
        ),
        (
            SHIM,
            |one| one["Args"][0] = json!("--other"),
            "invalid command",
        ),
        (
            SHIM,
            |one| one["Config"]["Env"][0] = json!("ACCESS_NAME=other"),
            "missing required environment variable",
        ),
        (
            SHIM,
            |one| one["Config"]["Env"][0] = json!("LD_PRELOAD=/x"),
            "missing required environment variable",
        ),
        (
            "secrets",
            |one| one["Config"]["Env"] = json!(["LD_PRELOAD=/x"]),
            "variable LD_PRELOAD is none of the policy's",
        ),
        (
            "secrets",
            |one| one["Config"]["Env"] = json!(["UVM_SECURITY_CONTEXT_DIR=/mnt/remote"]),
            "variable UVM_SECURITY_CONTEXT_DIR is none of the policy's",
        ),
        (
            "secrets",
            |one| one["Config"]["User"] = json!("0:0"),
            "invalid user",
        ),
        (
            "secrets",
            |one| one["Config"]["User"] = json!("root"),
            "is not <uid>:<gid>",
        ),
        (
            "secrets",
            |one| one["HostConfig"]["GroupAdd"] = json!(["0"]),
            "further groups",
        ),
        (
            "secrets",
            |one| one["Config"]["WorkingDir"] = json!("/tmp"),
            "invalid working directory",
        ),
        (
            "secrets",
            |one| one["HostConfig"]["Privileged"] = json!(true),
            "privileged escalation not allowed",
        ),
        (
            "secrets",
            |one| one["HostConfig"]["SecurityOpt"] = Value::Null,
            "invalid noNewPrivileges",
        ),
        (
            "secrets",
            |one| one["HostConfig"]["CapAdd"] = json!(["CAP_SYS_PTRACE"]),
            "capabilities SYS_PTRACE",
        ),
        (
            "secrets",
            |one| one["HostConfig"]["CapDrop"] = Value::Null,
            "that Docker gives by itself",
        ),
        (
            SHIM,
            |one| one["HostConfig"]["CapAdd"] = json!(["ALL"]),
            "capabilities ALL",
        ),
        (
            "secrets",
            |one| {
                one["HostConfig"]["Devices"] =
                    json!([{"PathOnHost": "/dev/mem", "PathInContainer": "/dev/mem"}])
            },
            "privileged escalation not allowed",
        ),
        (
            SHIM,
            |one| {
                one["HostConfig"]["Devices"] =
                    json!([{"PathOnHost": "/dev/mem", "PathInContainer": "/dev/fuse"}])
            },
            "gets a device in a way",
        ),
        (
            "secrets",
            |one| one["Mounts"] = json!([bind("/etc", "/mnt/etc", false)]),
            "/etc at /mnt/etc is no volume",
        ),
        (
            "secrets",
            |one| one["Mounts"] = json!([bind("/group/volumes/../context", "/x", true)]),
            "is no volume of the group",
        ),
        (
            "secrets",
            |one| one["Mounts"] = json!([bind("/group/volumes/remotemounts", "/mnt/remote", true)]),
            "invalid mount list: /mnt/remote",
        ),
        (
            "secrets",
            |one| one["Mounts"] = json!([bind("/group/context", "/run/context", true)]),
            "is no volume",
        ),
        (
            "secrets",
            |one| one["HostConfig"]["NetworkMode"] = json!("host"),
            "is not the group's",
        ),
        (
            "secrets",
            |one| one["HostConfig"]["PidMode"] = json!("host"),
            "sees the processes of \"host\"",
        ),
        (
            "secrets",
            |one| one["Config"]["Healthcheck"] = json!({"Test": ["CMD", "/bin/sh"]}),
            "exec_in_container: ",
        ),
    ];
    for (name, change, reason) in changes {
        let mut stage = stage();
        change(stage.of(name));
        let refused = stage.admit().unwrap_err();
        assert_eq!(refused.code(), "CR-CLI-0112", "{reason}");
        let text = refused.to_string();
        assert!(text.contains(reason), "{reason}: {text}");
        assert!(text.contains(&format!("container {name} ")), "{text}");
    }
}

#[test]
fn another_image_is_refused_by_its_layers_and_an_unknown_one_because_nobody_knows_them() {
    let mut other = stage();
    other.of("secrets")["Image"] = json!(digest(2, 4));
    let text = other.admit().unwrap_err().to_string();
    assert!(text.contains("invalid command"), "{text}");

    let mut tampered = stage();
    tampered.of[2]["RootFS"]["Layers"] = json!([digest(3, 2), digest(3, 1)]);
    let text = tampered.admit().unwrap_err().to_string();
    assert!(
        text.contains("no matching containers for overlay"),
        "{text}"
    );

    let mut unknown = stage();
    unknown.of[2]["RootFS"]["Layers"] = json!([digest(9, 9)]);
    let text = unknown.admit().unwrap_err().to_string();
    assert!(text.contains("nobody knows root hashes"), "{text}");
    // Hashed from a layout, by the image that has this configuration.
    unknown
        .hashed
        .insert(digest(1, 2), vec![format!("{:064x}", 2)]);
    assert!(unknown.admit().is_ok());
}

#[test]
fn the_container_that_holds_the_network_is_no_more_than_that() {
    let changes: [fn(&mut Value); 5] = [
        |one| one["Image"] = json!(digest(2, 4)),
        |one| one["Mounts"] = json!([bind("/etc", "/etc", false)]),
        |one| one["HostConfig"]["CapAdd"] = json!(["NET_ADMIN"]),
        |one| one["HostConfig"]["NetworkMode"] = json!("host"),
        |one| one["HostConfig"]["Privileged"] = json!(true),
    ];
    for change in changes {
        let mut stage = stage();
        change(stage.of("group"));
        assert_eq!(stage.admit().unwrap_err().code(), "CR-CLI-0112");
    }
}
