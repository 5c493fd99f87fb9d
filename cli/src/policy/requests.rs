//! What the platform asks when it starts a group.

use policy::{ContainerGroup, Layers};
use policy_simulate::Question;
use policy_simulate::platform::{Planned, questions};

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
            env: container
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
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
