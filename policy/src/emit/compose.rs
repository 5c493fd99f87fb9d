use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::{Container, ContainerGroup, ImageManifest, PolicyError};

/// Name of the service that owns the group's network namespace.
pub const COMPOSE_GROUP: &str = "group";
/// Image of that service in the image manifest.
const PAUSE: &str = "pause";
/// Nobody's user, for a container that needs none.
const NOBODY: u32 = 65534;

/// What a machine adds to the group.
#[derive(Clone, Debug)]
pub struct ComposeHost {
    /// Directory of the volumes, one folder per volume; on a shared mount.
    pub volumes: PathBuf,
    /// The security context directory on this machine.
    pub security_context: PathBuf,
    /// The same inside every container; the platform chooses it, so it is not measured.
    pub security_context_target: String,
    /// An existing Docker network that the group joins; one of its own when absent.
    pub network: Option<String>,
}

/// The group as a document of the Compose Specification: a service per container, one more that owns the network namespace.
///
/// Nothing is `privileged`: a container has exactly the capabilities and devices of the model, a read-only root, and no new
/// privileges. Volumes are bind mounts, since Docker propagates no mount through a named volume.
///
/// # Errors
/// An image has no configuration digest in the manifest, or a volume is unknown.
pub fn compose(
    group: &ContainerGroup,
    images: &ImageManifest,
    host: &ComposeHost,
) -> Result<Value, PolicyError> {
    let mut services = Map::new();
    services.insert(
        COMPOSE_GROUP.to_owned(),
        json!({
            "image": configuration(images.image(PAUSE)?.config.as_deref(), PAUSE)?,
            "user": format!("{NOBODY}:{NOBODY}"),
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "read_only": true,
            "restart": "no",
            "networks": ["default"],
        }),
    );
    let mut before: Vec<&str> = Vec::new();
    for container in &group.init_containers {
        let service = service(group, container, images, host, &before)?;
        services.insert(container.name.clone(), service);
        before.push(&container.name);
    }
    for container in &group.containers {
        let service = service(group, container, images, host, &before)?;
        services.insert(container.name.clone(), service);
    }
    let mut document = Map::new();
    document.insert("services".to_owned(), services.into());
    let network = match &host.network {
        Some(name) => json!({"external": true, "name": literal(name)}),
        None => json!({}),
    };
    document.insert("networks".to_owned(), json!({"default": network}));
    Ok(document.into())
}

fn service(
    group: &ContainerGroup,
    container: &Container,
    images: &ImageManifest,
    host: &ComposeHost,
    after: &[&str],
) -> Result<Value, PolicyError> {
    let image = images.by_digest(&container.image.digest);
    let image = configuration(
        image.and_then(|image| image.config.as_deref()),
        &container.image.name,
    )?;
    let (program, arguments) = container.command.split_at(1.min(container.command.len()));
    let mut volumes = vec![bind(
        &host.security_context,
        &host.security_context_target,
        true,
        "rprivate",
    )];
    for mount in &container.mounts {
        let volume = group.volumes.iter().find(|v| v.name == mount.volume);
        let volume = volume.ok_or_else(|| PolicyError::Group {
            reason: format!("container {}: no volume {:?}", container.name, mount.volume),
        })?;
        // Whoever may mount there shows its mounts to the others; the others only look on.
        let propagation = match (volume.shared, mounts(container)) {
            (true, true) => "rshared",
            (true, false) => "rslave",
            (false, _) => "rprivate",
        };
        volumes.push(bind(
            &host.volumes.join(&mount.volume),
            &mount.path,
            mount.read_only,
            propagation,
        ));
    }
    let mut environment: Map<String, Value> = container
        .env
        .iter()
        .map(|(name, value)| (name.clone(), literal(value).into()))
        .collect();
    environment.insert(
        "UVM_SECURITY_CONTEXT_DIR".to_owned(),
        literal(&host.security_context_target).into(),
    );
    let mut security = vec!["no-new-privileges:true"];
    if mounts(container) {
        // Docker's own profiles forbid the mounts that SYS_ADMIN was granted for; the container's own filter remains.
        security.extend(["apparmor:unconfined", "seccomp:unconfined"]);
    }
    let mut service = json!({
        "image": image,
        "entrypoint": program.iter().map(|part| literal(part)).collect::<Vec<_>>(),
        "command": arguments.iter().map(|part| literal(part)).collect::<Vec<_>>(),
        "environment": environment,
        "user": format!("{}:{}", container.user, container.group),
        "working_dir": container.working_dir,
        "cap_drop": ["ALL"],
        "cap_add": container.capabilities,
        "security_opt": security,
        "read_only": true,
        "restart": "no",
        "network_mode": format!("service:{COMPOSE_GROUP}"),
        "volumes": volumes,
        "logging": {"driver": "json-file", "options": {"max-size": "16m", "max-file": "2"}},
    });
    let Some(members) = service.as_object_mut() else {
        return Ok(service);
    };
    if !container.devices.is_empty() {
        let devices = container.devices.iter().map(|d| format!("{d}:{d}"));
        members.insert("devices".to_owned(), devices.collect::<Vec<_>>().into());
    }
    if !after.is_empty() {
        let condition = json!({"condition": "service_completed_successfully"});
        let after: Map<String, Value> = after
            .iter()
            .map(|name| ((*name).to_owned(), condition.clone()))
            .collect();
        members.insert("depends_on".to_owned(), after.into());
    }
    if let Some(probe) = &container.probe {
        let mut test = vec!["CMD".to_owned()];
        test.extend(probe.command.iter().map(|part| literal(part)));
        members.insert(
            "healthcheck".to_owned(),
            json!({
                "test": test,
                "interval": format!("{}s", probe.period_seconds),
                "timeout": format!("{}s", probe.period_seconds),
                "retries": probe.failure_threshold,
            }),
        );
    }
    Ok(service)
}

/// Whether a container is there to mount.
fn mounts(container: &Container) -> bool {
    container.capabilities.contains("SYS_ADMIN")
}

fn configuration(config: Option<&str>, name: &str) -> Result<String, PolicyError> {
    config
        .map(ToOwned::to_owned)
        .ok_or_else(|| PolicyError::NoImage {
            name: name.to_owned(),
        })
}

fn bind(source: &Path, target: &str, read_only: bool, propagation: &str) -> Value {
    json!({
        "type": "bind",
        "source": literal(&source.display().to_string()),
        "target": target,
        "read_only": read_only,
        "bind": {"propagation": propagation},
    })
}

/// Compose replaces `$NAME` in every value; a literal `$` is written twice.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}
