use super::model::{
    Capabilities, Container, EnvRule, ExecProcess, Identity, Origin, Platform, Policy, Profile,
    User,
};
use super::platform::{
    DEFAULT_PATH, cluster_variables, fragment_of_the_platform, open_variables, pause, pod_mounts,
    resolv_conf, volume,
};
use super::text::{PolicyText, allow_all};
use crate::{ContainerGroup, Layers, PolicyError};

/// How Kubernetes asks a container to end. Every policy of this framework's version lets it do so; here it says so, too.
const SIGTERM: u32 = 15;

/// How the policy of a group is written.
#[derive(Clone, Debug, Default)]
pub struct CceOptions {
    /// Who asks it.
    pub platform: Platform,
    /// Which versions it claims.
    pub profile: Profile,
    /// One member per line.
    pub pretty: bool,
    /// Where the images are, such as `example.azurecr.io/room`.
    pub registry: Option<String>,
    /// Lets the platform's own variables in, whatever their values are.
    pub platform_environment: bool,
    /// Lets the host run a shell, read standard streams, stacks and logs.
    pub debug: bool,
    /// Allows everything; only in a virtual environment.
    pub allow_all: bool,
}

/// The policy of a group.
///
/// # Errors
/// The root hashes of an image are unknown, everything shall be allowed outside a virtual environment, or the result is one of
/// the two policies that nobody may use.
pub fn cce(
    group: &ContainerGroup,
    layers: &impl Layers,
    options: &CceOptions,
) -> Result<PolicyText, PolicyError> {
    let origin = Origin {
        contract_id: group.contract_id.clone(),
        specification_sha256: group.specification_sha256.clone(),
        insecure_virtual: group.insecure_virtual,
    };
    let text = if options.allow_all {
        if !group.insecure_virtual {
            return Err(PolicyError::AllowAllAsked);
        }
        allow_all(&origin)
    } else {
        policy(group, layers, options, origin)?.text(options.pretty)?
    };
    text.host_data()?;
    Ok(text.asked_by(options.platform))
}

fn policy(
    group: &ContainerGroup,
    layers: &impl Layers,
    options: &CceOptions,
    origin: Origin,
) -> Result<Policy, PolicyError> {
    // The containers of a template come before its init containers, which the policy does not tell apart.
    let containers = group.containers.iter().chain(&group.init_containers);
    let mut containers = containers
        .map(|container| rule(container, layers, options))
        .collect::<Result<Vec<_>, _>>()?;
    containers.push(pause(options.debug));
    Ok(Policy {
        profile: options.profile,
        origin: Some(origin),
        fragments: vec![fragment_of_the_platform()],
        containers,
        debug: options.debug,
    })
}

fn rule(
    container: &crate::Container,
    layers: &impl Layers,
    options: &CceOptions,
) -> Result<Container, PolicyError> {
    let mut env_rules: Vec<EnvRule> = container
        .env
        .iter()
        .map(|(name, value)| EnvRule::exact(name, value))
        .collect();
    for (name, value) in [("PATH", DEFAULT_PATH), ("TERM", "xterm")] {
        if !container.env.contains_key(name) {
            env_rules.push(EnvRule::optional(name, value));
        }
    }
    if options.platform_environment {
        env_rules.extend(open_variables().iter().map(|variable| variable.rule()));
        if options.platform == Platform::VirtualNode {
            env_rules.extend(cluster_variables().iter().map(|variable| variable.rule()));
        }
    }
    let mut mounts: Vec<_> = container
        .mounts
        .iter()
        .map(|mount| volume("emptydir", &mount.path, mount.read_only))
        .collect();
    let signals = match options.platform {
        Platform::ContainerGroup => {
            mounts.push(resolv_conf());
            Vec::new()
        }
        Platform::VirtualNode => {
            mounts.extend(pod_mounts(container.elevated()));
            vec![SIGTERM]
        }
    };
    let mut exec_processes: Vec<ExecProcess> = container
        .probe
        .iter()
        .map(|probe| exec(probe.command.clone()))
        .collect();
    if options.debug {
        exec_processes.extend(["/bin/sh", "/bin/bash"].map(|shell| exec(vec![shell.to_owned()])));
    }
    Ok(Container {
        allow_elevated: container.elevated(),
        allow_stdio_access: options.debug,
        capabilities: Capabilities::of(&container.capabilities),
        command: Some(container.command.clone()),
        env_rules,
        exec_processes,
        id: Some(container.image.reference(options.registry.as_deref())),
        layers: layers.root_hashes(&container.image)?,
        mounts,
        name: container.name.clone(),
        // Kubernetes lets no privileged container promise it; ours do so themselves before they read a byte from outside.
        no_new_privileges: !container.elevated(),
        // Every process of ours installs its own filter before it reads a byte from outside; a profile of the platform would
        // have to let all of them through.
        seccomp_profile_sha256: String::new(),
        signals,
        user: User::of(Identity::id(container.user), Some(container.group)),
        working_dir: container.working_dir.clone(),
    })
}

const fn exec(command: Vec<String>) -> ExecProcess {
    ExecProcess {
        command,
        signals: Vec::new(),
    }
}
