//! A container that Docker has made and not started, read as what the platform would be asked to create.
//!
//! Everything comes from Docker's own account of the container, nothing from the group that the policy was made from.
//! `docs/architecture.md` says what has another name or place on the platform.

use std::collections::BTreeMap;
use std::path::Path;

use policy::ImageManifest;
use policy_simulate::platform::Planned;
use serde::Deserialize;

use crate::policy::layers::RootHashes;

/// Where Compose notes the service of a container.
const SERVICE: &str = "com.docker.compose.service";
/// Tells a container where its security context is; on the platform it is added when the policy has been asked.
const CONTEXT_VARIABLE: &str = "UVM_SECURITY_CONTEXT_DIR";

/// What `docker inspect` tells of a container, as far as it decides what runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    id: String,
    /// Digest of the image's configuration.
    image: String,
    path: String,
    args: Vec<String>,
    config: Config,
    host_config: HostConfig,
    mounts: Vec<Mount>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    env: Option<Vec<String>>,
    user: String,
    working_dir: String,
    healthcheck: Option<Healthcheck>,
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Healthcheck {
    test: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    privileged: bool,
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    security_opt: Option<Vec<String>>,
    devices: Option<Vec<Device>>,
    device_requests: Option<Vec<serde_json::Value>>,
    device_cgroup_rules: Option<Vec<String>>,
    group_add: Option<Vec<String>>,
    tmpfs: Option<BTreeMap<String, String>>,
    network_mode: String,
    pid_mode: String,
    ipc_mode: String,
    #[serde(rename = "UTSMode")]
    uts_mode: String,
    userns_mode: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Device {
    path_on_host: String,
    path_in_container: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    #[serde(rename = "Type")]
    kind: String,
    source: String,
    destination: String,
    #[serde(rename = "RW")]
    writable: bool,
}

/// What `docker image inspect` tells of an image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImageOf {
    id: String,
    #[serde(rename = "RootFS")]
    root_fs: RootFs,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    /// `diff_id`s, bottom first.
    layers: Option<Vec<String>>,
}

/// Where the harness put what the platform brings itself.
#[derive(Debug)]
pub(super) struct Places<'p> {
    /// Folder of the volumes on this machine.
    pub(super) volumes: &'p Path,
    /// The security context on this machine.
    pub(super) context: &'p Path,
    /// The same inside a container.
    pub(super) context_target: &'p str,
    /// The container that owns the group's network.
    pub(super) network: &'p str,
}

/// Root hashes of layers.
#[derive(Debug)]
pub(super) struct KnownLayers<'k> {
    pub(super) images: &'k ImageManifest,
    /// By the image's digest, for images whose layers the manifest does not list.
    pub(super) hashed: &'k RootHashes,
}

impl Created {
    pub(super) fn service(&self) -> &str {
        self.config.labels.get(SERVICE).map_or("", String::as_str)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn image(&self) -> &str {
        &self.image
    }

    /// What the platform would be asked to start.
    ///
    /// # Errors
    /// What Docker would do has no counterpart on the platform, in words.
    pub(super) fn planned(
        &self,
        image: &ImageOf,
        layers: &KnownLayers<'_>,
        places: &Places<'_>,
    ) -> Result<Planned, String> {
        self.shares_the_network_alone(places)?;
        let (user, group) = self.user()?;
        let host = &self.host_config;
        Ok(Planned {
            name: self.service().to_owned(),
            layers: layers.of(image)?,
            command: [std::slice::from_ref(&self.path), &self.args].concat(),
            env: self.variables(places),
            volumes: self.volumes(places)?,
            user,
            group,
            // Only a privileged container gets a device of the utility VM.
            privileged: host.privileged || !list(&host.devices).is_empty(),
            no_new_privileges: list(&host.security_opt).iter().any(|option| {
                matches!(
                    option.as_str(),
                    "no-new-privileges" | "no-new-privileges:true"
                )
            }),
            capabilities: self.capabilities()?,
            working_dir: match self.config.working_dir.as_str() {
                "" => "/".to_owned(),
                folder => folder.to_owned(),
            },
            probes: self.probes()?,
        })
    }

    /// The variables that the container is given, as `NAME=VALUE`, without the one that the platform adds by itself.
    pub(super) fn variables(&self, places: &Places<'_>) -> Vec<String> {
        let own = format!("{CONTEXT_VARIABLE}={}", places.context_target);
        let variables = list(&self.config.env).iter();
        variables.filter(|one| **one != own).cloned().collect()
    }

    /// Capabilities without `CAP_`.
    ///
    /// # Errors
    /// It keeps Docker's own set.
    pub(super) fn capabilities(&self) -> Result<Vec<String>, String> {
        let drop = list(&self.host_config.cap_drop);
        if !drop.iter().any(|name| name == "ALL") {
            return Err("it keeps the capabilities that Docker gives by itself".to_owned());
        }
        let mut names: Vec<String> = list(&self.host_config.cap_add)
            .iter()
            .map(|name| name.strip_prefix("CAP_").unwrap_or(name).to_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    /// The container that only holds the network, in the place of the platform's own pause container.
    ///
    /// # Errors
    /// It is more than that.
    pub(super) fn only_holds_the_network(&self, pause: Option<&str>) -> Result<(), String> {
        let host = &self.host_config;
        if pause != Some(self.image.as_str()) {
            return Err(format!(
                "{} is not the image that holds the network",
                self.image
            ));
        }
        let bare = self.mounts.is_empty()
            && list(&host.devices).is_empty()
            && host.tmpfs.as_ref().is_none_or(BTreeMap::is_empty)
            && !host.privileged
            && self.capabilities()?.is_empty();
        if !bare {
            return Err("it has a mount, a device or a privilege, and needs none".to_owned());
        }
        self.has_no_namespace_of_another()
    }

    fn user(&self) -> Result<(u32, u32), String> {
        if !list(&self.host_config.group_add).is_empty() {
            return Err("it is in further groups".to_owned());
        }
        let text = &self.config.user;
        let numbers = text
            .split_once(':')
            .and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
        numbers.ok_or_else(|| format!("user {text:?} is not <uid>:<gid>"))
    }

    fn volumes(&self, places: &Places<'_>) -> Result<Vec<(String, String, bool)>, String> {
        if self
            .host_config
            .tmpfs
            .as_ref()
            .is_some_and(|one| !one.is_empty())
        {
            return Err("it has a file system in memory, which no template names".to_owned());
        }
        let mut volumes = Vec::new();
        for mount in &self.mounts {
            let source = Path::new(&mount.source);
            if mount.kind == "bind"
                && source == places.context
                && mount.destination == places.context_target
                && !mount.writable
            {
                continue;
            }
            let name = source.strip_prefix(places.volumes).ok();
            let name = name
                .and_then(Path::to_str)
                .filter(|name| mount.kind == "bind" && !name.is_empty() && !name.contains('/'));
            let Some(name) = name else {
                let Mount {
                    kind,
                    source,
                    destination,
                    ..
                } = mount;
                return Err(format!(
                    "{kind} {source} at {destination} is no volume of the group"
                ));
            };
            volumes.push((name.to_owned(), mount.destination.clone(), !mount.writable));
        }
        Ok(volumes)
    }

    fn probes(&self) -> Result<Vec<Vec<String>>, String> {
        let test = self.config.healthcheck.as_ref();
        let test = test.map(|check| list(&check.test)).unwrap_or_default();
        match test.split_first() {
            None => Ok(Vec::new()),
            Some((kind, [])) if kind == "NONE" => Ok(Vec::new()),
            Some((kind, command)) if kind == "CMD" => Ok(vec![command.to_vec()]),
            Some((kind, _)) => Err(format!("its probe is a {kind}, not a command")),
        }
    }

    fn shares_the_network_alone(&self, places: &Places<'_>) -> Result<(), String> {
        let mode = &self.host_config.network_mode;
        if *mode != format!("container:{}", places.network) {
            return Err(format!("network {mode:?} is not the group's"));
        }
        self.has_no_namespace_of_another()
    }

    fn has_no_namespace_of_another(&self) -> Result<(), String> {
        let host = &self.host_config;
        for (what, mode) in [
            ("network", &host.network_mode),
            ("processes", &host.pid_mode),
            ("IPC", &host.ipc_mode),
            ("host name", &host.uts_mode),
            ("users", &host.userns_mode),
        ] {
            let of_another =
                mode == "host" || (what != "network" && mode.starts_with("container:"));
            if of_another {
                return Err(format!("it sees the {what} of {mode:?}"));
            }
        }
        let same = |device: &&Device| device.path_on_host == device.path_in_container;
        if !list(&host.devices).iter().all(|device| same(&device))
            || !list(&host.device_requests).is_empty()
            || !list(&host.device_cgroup_rules).is_empty()
        {
            return Err("it gets a device in a way that the platform has not".to_owned());
        }
        Ok(())
    }
}

impl ImageOf {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl KnownLayers<'_> {
    /// The root hashes of an image's layers, bottom first.
    fn of(&self, image: &ImageOf) -> Result<Vec<String>, String> {
        let layers = list(&image.root_fs.layers);
        let listed: Option<Vec<String>> = layers.iter().map(|layer| self.listed(layer)).collect();
        let by_configuration = || {
            let entries = self.images.entries().iter();
            let mut same = entries.filter(|entry| entry.config.as_ref() == Some(&image.id));
            let hashes = self.hashed.get(&same.next()?.digest)?;
            (hashes.len() == layers.len()).then(|| hashes.clone())
        };
        let hashes = listed.or_else(by_configuration);
        hashes.filter(|hashes| !hashes.is_empty()).ok_or_else(|| {
            format!(
                "nobody knows root hashes for the layers of image {}",
                image.id
            )
        })
    }

    fn listed(&self, diff_id: &str) -> Option<String> {
        let entries = self.images.entries().iter();
        let mut layers = entries.flat_map(|entry| &entry.layers);
        layers
            .find(|layer| layer.diff_id == diff_id)
            .map(|layer| layer.root_hash.clone())
    }
}

/// Docker writes `null` for an empty list.
fn list<T>(items: &Option<Vec<T>>) -> &[T] {
    items.as_deref().unwrap_or_default()
}
