//! What each enforcement point is asked. Members that a point does not look at are ignored, as the platform does.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Capabilities, SimulateError};

/// One question to a policy.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The enforcement point.
    pub point: String,
    /// What it is asked.
    #[serde(default)]
    pub input: Value,
    /// The text of the fragment that is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MountDevice {
    pub(crate) target: String,
    pub(crate) device_hash: String,
    pub(crate) mount_path_regex: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RwMountDevice {
    pub(crate) target: String,
    pub(crate) encrypted: bool,
    pub(crate) ensure_filesystem: bool,
    pub(crate) filesystem: String,
    pub(crate) mount_path_regex: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unmount {
    pub(crate) unmount_target: String,
}

#[derive(Deserialize)]
pub(crate) struct Scratch {
    pub(crate) target: String,
    pub(crate) encrypted: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan9 {
    pub(crate) root_prefix: String,
    pub(crate) mount_path_prefix: String,
    pub(crate) target: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Overlay {
    #[serde(rename = "containerID")]
    pub(crate) container_id: String,
    /// Top first.
    pub(crate) layer_paths: Vec<String>,
    pub(crate) target: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Create {
    #[serde(flatten)]
    pub(crate) process: Process,
    pub(crate) sandbox_dir: String,
    pub(crate) huge_pages_dir: String,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) devices: Option<Vec<Value>>,
    pub(crate) privileged: bool,
    #[serde(rename = "seccompProfileSHA256")]
    pub(crate) seccomp: String,
    pub(crate) is_sandbox_container: bool,
}

/// A process that starts in a container.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    #[serde(rename = "containerID")]
    pub(crate) container_id: String,
    pub(crate) arg_list: Vec<String>,
    pub(crate) env_list: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) no_new_privileges: bool,
    #[serde(flatten)]
    pub(crate) person: Person,
    pub(crate) capabilities: Capabilities,
}

#[derive(Deserialize)]
pub(crate) struct Person {
    pub(crate) user: Named,
    pub(crate) groups: Vec<Named>,
    pub(crate) umask: String,
}

#[derive(Deserialize)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Deserialize)]
pub(crate) struct Mount {
    pub(crate) destination: String,
    pub(crate) options: Vec<String>,
    pub(crate) source: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct External {
    pub(crate) arg_list: Vec<String>,
    pub(crate) env_list: Vec<String>,
    pub(crate) working_dir: String,
}

#[derive(Deserialize)]
pub(crate) struct Shutdown {
    #[serde(rename = "containerID")]
    pub(crate) container_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Signal {
    #[serde(rename = "containerID")]
    pub(crate) container_id: String,
    pub(crate) signal: i64,
    pub(crate) is_init_process: bool,
    pub(crate) arg_list: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct LoadFragment {
    pub(crate) issuer: String,
    pub(crate) feed: String,
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options.join(",");
        write!(
            f,
            "{} {} {} [{options}]",
            self.kind, self.source, self.destination
        )
    }
}

impl Question {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, SimulateError> {
        T::deserialize(&self.input).map_err(|error| SimulateError::Input {
            point: self.point.clone(),
            reason: error.to_string(),
        })
    }
}
