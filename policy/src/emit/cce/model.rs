use std::fmt;

use serde::Serialize;

/// A policy in parts.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which versions the text claims.
    pub profile: Profile,
    /// The contract that it was made from, as a comment.
    pub origin: Option<Origin>,
    /// Whose further rules are accepted.
    pub fragments: Vec<Fragment>,
    /// What may run, the pause container included.
    pub containers: Vec<Container>,
    /// Stacks and runtime logs may be read.
    pub debug: bool,
}

/// The versions that a policy claims. The platform fills what is missing in an older one, and cannot evaluate a newer one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Profile {
    /// API 0.11.0: what the platform's own tool writes since its 2.x.
    #[default]
    V2,
    /// API 0.10.0: what it wrote before.
    V1,
}

/// Who asks the policy. It decides which mounts and variables beyond a template's a container is started with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Platform {
    /// A container group of Azure.
    #[default]
    ContainerGroup,
    /// A virtual node of AKS, which makes a container group of a pod.
    VirtualNode,
}

/// Where a policy comes from. A comment of the text: it is measured, and enforces nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The contract.
    pub contract_id: String,
    /// Hex SHA-256 of the contract's specification.
    pub specification_sha256: String,
    /// Made for a virtual environment, which keeps nothing confidential.
    pub insecure_virtual: bool,
}

/// A signed text with further rules, and who may have signed it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Fragment {
    /// What it is called.
    pub feed: String,
    /// Which of its rules count.
    pub includes: Vec<String>,
    /// `did:x509` of the signer.
    pub issuer: String,
    /// The least version, digits.
    pub minimum_svn: String,
}

/// One container that may run.
#[derive(Clone, Debug, Serialize)]
pub struct Container {
    /// May be privileged, which is the only way to the devices of the utility VM.
    pub allow_elevated: bool,
    /// The host may read its standard streams.
    pub allow_stdio_access: bool,
    /// Its capabilities, exactly.
    pub capabilities: Capabilities,
    /// Program and arguments, exactly; `null` where an image has neither.
    pub command: Option<Vec<String>>,
    /// Its environment.
    pub env_rules: Vec<EnvRule>,
    /// What may be run in it later.
    pub exec_processes: Vec<ExecProcess>,
    /// Image reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Root hashes of its layers, bottom first.
    pub layers: Vec<String>,
    /// Its mounts beyond the platform's own.
    pub mounts: Vec<Mount>,
    /// Name.
    pub name: String,
    /// Demands `no_new_privileges`.
    pub no_new_privileges: bool,
    /// Hex SHA-256 of its seccomp profile; empty for none.
    pub seccomp_profile_sha256: String,
    /// Signals that its first process may be sent, beside SIGKILL and SIGTERM.
    pub signals: Vec<u32>,
    /// User and groups.
    pub user: User,
    /// Working directory.
    pub working_dir: String,
}

/// The five sets of a process, names with `CAP_`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Capabilities {
    /// Ambient.
    pub ambient: Vec<String>,
    /// Bounding.
    pub bounding: Vec<String>,
    /// Effective.
    pub effective: Vec<String>,
    /// Inheritable.
    pub inheritable: Vec<String>,
    /// Permitted.
    pub permitted: Vec<String>,
}

/// A variable.
#[derive(Clone, Debug, Serialize)]
pub struct EnvRule {
    /// `NAME=VALUE`, or a pattern of it.
    pub pattern: String,
    /// The container does not start without it.
    pub required: bool,
    /// How the pattern is read.
    pub strategy: Strategy,
}

/// How a pattern is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Anything.
    Any,
    /// A number.
    Id,
    /// A name.
    Name,
    /// A regular expression of the whole.
    Re2,
    /// Byte for byte.
    String,
}

/// A process that may be run in a container.
#[derive(Clone, Debug, Serialize)]
pub struct ExecProcess {
    /// Program and arguments, exactly.
    pub command: Vec<String>,
    /// Signals that it may be sent.
    pub signals: Vec<u32>,
}

/// A mount.
#[derive(Clone, Debug, Serialize)]
pub struct Mount {
    /// Where.
    pub destination: String,
    /// Mount options, as a set.
    pub options: Vec<String>,
    /// Pattern of the source.
    pub source: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Who a container runs as.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    /// Each of its groups matches one of these.
    pub group_idnames: Vec<Identity>,
    /// Octal.
    pub umask: String,
    /// The user.
    pub user_idname: Identity,
}

/// A user or group.
#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    /// Number, name or pattern.
    pub pattern: String,
    /// How it is read.
    pub strategy: Strategy,
}

impl Profile {
    pub(super) const fn api_version(self) -> &'static str {
        match self {
            Self::V2 => "0.11.0",
            Self::V1 => "0.10.0",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.api_version())
    }
}

impl EnvRule {
    /// This value and no other; the container does not start without it.
    pub fn exact(name: &str, value: &str) -> Self {
        Self {
            pattern: format!("{name}={value}"),
            required: true,
            strategy: Strategy::String,
        }
    }

    /// This value or none.
    pub fn optional(name: &str, value: &str) -> Self {
        Self {
            required: false,
            ..Self::exact(name, value)
        }
    }
}

impl Identity {
    /// Anybody.
    pub const fn any() -> Self {
        Self {
            pattern: String::new(),
            strategy: Strategy::Any,
        }
    }

    /// This number.
    pub fn id(number: u32) -> Self {
        Self {
            pattern: number.to_string(),
            strategy: Strategy::Id,
        }
    }
}

impl User {
    /// A user, in one group or in any.
    pub fn of(user: Identity, group: Option<u32>) -> Self {
        Self {
            group_idnames: vec![group.map_or_else(Identity::any, Identity::id)],
            umask: "0022".to_owned(),
            user_idname: user,
        }
    }
}

impl Capabilities {
    /// The same set in bounding, effective and permitted, in this order; nothing that a child would inherit.
    pub fn of<I: IntoIterator<Item = S>, S: AsRef<str>>(names: I) -> Self {
        let set: Vec<String> = names
            .into_iter()
            .map(|name| format!("CAP_{}", name.as_ref()))
            .collect();
        Self {
            bounding: set.clone(),
            effective: set.clone(),
            permitted: set,
            ..Self::default()
        }
    }
}
