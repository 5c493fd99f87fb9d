//! What a voter should look at before saying yes.

mod container;
mod environment;

use std::fmt;

use serde::Serialize;

use crate::document::FLAGS;
use crate::simulator::NEWEST_FRAMEWORK;
use crate::{Answer, Document, POINTS, Plain, Version};

/// Host data of the two policies that allow everything and are in circulation.
const ALLOW_ALL: [&str; 2] = [
    "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20",
    "7ec5120f0f497e22b18e59ed702ed82e2732562245c9a944f54cd41db4f491af",
];
/// Who signs the rules of the platform's own containers.
const PLATFORM_FEED: &str = "mcr.microsoft.com/aci/aci-cc-infra-fragment";
const PLATFORM_ISSUER: &str =
    "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.3";
/// The newest API that the platform is known to have in use.
const NEWEST_API: Version = Version(0, 11, 0);

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Wider than it need be.
    Warning,
    /// Keeps nothing confidential, or never works.
    Error,
}

/// One finding about a policy.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Lint {
    /// Stable name of the check.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Which part of the policy.
    pub place: String,
    /// What it means.
    pub message: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(
            f,
            "{severity}: {}: {} [{}]",
            Plain(&self.place),
            Plain(&self.message),
            self.id
        )
    }
}

/// The findings so far.
#[derive(Default)]
struct Found(Vec<Lint>);

impl Found {
    fn add(
        &mut self,
        severity: Severity,
        id: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.0.push(Lint {
            id,
            severity,
            place: place.into(),
            message: message.into(),
        });
    }

    fn error(&mut self, id: &'static str, place: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Error, id, place, message);
    }

    fn warning(&mut self, id: &'static str, place: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Warning, id, place, message);
    }

    fn note(&mut self, id: &'static str, place: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Note, id, place, message);
    }
}

/// Everything that is worth a look, in the order of the policy.
pub fn lint(document: &Document) -> Vec<Lint> {
    let mut found = Found::default();
    if ALLOW_ALL.contains(&document.sha256.as_str()) {
        found.error(
            "allow-all",
            "host data",
            "a well-known policy that allows everything",
        );
    }
    if document
        .comments
        .iter()
        .any(|line| line.starts_with("insecure virtual"))
    {
        found.error(
            "virtual",
            "comment",
            "made for a virtual environment, which keeps nothing confidential",
        );
    }
    versions(document, &mut found);
    points(document, &mut found);
    flags(document, &mut found);
    fragments(document, &mut found);
    external(document, &mut found);
    container::containers(document, &mut found);
    found.0
}

fn versions(document: &Document, found: &mut Found) {
    if document
        .api_version
        .is_some_and(|version| version > NEWEST_API)
    {
        found.warning(
            "new-api",
            "api_version",
            format!("newer than {NEWEST_API}: a platform that does not know it refuses the policy"),
        );
    }
    let framework = document
        .points
        .values()
        .any(|answer| *answer == Answer::Framework);
    if framework && document.framework_version.is_none() {
        found.error(
            "no-framework-version",
            "framework_version",
            "missing, so the framework answers nothing",
        );
    }
    if document.framework_version > Some(NEWEST_FRAMEWORK) {
        found.error(
            "new-framework",
            "framework_version",
            format!("newer than {NEWEST_FRAMEWORK}: the framework takes no container of it"),
        );
    }
}

fn points(document: &Document, found: &mut Found) {
    for (name, answer) in &document.points {
        if let Answer::Constant(value) = answer {
            if value.get("allowed") == Some(&true.into()) {
                found.error(
                    "constant-answer",
                    name,
                    "is allowed always, whatever is asked",
                );
            } else {
                found.warning("constant-answer", name, "is refused always");
            }
        }
    }
    let version = document.api_version.unwrap_or(NEWEST_API);
    for point in POINTS.iter().filter(|point| point.since <= version) {
        if !document.points.contains_key(point.name) {
            found.note(
                "missing-rule",
                point.name,
                format!("no rule since API {}: the platform refuses it", point.since),
            );
        }
    }
    for name in document.always_allowed() {
        found.error(
            "old-api",
            name,
            format!("no rule, and API {version} does not know it: the platform allows it, whatever is asked"),
        );
    }
    if !document.reason {
        found.note("no-reason", "reason", "missing: a refusal does not say why");
    }
}

fn flags(document: &Document, found: &mut Found) {
    for flag in FLAGS {
        if !document.flag(flag) {
            continue;
        }
        match flag {
            "allow_dump_stacks" | "allow_runtime_logging" => found.error(
                "debug",
                flag,
                "the host may read what the guest is doing: a debug policy",
            ),
            "allow_unencrypted_scratch" => found.error(
                "plain-scratch",
                flag,
                "the host may read and change what containers write",
            ),
            "allow_host_network" => found.warning(
                "host-network",
                flag,
                "containers may share the utility VM's own network",
            ),
            _ => {}
        }
    }
}

fn external(document: &Document, found: &mut Found) {
    for (index, process) in document.external_processes.iter().enumerate() {
        found.error(
            "external-process",
            format!("external_processes[{index}]"),
            format!(
                "the host may run {:?} in the utility VM itself, outside every container",
                process.command
            ),
        );
        let place = format!("external_processes[{index}]");
        environment::environment(&place, &process.env_rules, found);
    }
}

fn fragments(document: &Document, found: &mut Found) {
    for (index, import) in document.fragments.iter().enumerate() {
        let place = format!("fragments[{index}]");
        if import.minimum_svn.is_empty() || !import.minimum_svn.bytes().all(|b| b.is_ascii_digit())
        {
            found.error("bad-svn", &place, "minimum_svn is no string of digits");
        }
        if import.feed == PLATFORM_FEED && import.issuer == PLATFORM_ISSUER {
            found.note(
                "platform-fragment",
                &place,
                "the platform's own containers may run",
            );
        } else {
            found.warning(
                "fragment",
                &place,
                format!(
                    "whoever is {} may add {} under {:?}",
                    import.issuer,
                    import.includes.join(", "),
                    import.feed
                ),
            );
        }
    }
}
