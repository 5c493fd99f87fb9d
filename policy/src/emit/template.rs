//! What the deployment templates of Azure have in common.

use cleanroom_spec::Specification;

use crate::{
    Container, ContainerGroup, PolicyError,
    emit::cce::{Platform, PolicyText},
};

/// Processors and memory that one container asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resources {
    /// Processors.
    pub cpu: f64,
    /// Memory in GB.
    pub memory_gb: f64,
}

/// What a template says beside the group. None of it is measured.
#[derive(Clone, Debug)]
pub struct TemplateOptions {
    /// Registry, with a path if need be, that the images are pulled from by digest: `example.azurecr.io/cleanroom`.
    pub registry: String,
    /// Version of the images, for people; becomes a tag.
    pub version: String,
    /// What the application asks for: the launcher's container runs it.
    pub application: Resources,
}

/// Without an application: a quarter of a processor holds for every sidecar at its peak.
const SIDECAR: Resources = Resources {
    cpu: 0.2,
    memory_gb: 0.2,
};
/// A mount keeps its memory budget of 256 MiB, and HTTP and TLS on top.
const MOUNT: Resources = Resources {
    cpu: 0.2,
    memory_gb: 0.5,
};
/// Names of containers in a group and in a pod: a DNS label (RFC 1123).
const LONGEST_NAME: usize = 63;

impl TemplateOptions {
    /// Those of a contract: what its applications ask for together.
    pub fn of(spec: &Specification, registry: Option<&str>, version: &str) -> Self {
        let mut application = Resources {
            cpu: 0.0,
            memory_gb: 0.0,
        };
        for one in &spec.applications {
            let asked = &one.runtime_settings.resource.requests;
            application.cpu += asked.cpu;
            application.memory_gb += asked.memory_in_gb;
        }
        Self {
            registry: registry.unwrap_or_default().to_owned(),
            version: version.to_owned(),
            application,
        }
    }

    /// What a container asks for.
    pub(super) fn resources(&self, container: &Container) -> Resources {
        match container.image.name.as_str() {
            "code-launcher" => Resources {
                cpu: rounded(self.application.cpu + MOUNT.cpu),
                memory_gb: rounded(self.application.memory_gb + MOUNT.memory_gb),
            },
            "blobfuse-shim" => MOUNT,
            _ => SIDECAR,
        }
    }
}

/// Hundredths are the platform's unit.
fn rounded(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

/// Whether a template can be made of a group and the policy belongs to it.
pub(super) fn check(
    group: &ContainerGroup,
    (policy, platform): (&PolicyText, Platform),
    options: &TemplateOptions,
) -> Result<(), PolicyError> {
    let refuse = |reason: String| Err(PolicyError::Template { reason });
    if group.insecure_virtual {
        return refuse(
            "the group is virtual: its evidence is made up, so it would protect nothing".to_owned(),
        );
    }
    policy.host_data()?;
    if policy.platform() != platform {
        return refuse(
            "the policy is one of another platform, whose mounts and variables are others"
                .to_owned(),
        );
    }
    let registry = options.registry.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':');
    if registry.is_empty() || !registry.chars().all(plain) || registry.ends_with('/') {
        return refuse(format!(
            "{registry:?} is no registry; expected <host>[:<port>][/<path>]"
        ));
    }
    for container in group.all() {
        if !is_label(&container.name) {
            return refuse(format!(
                "container {:?}: expected at most {LONGEST_NAME} of a-z, 0-9 and '-', with no '-' at an end; rename the dataset or application",
                container.name
            ));
        }
    }
    Ok(())
}

fn is_label(name: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= LONGEST_NAME
        && end(name.chars().next())
        && end(name.chars().next_back())
        && name.chars().all(|c| end(Some(c)) || c == '-')
}
