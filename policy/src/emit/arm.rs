use serde_json::{Map, Value, json};

use super::cce::{DEFAULT_CAPABILITIES, Platform, PolicyText};
use super::template::{self, TemplateOptions};
use crate::{Container, ContainerGroup, PolicyError};

/// Of the container group resource.
const API_VERSION: &str = "2023-05-01";

/// `cleanroom-arm-template.json`: a confidential container group with its policy.
///
/// A room has no address: nothing of it listens to the outside. It is not restarted, since it runs its application once.
/// Only a container with a device is privileged, since the utility VM gives devices to no other; the policy takes all but the
/// named capabilities away from it.
///
/// # Errors
/// [`PolicyError::Template`]: the group is virtual, the policy is one of another platform, there is no registry, or a
/// container's name is none for the platform;
/// [`PolicyError::AllowAll`].
pub fn arm(
    group: &ContainerGroup,
    policy: &PolicyText,
    options: &TemplateOptions,
) -> Result<Value, PolicyError> {
    template::check(group, (policy, Platform::ContainerGroup), options)?;
    let containers = group.containers.iter().map(|one| {
        let mut properties = common(one, options);
        let resources = options.resources(one);
        properties.insert(
            "resources".to_owned(),
            json!({"requests": {"cpu": resources.cpu, "memoryInGB": resources.memory_gb}}),
        );
        if let Some(probe) = &one.probe {
            properties.insert(
                "readinessProbe".to_owned(),
                json!({
                    "exec": {"command": literals(&probe.command)},
                    "periodSeconds": probe.period_seconds,
                    "timeoutSeconds": probe.period_seconds,
                    "failureThreshold": probe.failure_threshold,
                }),
            );
        }
        json!({"name": one.name, "properties": properties})
    });
    let init = group
        .init_containers
        .iter()
        .map(|one| json!({"name": one.name, "properties": common(one, options)}));
    let volumes = group
        .volumes
        .iter()
        .map(|volume| json!({"name": volume.name, "emptyDir": {}}));
    Ok(json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "location": {"type": "string", "defaultValue": "[resourceGroup().location]"},
            "name": {"type": "string", "defaultValue": "[deployment().name]"},
        },
        "resources": [{
            "type": "Microsoft.ContainerInstance/containerGroups",
            "apiVersion": API_VERSION,
            "name": "[parameters('name')]",
            "location": "[parameters('location')]",
            "tags": {
                "accr-contract-id": literal(&group.contract_id),
                "accr-version": literal(&options.version),
            },
            "properties": {
                "sku": "Confidential",
                "osType": "Linux",
                "restartPolicy": "Never",
                "confidentialComputeProperties": {"ccePolicy": policy.base64()},
                "initContainers": init.collect::<Vec<_>>(),
                "containers": containers.collect::<Vec<_>>(),
                "volumes": volumes.collect::<Vec<_>>(),
            },
        }],
    }))
}

/// What init containers have, too.
fn common(container: &Container, options: &TemplateOptions) -> Map<String, Value> {
    let environment = container
        .env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": literal(value)}));
    let mounts = container.mounts.iter().map(
        |mount| json!({"name": mount.volume, "mountPath": mount.path, "readOnly": mount.read_only}),
    );
    let mut properties = Map::new();
    let image = container.image.reference(Some(&options.registry));
    for (name, value) in [
        ("image", image.into()),
        ("command", literals(&container.command).into()),
        ("environmentVariables", environment.collect()),
        ("volumeMounts", mounts.collect()),
        ("securityContext", security(container)),
    ] {
        properties.insert(name.to_owned(), value);
    }
    properties
}

fn security(container: &Container) -> Value {
    let named = |name: &str| format!("CAP_{name}");
    let wanted = &container.capabilities;
    let add = wanted
        .iter()
        .filter(|name| !DEFAULT_CAPABILITIES.contains(&name.as_str()));
    let drop = DEFAULT_CAPABILITIES
        .iter()
        .filter(|name| !wanted.contains(**name));
    json!({
        "privileged": container.elevated(),
        "allowPrivilegeEscalation": container.elevated(),
        "runAsUser": container.user,
        "runAsGroup": container.group,
        "capabilities": {
            "add": add.map(|name| named(name)).collect::<Vec<_>>(),
            "drop": drop.map(|name| named(name)).collect::<Vec<_>>(),
        },
    })
}

fn literals(parts: &[String]) -> Vec<String> {
    parts.iter().map(|part| literal(part)).collect()
}

/// A text in brackets is an expression of the template language; a second bracket makes it a text again.
fn literal(text: &str) -> String {
    if text.starts_with('[') && text.ends_with(']') {
        return format!("[{text}");
    }
    text.to_owned()
}
