//! A policy as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::api::{Missing, POINTS, Point};
use crate::syntax::{Module, Term};
use crate::{SimulateError, Version, api};

/// A policy, or a fragment of one.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its package; `policy` for a policy.
    pub package: String,
    /// Version of the API.
    pub api_version: Option<Version>,
    /// Version of the framework, which decides what an older container means by what it leaves out.
    pub framework_version: Option<Version>,
    /// Version of a fragment.
    pub svn: Option<String>,
    /// Whose further rules are accepted.
    pub fragments: Vec<Import>,
    /// What may run.
    pub containers: Vec<Container>,
    /// What may run in the utility VM itself.
    pub external_processes: Vec<ExternalProcess>,
    /// Flags that are there, by name.
    pub flags: BTreeMap<String, bool>,
    /// What answers each enforcement point.
    pub points: BTreeMap<String, Answer>,
    /// Whether a refusal gives its reasons.
    pub reason: bool,
    /// Comments.
    pub comments: Vec<String>,
    /// Hex SHA-256 of the text: the host data.
    pub sha256: String,
}

/// What answers an enforcement point.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The framework's rule of the same name.
    Framework,
    /// Always this.
    Constant(Value),
}

/// Whose fragments are accepted, and how much of them.
#[derive(Clone, Debug, Deserialize, Serialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// What it is called.
    pub feed: String,
    /// Which of its rules count.
    pub includes: Vec<String>,
    /// `did:x509` of the signer.
    pub issuer: String,
    /// The least version.
    pub minimum_svn: String,
}

/// One container that may run.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Name.
    #[serde(default)]
    pub name: Option<String>,
    /// Image reference; nothing is compared with it.
    #[serde(default)]
    pub id: Option<String>,
    /// May be privileged.
    pub allow_elevated: bool,
    /// The host may read its standard streams.
    pub allow_stdio_access: bool,
    /// Its capabilities; the platform's own sets when absent or null.
    #[serde(default)]
    pub capabilities: Option<Capabilities>,
    /// Program and arguments.
    pub command: Option<Vec<String>>,
    /// Its environment.
    pub env_rules: Vec<EnvRule>,
    /// What may be run in it later.
    pub exec_processes: Vec<ExecProcess>,
    /// Root hashes of its layers, bottom first.
    pub layers: Vec<String>,
    /// Its mounts.
    pub mounts: Vec<MountRule>,
    /// Demands `no_new_privileges`.
    #[serde(default)]
    pub no_new_privileges: Option<bool>,
    /// SHA-256 of its seccomp profile.
    #[serde(default)]
    pub seccomp_profile_sha256: Option<String>,
    /// Signals that its first process may be sent. What is no number matches none.
    #[serde(default)]
    pub signals: Vec<Value>,
    /// User and groups.
    #[serde(default)]
    pub user: Option<UserRule>,
    /// Working directory.
    pub working_dir: String,
}

/// Five sets of capabilities.
#[derive(Clone, Debug, Default, Deserialize, Serialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
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
#[derive(Clone, Debug, Deserialize, Serialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(deny_unknown_fields)]
pub struct EnvRule {
    /// `NAME=VALUE`, or a pattern of it.
    pub pattern: String,
    /// Must be there.
    #[serde(default)]
    pub required: bool,
    /// `string` or `re2`.
    pub strategy: String,
}

/// A process that may be run in a container.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ExecProcess {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Signals that it may be sent.
    #[serde(default)]
    pub signals: Vec<Value>,
}

/// A process that may be run in the utility VM.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ExternalProcess {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its environment.
    pub env_rules: Vec<EnvRule>,
    /// Working directory.
    pub working_dir: String,
    /// The host may read its standard streams.
    #[serde(default)]
    pub allow_stdio_access: bool,
}

/// A mount.
#[derive(Clone, Debug, Deserialize, Serialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct MountRule {
    /// Where.
    pub destination: String,
    /// Options, as a set.
    pub options: Vec<String>,
    /// Pattern of the source.
    pub source: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Who a container runs as.
#[derive(Clone, Debug, Deserialize, Serialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct UserRule {
    /// Each group matches one of these.
    pub group_idnames: Vec<Identity>,
    /// Octal.
    pub umask: String,
    /// The user.
    pub user_idname: Identity,
}

/// A user or group.
#[derive(Clone, Debug, Deserialize, Serialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Number, name or pattern.
    pub pattern: String,
    /// `any`, `id`, `name` or `re2`.
    pub strategy: String,
}

impl fmt::Display for MountRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options.join(",");
        write!(
            f,
            "{} {} {} [{options}]",
            self.kind, self.source, self.destination
        )
    }
}

/// Different patterns of a policy: a large one takes milliseconds to compile. Policies of real groups have some tens.
const MAX_PATTERNS: usize = 4096;

/// Flags of a policy; one that is missing is false.
pub(crate) const FLAGS: [&str; 7] = [
    "allow_properties_access",
    "allow_dump_stacks",
    "allow_runtime_logging",
    "allow_environment_variable_dropping",
    "allow_unencrypted_scratch",
    "allow_capability_dropping",
    "allow_host_network",
];

impl Document {
    /// Reads a policy.
    ///
    /// # Errors
    /// The text is no policy, has a rule that nobody knows, or one of another kind than it must be.
    pub fn policy(text: &str) -> Result<Self, SimulateError> {
        let document = Self::parse(text)?;
        if document.package != "policy" {
            return Err(kind(
                "package",
                format!("{:?} is not policy", document.package),
            ));
        }
        if document.api_version.is_none() {
            return Err(kind("api_version", "is missing"));
        }
        Ok(document)
    }

    /// Reads a policy or a fragment.
    ///
    /// # Errors
    /// As [`Document::policy`].
    pub fn parse(text: &str) -> Result<Self, SimulateError> {
        let module = Module::parse(text)?;
        let mut document = Self {
            package: module.package,
            api_version: None,
            framework_version: None,
            svn: None,
            fragments: Vec::new(),
            containers: Vec::new(),
            external_processes: Vec::new(),
            flags: BTreeMap::new(),
            points: BTreeMap::new(),
            reason: false,
            comments: module.comments,
            sha256: hex::encode(Sha256::digest(text)),
        };
        for rule in module.rules {
            document.rule(&rule.name, rule.term, rule.line)?;
        }
        let patterns = document.patterns().len();
        if patterns > MAX_PATTERNS {
            return Err(kind(
                "containers",
                format!("{patterns} different patterns, more than {MAX_PATTERNS}"),
            ));
        }
        Ok(document)
    }

    /// Every text that must be compiled to be compared with.
    fn patterns(&self) -> BTreeSet<&str> {
        let processes = self
            .external_processes
            .iter()
            .flat_map(|one| &one.env_rules);
        let containers = self.containers.iter();
        let rules = containers.clone().flat_map(|one| &one.env_rules);
        let variables = rules.chain(processes);
        let variables = variables.filter(|rule| rule.strategy == "re2");
        let mounts = containers.clone().flat_map(|one| &one.mounts);
        let users = containers.filter_map(|one| one.user.as_ref());
        let users = users.flat_map(|user| user.group_idnames.iter().chain([&user.user_idname]));
        let users = users.filter(|identity| identity.strategy == "re2");
        let variables = variables.map(|rule| rule.pattern.as_str());
        let mounts = mounts.map(|mount| mount.source.as_str());
        let users = users.map(|identity| identity.pattern.as_str());
        variables.chain(mounts).chain(users).collect()
    }

    /// A flag; one that is missing is false.
    pub fn flag(&self, name: &str) -> bool {
        self.flags.get(name).copied().unwrap_or(false)
    }

    /// The points that the platform allows whatever is asked, since the policy claims an API that is older and has no rule.
    pub fn always_allowed(&self) -> impl Iterator<Item = &'static str> {
        let version = self.api_version.unwrap_or(Version(0, 1, 0));
        let silent = move |point: &&Point| {
            point.since > version
                && point.missing == Missing::Allow
                && !self.points.contains_key(point.name)
        };
        POINTS.iter().filter(silent).map(|point| point.name)
    }

    fn rule(&mut self, name: &str, term: Term, line: usize) -> Result<(), SimulateError> {
        if api::is_point(name) {
            let answer = match term {
                Term::Framework(rule) if rule == name => Answer::Framework,
                Term::Framework(rule) => {
                    return Err(kind(name, format!("is the framework's {rule:?}")));
                }
                Term::Value(Value::Object(members)) => constant(name, members)?,
                _ => return Err(kind(name, "is no answer")),
            };
            self.points.insert(name.to_owned(), answer);
            return Ok(());
        }
        match (name, term) {
            ("reason", Term::Reason(key, rule)) if key == "errors" && rule == "errors" => {
                self.reason = true;
            }
            ("api_version" | "api_svn", Term::Value(value)) => {
                once(name, self.api_version)?;
                self.api_version = Some(version(name, &value)?);
            }
            ("framework_version" | "framework_svn", Term::Value(value)) => {
                once(name, self.framework_version)?;
                self.framework_version = Some(version(name, &value)?);
            }
            ("svn", Term::Value(Value::String(text))) => self.svn = Some(text),
            ("fragments", Term::Value(value)) => self.fragments = read(name, value)?,
            ("containers", Term::Value(value)) => self.containers = read(name, value)?,
            ("external_processes", Term::Value(value)) => {
                self.external_processes = read(name, value)?;
            }
            (flag, Term::Value(Value::Bool(allowed))) if FLAGS.contains(&flag) => {
                self.flags.insert(flag.to_owned(), allowed);
            }
            ("reason" | "svn", _) => return Err(kind(name, "has another value than it must")),
            (flag, _) if FLAGS.contains(&flag) => return Err(kind(name, "is no boolean")),
            _ => {
                return Err(SimulateError::UnknownRule {
                    name: name.to_owned(),
                    line,
                });
            }
        }
        Ok(())
    }
}

/// An answer that asks nothing. What it does not say the platform adds from defaults of its own, some of which allow, and
/// `metadata` it carries out: so it must say `allowed` itself, and no more than what a process gets.
fn constant(name: &str, members: Map<String, Value>) -> Result<Answer, SimulateError> {
    for (member, value) in &members {
        let fits = match member.as_str() {
            "allowed" | "allow_stdio_access" => value.is_boolean(),
            "env_list" => match value {
                Value::Array(variables) => variables.iter().all(Value::is_string),
                other => other.is_null(),
            },
            _ => return Err(kind(name, format!("its answer has a member {member:?}"))),
        };
        if !fits {
            return Err(kind(
                name,
                format!("its answer has {member:?} of another kind"),
            ));
        }
    }
    if !members.contains_key("allowed") {
        return Err(kind(
            name,
            "its answer has no \"allowed\"; the platform would take its own default",
        ));
    }
    Ok(Answer::Constant(members.into()))
}

/// Each version has an old name, too; which of two counts is not the policy's to leave open.
fn once(name: &str, known: Option<Version>) -> Result<(), SimulateError> {
    match known {
        None => Ok(()),
        Some(_) => Err(kind(name, "is there under its old and its new name")),
    }
}

fn version(name: &str, value: &Value) -> Result<Version, SimulateError> {
    let text = value.as_str().unwrap_or_default();
    Version::parse(text).ok_or_else(|| kind(name, format!("{value} is no version")))
}

fn read<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, SimulateError> {
    serde_json::from_value(value).map_err(|error| kind(name, error))
}

fn kind(name: &str, reason: impl ToString) -> SimulateError {
    SimulateError::Rule {
        name: name.to_owned(),
        reason: reason.to_string(),
    }
}
