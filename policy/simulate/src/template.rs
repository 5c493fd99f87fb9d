//! Azure's deployment template, read as the platform reads it: what it will ask the policy when it starts the group.

use serde::Deserialize;
use serde_json::Value;

use crate::SimulateError;
use crate::candidate::UNPRIVILEGED;
use crate::platform::Planned;

/// The type of the resource, in any case.
const CONTAINER_GROUP: &str = "microsoft.containerinstance/containergroups";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    init_containers: Vec<Container>,
    containers: Vec<Container>,
    confidential_compute_properties: Confidential,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Confidential {
    cce_policy: String,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    properties: ContainerProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProperties {
    image: String,
    command: Vec<String>,
    #[serde(default)]
    environment_variables: Vec<Variable>,
    #[serde(default)]
    volume_mounts: Vec<VolumeMount>,
    security_context: SecurityContext,
    readiness_probe: Option<Probe>,
    liveness_probe: Option<Probe>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeMount {
    name: String,
    mount_path: String,
    #[serde(default)]
    read_only: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecurityContext {
    #[serde(default)]
    privileged: bool,
    #[serde(default = "yes")]
    allow_privilege_escalation: bool,
    run_as_user: u32,
    run_as_group: u32,
    #[serde(default)]
    capabilities: Capabilities,
}

const fn yes() -> bool {
    true
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Capabilities {
    add: Vec<String>,
    drop: Vec<String>,
}

#[derive(Deserialize)]
struct Probe {
    exec: Command,
}

#[derive(Deserialize)]
struct Command {
    command: Vec<String>,
}

/// A template's one container group.
#[derive(Clone, Debug)]
pub struct Template {
    /// The policy as base64.
    pub policy: String,
    /// What is started, init containers first; with the reference of each image.
    pub containers: Vec<(String, Planned)>,
}

impl Template {
    /// Reads a template. Layers are left empty: a template does not know them.
    ///
    /// # Errors
    /// [`SimulateError::Template`]: there is not exactly one container group, or a container of it says less than its policy
    /// must pin.
    pub fn read(template: &Value) -> Result<Self, SimulateError> {
        let refused = |reason: String| SimulateError::Template { reason };
        let resources = template.get("resources").and_then(Value::as_array);
        let kind = |resource: &Value| {
            let kind = resource.get("type").and_then(Value::as_str);
            kind.is_some_and(|kind| kind.eq_ignore_ascii_case(CONTAINER_GROUP))
        };
        let groups: Vec<&Value> = resources
            .into_iter()
            .flatten()
            .filter(|one| kind(one))
            .collect();
        let [group] = groups.as_slice() else {
            return Err(refused(format!(
                "{} container groups; expected one",
                groups.len()
            )));
        };
        let properties = group.get("properties").cloned().unwrap_or_default();
        let properties: Properties =
            serde_json::from_value(properties).map_err(|error| refused(error.to_string()))?;
        let containers = properties
            .init_containers
            .into_iter()
            .chain(properties.containers);
        Ok(Self {
            policy: properties.confidential_compute_properties.cce_policy,
            containers: containers.map(planned).collect(),
        })
    }
}

fn planned(container: Container) -> (String, Planned) {
    let Container { name, properties } = container;
    let context = properties.security_context;
    let bare = |name: &str| name.trim_start_matches("CAP_").to_owned();
    let dropped: Vec<String> = context
        .capabilities
        .drop
        .iter()
        .map(|name| bare(name))
        .collect();
    let added = context.capabilities.add.iter().map(|name| bare(name));
    let capabilities = UNPRIVILEGED
        .iter()
        .map(|name| (*name).to_owned())
        .filter(|name| !dropped.contains(name) && !dropped.iter().any(|one| one == "ALL"))
        .chain(added);
    let probes = properties
        .readiness_probe
        .into_iter()
        .chain(properties.liveness_probe);
    let planned = Planned {
        name,
        layers: Vec::new(),
        command: properties
            .command
            .iter()
            .map(|part| literal(part))
            .collect(),
        env: properties
            .environment_variables
            .iter()
            .map(|variable| format!("{}={}", variable.name, literal(&variable.value)))
            .collect(),
        volumes: properties
            .volume_mounts
            .into_iter()
            .map(|mount| (mount.name, mount.mount_path, mount.read_only))
            .collect(),
        user: context.run_as_user,
        group: context.run_as_group,
        privileged: context.privileged,
        no_new_privileges: !context.allow_privilege_escalation,
        capabilities: capabilities.collect(),
        // A template cannot say another; the images name none.
        working_dir: "/".to_owned(),
        probes: probes
            .map(|probe| {
                probe
                    .exec
                    .command
                    .iter()
                    .map(|part| literal(part))
                    .collect()
            })
            .collect(),
    };
    (properties.image, planned)
}

/// `[[x]` is the text `[x]`.
fn literal(text: &str) -> String {
    match text.strip_prefix('[') {
        Some(rest) if rest.starts_with('[') && rest.ends_with(']') => rest.to_owned(),
        _ => text.to_owned(),
    }
}
