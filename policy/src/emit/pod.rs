use serde_json::{Map, Value, json};

use super::cce::{Platform, PolicyText};
use super::template::{self, TemplateOptions};
use crate::{Container, ContainerGroup, PolicyError};

/// Of the virtual node: the pod becomes a confidential container group with this policy.
const CCE_POLICY: &str = "microsoft.containerinstance.virtualnode.ccepolicy";

/// `cleanroom-pod.json`: a pod of an AKS virtual node with its policy, which must be one for virtual nodes.
///
/// A virtual node gives every volume `rshared` propagation, and no member of a pod asks for it: what a shim mounts appears in
/// the launcher as in a container group of Azure.
///
/// Every container ends by itself when the room ends, and a room runs its application once: none is restarted, and none is a
/// sidecar in Kubernetes' sense.
///
/// # Errors
/// As [`super::arm`].
pub fn pod(
    group: &ContainerGroup,
    policy: &PolicyText,
    options: &TemplateOptions,
) -> Result<Value, PolicyError> {
    template::check(group, (policy, Platform::VirtualNode), options)?;
    let all = |containers: &[Container], init: bool| -> Vec<Value> {
        containers
            .iter()
            .map(|one| container(one, options, init))
            .collect()
    };
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(&group.contract_id),
            "labels": {"app": "cleanroom"},
            "annotations": {
                CCE_POLICY: policy.base64(),
                // The group's own resolver: a cluster's could name any address for a vault.
                "microsoft.containerinstance.virtualnode.injectdns": "false",
                "accr-contract-id": group.contract_id,
                "accr-version": options.version,
            },
        },
        "spec": {
            "restartPolicy": "Never",
            // A room needs nothing of the cluster's API, and its token is a secret in every container.
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "nodeSelector": {"virtualization": "virtualnode2"},
            "tolerations": [{"key": "virtual-kubelet.io/provider", "operator": "Exists", "effect": "NoSchedule"}],
            "initContainers": all(&group.init_containers, true),
            "containers": all(&group.containers, false),
            "volumes": group.volumes.iter().map(|volume| json!({"name": volume.name, "emptyDir": {}})).collect::<Vec<_>>(),
        },
    }))
}

fn container(container: &Container, options: &TemplateOptions, init: bool) -> Value {
    let environment = container
        .env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": literal(value)}));
    let mounts = container.mounts.iter().map(
        |mount| json!({"name": mount.volume, "mountPath": mount.path, "readOnly": mount.read_only}),
    );
    let mut members = Map::new();
    for (name, value) in [
        ("name", container.name.as_str().into()),
        (
            "image",
            container.image.reference(Some(&options.registry)).into(),
        ),
        ("command", literals(&container.command).into()),
        ("env", environment.collect()),
        ("volumeMounts", mounts.collect()),
        ("workingDir", container.working_dir.as_str().into()),
        ("securityContext", security(container)),
    ] {
        members.insert(name.to_owned(), value);
    }
    if init {
        return members.into();
    }
    let resources = options.resources(container);
    members.insert(
        "resources".to_owned(),
        json!({"requests": {"cpu": resources.cpu.to_string(), "memory": format!("{}G", resources.memory_gb)}}),
    );
    if let Some(probe) = &container.probe {
        members.insert(
            "readinessProbe".to_owned(),
            json!({
                "exec": {"command": literals(&probe.command)},
                "periodSeconds": probe.period_seconds,
                "timeoutSeconds": probe.period_seconds,
                "failureThreshold": probe.failure_threshold,
            }),
        );
    }
    members.into()
}

fn security(container: &Container) -> Value {
    let mut context = json!({
        "privileged": container.elevated(),
        "runAsUser": container.user,
        "runAsGroup": container.group,
        "capabilities": {"drop": ["ALL"], "add": container.capabilities},
    });
    // A privileged container cannot say so.
    if let (false, Some(members)) = (container.elevated(), context.as_object_mut()) {
        members.insert("allowPrivilegeEscalation".to_owned(), false.into());
    }
    context
}

fn literals(parts: &[String]) -> Vec<String> {
    parts.iter().map(|part| literal(part)).collect()
}

/// Kubernetes replaces `$(NAME)`, in commands, variables and probes, and takes one `$` of two away wherever they stand: each
/// is written twice.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// A DNS label made of a contract's id.
fn name(contract: &str) -> String {
    let label: String = contract
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => c,
            _ => '-',
        })
        .take(50)
        .collect();
    format!("cleanroom-{}", label.trim_matches('-'))
        .trim_end_matches('-')
        .to_owned()
}
