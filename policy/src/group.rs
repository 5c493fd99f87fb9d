use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::PolicyError;

/// Policies that allow everything and are published with their private keys' evidence.
const ALLOW_ALL: [&str; 2] = [
    "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20",
    "7ec5120f0f497e22b18e59ed702ed82e2732562245c9a944f54cd41db4f491af",
];

/// Everything that a policy pins and the hardware measures: who runs, with which arguments, as which user, on which volumes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerGroup {
    /// The contract that the group serves.
    pub contract_id: String,
    /// Hex SHA-256 of the canonical JSON of the contract's specification: no member of it can change unmeasured, whether
    /// or not a container is told of it.
    pub specification_sha256: String,
    /// Run one after the other before all others.
    pub init_containers: Vec<Container>,
    /// Started together, in no order that anything relies on.
    pub containers: Vec<Container>,
    /// Volumes that the containers share.
    pub volumes: Vec<Volume>,
    /// No confidentiality: evidence is made up and trust roots are extra.
    pub insecure_virtual: bool,
}

/// One container.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Container {
    /// Unique name.
    pub name: String,
    /// The image.
    pub image: ImageReference,
    /// Program and arguments, all of them.
    pub command: Vec<String>,
    /// Environment, all of it.
    pub env: BTreeMap<String, String>,
    /// Volumes.
    pub mounts: Vec<Mount>,
    /// User id it starts as.
    pub user: u32,
    /// Group id it starts as.
    pub group: u32,
    /// Linux capabilities (`SYS_ADMIN`), exactly these.
    pub capabilities: BTreeSet<String>,
    /// Device nodes.
    pub devices: BTreeSet<String>,
    /// How to ask whether it is ready.
    pub probe: Option<ExecProbe>,
    /// Working directory.
    pub working_dir: String,
}

/// An image by digest.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageReference {
    /// Name in the image manifest.
    pub name: String,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
}

/// A volume at a place of a container.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// Name of the volume.
    pub volume: String,
    /// Where.
    pub path: String,
    /// Cannot be written there.
    pub read_only: bool,
}

/// A volume.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Mounts made inside it by one container appear in the others.
    pub shared: bool,
}

/// A process that asks the container whether it is ready; exit code 0 means yes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecProbe {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Seconds between two questions.
    pub period_seconds: u32,
    /// Questions until the container counts as failed.
    pub failure_threshold: u32,
}

/// SHA-256 of the policy bytes, as the report carries it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostData([u8; 32]);

impl HostData {
    /// The host data of policy bytes.
    pub fn of(policy: &[u8]) -> Self {
        Self(Sha256::digest(policy).into())
    }

    /// Itself, unless it is one that nobody may use.
    ///
    /// # Errors
    /// [`PolicyError::AllowAll`] for the two policies that allow everything.
    pub fn refuse_allow_all(self) -> Result<Self, PolicyError> {
        let text = self.to_string();
        if ALLOW_ALL.contains(&text.as_str()) {
            return Err(PolicyError::AllowAll(text));
        }
        Ok(self)
    }
}

impl fmt::Display for HostData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Container {
    /// Whether it must be privileged: a utility VM gives its devices to no other. Its capabilities stay those named here, since
    /// the policy takes away all others.
    pub fn elevated(&self) -> bool {
        !self.devices.is_empty()
    }
}

impl ImageReference {
    /// The reference by digest, as a deployment has it; `registry` may have a path.
    pub fn reference(&self, registry: Option<&str>) -> String {
        match registry {
            Some(registry) => format!("{registry}/{}@{}", self.name, self.digest),
            None => format!("{}@{}", self.name, self.digest),
        }
    }
}

impl ContainerGroup {
    /// Reads a group, for instance from an accepted deployment.
    ///
    /// # Errors
    /// [`PolicyError::Group`].
    pub fn from_json(value: Value) -> Result<Self, PolicyError> {
        serde_json::from_value(value).map_err(|error| PolicyError::Group {
            reason: error.to_string(),
        })
    }

    /// The group as a JSON value.
    ///
    /// # Errors
    /// None in practice: every member is serialisable.
    pub fn to_json(&self) -> Result<Value, PolicyError> {
        serde_json::to_value(self).map_err(|error| PolicyError::Group {
            reason: error.to_string(),
        })
    }

    /// Every container, init containers first.
    pub fn all(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }
}
