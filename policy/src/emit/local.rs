use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Container, ContainerGroup, ImageManifest, PolicyError};

/// The group as processes of one machine that share a file system and nothing else.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LocalPlan {
    /// Run to their end, one after the other.
    pub init: Vec<LocalProcess>,
    /// Started together.
    pub containers: Vec<LocalProcess>,
    /// Volumes and their one place.
    pub volumes: Vec<LocalVolume>,
}

/// A container as a process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LocalProcess {
    /// Container name.
    pub name: String,
    /// The program on this machine; its SHA-256 was compared with the image's.
    pub executable: PathBuf,
    /// Arguments after the program.
    pub args: Vec<String>,
    /// Environment, all of it.
    pub env: BTreeMap<String, String>,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Capabilities, exactly these.
    pub capabilities: Vec<String>,
}

/// A volume as a directory.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LocalVolume {
    /// Name.
    pub name: String,
    /// Where every container sees it.
    pub path: String,
    /// Mounts propagate.
    pub shared: bool,
}

/// The group for this machine.
///
/// # Errors
/// An image has no executable here or another one, or a volume has two places.
pub fn local(group: &ContainerGroup, images: &ImageManifest) -> Result<LocalPlan, PolicyError> {
    let process = |container: &Container| -> Result<LocalProcess, PolicyError> {
        let image =
            images
                .by_digest(&container.image.digest)
                .ok_or_else(|| PolicyError::NoImage {
                    name: container.image.name.clone(),
                })?;
        Ok(LocalProcess {
            name: container.name.clone(),
            executable: image.verified_executable()?,
            args: container.command.iter().skip(1).cloned().collect(),
            env: container.env.clone(),
            uid: container.user,
            gid: container.group,
            capabilities: container.capabilities.iter().cloned().collect(),
        })
    };
    Ok(LocalPlan {
        init: group
            .init_containers
            .iter()
            .map(process)
            .collect::<Result<_, _>>()?,
        containers: group
            .containers
            .iter()
            .map(process)
            .collect::<Result<_, _>>()?,
        volumes: volumes(group)?,
    })
}

fn volumes(group: &ContainerGroup) -> Result<Vec<LocalVolume>, PolicyError> {
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    for mount in group.all().flat_map(|container| &container.mounts) {
        let first = places.entry(&mount.volume).or_insert(&mount.path);
        if *first != mount.path {
            return Err(PolicyError::TwoPlaces {
                volume: mount.volume.clone(),
                first: (*first).to_owned(),
                second: mount.path.clone(),
            });
        }
    }
    let with_place = group.volumes.iter().filter_map(|volume| {
        places.get(volume.name.as_str()).map(|path| LocalVolume {
            name: volume.name.clone(),
            path: (*path).to_owned(),
            shared: volume.shared,
        })
    });
    Ok(with_place.collect())
}
