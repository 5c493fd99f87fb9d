//! What the platform asks when it starts a group, and what a yes must leave of it.

use policy::{Container, ContainerGroup, Layers};
use policy_simulate::platform::{Planned, container_id, questions};
use policy_simulate::{Decision, Question};

use crate::CliError;

/// The questions of a group's start, init containers first.
pub(super) fn of_group(
    group: &ContainerGroup,
    layers: &impl Layers,
) -> Result<Vec<Question>, CliError> {
    let containers = group.all().map(|container| {
        Ok(Planned {
            name: container.name.clone(),
            layers: layers.root_hashes(&container.image)?,
            command: container.command.clone(),
            env: variables(container).collect(),
            volumes: container
                .mounts
                .iter()
                .map(|mount| (mount.volume.clone(), mount.path.clone(), mount.read_only))
                .collect(),
            user: container.user,
            group: container.group,
            privileged: container.elevated(),
            no_new_privileges: !container.elevated(),
            capabilities: container.capabilities.iter().cloned().collect(),
            working_dir: container.working_dir.clone(),
            probes: container
                .probe
                .iter()
                .map(|probe| probe.command.clone())
                .collect(),
        })
    });
    let containers = containers.collect::<Result<Vec<_>, CliError>>()?;
    Ok(questions(&containers))
}

/// What the group names and a yes takes away, variables by name: the process would start without it.
pub(super) fn dropped(
    group: &ContainerGroup,
    question: &Question,
    decision: &Decision,
) -> Vec<String> {
    let id = question.input.get("containerID").and_then(|id| id.as_str());
    let Some(container) = group
        .all()
        .find(|one| Some(container_id(&one.name).as_str()) == id)
    else {
        return Vec::new();
    };
    let mut dropped = Vec::new();
    if let Some(kept) = &decision.env_list {
        let gone = variables(container).filter(|variable| !kept.contains(variable));
        dropped.extend(gone.filter_map(|variable| {
            let (name, _) = variable.split_once('=')?;
            Some(name.to_owned())
        }));
    }
    if let Some(kept) = &decision.caps_list {
        let named = container
            .capabilities
            .iter()
            .map(|name| format!("CAP_{name}"));
        dropped.extend(named.filter(|name| !kept.effective.contains(name)));
    }
    dropped
}

fn variables(container: &Container) -> impl Iterator<Item = String> {
    let pairs = container.env.iter();
    pairs.map(|(name, value)| format!("{name}={value}"))
}
