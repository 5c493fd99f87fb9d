use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Document, Policy, PrivacyProxySettings};

/// The code that the parties agreed to run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Application {
    /// Unique name.
    pub name: String,
    /// The image.
    pub image: Image,
    /// Started by the room or by a caller.
    #[serde(default)]
    pub start_type: StartType,
    /// Program and arguments; empty for the image's own.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment.
    #[serde(default)]
    pub environment_variables: BTreeMap<String, String>,
    /// Access name to path inside the application, read-only.
    #[serde(default)]
    pub datasources: BTreeMap<String, String>,
    /// Access name to path inside the application, read-write.
    #[serde(default)]
    pub datasinks: BTreeMap<String, String>,
    /// Ports and resources.
    pub runtime_settings: RuntimeSettings,
}

/// Who starts an application.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum StartType {
    /// The room.
    Auto,
    /// A caller; in the job profile the room as well.
    #[default]
    Manual,
}

/// An image and what protects it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// The image itself; `backingResource.id` is its reference.
    pub executable: Document,
    /// Encryption of the image.
    #[serde(default)]
    pub protection: Option<PrivacyProxySettings>,
    /// What the runtime demands of it.
    pub enforcement_policy: EnforcementPolicy,
}

/// What the runtime demands of an image.
pub type EnforcementPolicy = Policy;

impl Application {
    /// The image reference.
    pub fn image_reference(&self) -> &str {
        &self.image.executable.backing_resource.id
    }
}

/// Ports and resources of an application.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeSettings {
    /// TCP ports it serves.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// What it needs.
    pub resource: ResourceSettings,
}

/// What an application needs.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceSettings {
    /// What it asks for.
    pub requests: Requests,
}

/// Processors and memory.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Processors.
    pub cpu: f64,
    /// Memory in GiB.
    #[serde(rename = "memoryInGB")]
    pub memory_in_gb: f64,
}
