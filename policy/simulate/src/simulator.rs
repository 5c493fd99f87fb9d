use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::api::{self, Missing};
use crate::candidate::Candidate;
use crate::document::{Answer, ExternalProcess, Import};
use crate::input::{Question, Shutdown, Signal};
use crate::{Decision, Document, Finding, SimulateError, Version, candidate};

/// The newest framework: it takes nothing of a text that names none, or a newer one.
pub(crate) const NEWEST_FRAMEWORK: Version = Version(0, 5, 0);

/// A utility VM with a policy: what was mounted and started so far decides what may come next.
#[derive(Clone, Debug)]
pub struct Simulator {
    pub(crate) document: Document,
    pub(crate) candidates: Vec<Arc<Candidate>>,
    pub(crate) external: Vec<ExternalProcess>,
    pub(crate) imports: Vec<Import>,
    pub(crate) state: State,
}

/// What was allowed so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Layer devices: place and root hash.
    pub(crate) devices: BTreeMap<String, String>,
    /// Writable devices.
    pub(crate) rw_devices: BTreeSet<String>,
    /// Places of overlays.
    pub(crate) overlays: BTreeSet<String>,
    /// Container id, and which containers of the policy it still may be.
    pub(crate) matches: BTreeMap<String, Vec<Arc<Candidate>>>,
    /// Container ids, and whether each started as privileged.
    pub(crate) started: BTreeMap<String, bool>,
    /// Places of 9p mounts, and for which container id.
    pub(crate) plan9: BTreeMap<String, String>,
    /// Places of scratch.
    pub(crate) scratch: BTreeSet<String>,
}

impl Simulator {
    /// A utility VM that has just started with a policy.
    pub fn new(document: Document) -> Self {
        let candidates = candidates(&document, "containers");
        let known = known_framework(&document).is_some();
        Self {
            external: if known {
                document.external_processes.clone()
            } else {
                Vec::new()
            },
            imports: if known {
                document.fragments.clone()
            } else {
                Vec::new()
            },
            candidates,
            document,
            state: State::default(),
        }
    }

    /// Whether capabilities beyond a container's own are taken away; the framework asks since 0.2.2.
    pub(crate) fn drops_capabilities(&self) -> bool {
        let since = Some(Version(0, 2, 2));
        self.document.framework_version >= since && self.document.flag("allow_capability_dropping")
    }

    /// What the policy answers. A yes changes what comes next; a no changes nothing.
    ///
    /// # Errors
    /// The point is unknown, or the input is not what the point is asked.
    pub fn ask(&mut self, question: &Question) -> Result<Decision, SimulateError> {
        let point = api::find(&question.point).ok_or_else(|| SimulateError::Point {
            point: question.point.clone(),
        })?;
        let answer = self.document.points.get(point.name).cloned();
        let version = self.document.api_version.unwrap_or(Version(0, 1, 0));
        let mut decision = match (answer, point.missing) {
            (Some(Answer::Constant(value)), _) => constant(point.name, &value),
            (Some(Answer::Framework), _) => self.framework(question)?,
            (None, _) if version >= point.since => {
                return Ok(missing_rule(point.name));
            }
            (None, Missing::Framework) => self.framework(question)?,
            (None, Missing::Allow) => Decision::yes(),
            (None, Missing::Refuse) => self.too_new(question, version, point.since)?,
        };
        if !decision.allowed && !self.document.reason {
            decision.errors.clear();
            decision.no_reason = true;
        }
        Ok(decision)
    }

    fn framework(&mut self, question: &Question) -> Result<Decision, SimulateError> {
        match question.point.as_str() {
            "mount_device" => self.mount_device(&question.read()?),
            "unmount_device" => self.unmount_device(&question.read()?),
            "rw_mount_device" => self.rw_mount_device(&question.read()?),
            "rw_unmount_device" => self.rw_unmount_device(&question.read()?),
            "mount_overlay" => self.mount_overlay(&question.read()?),
            "unmount_overlay" => self.unmount_overlay(&question.read()?),
            "create_container" => self.create_container(&question.read()?),
            "exec_in_container" => self.exec_in_container(&question.read()?),
            "exec_external" => self.exec_external(&question.read()?),
            "shutdown_container" => self.shutdown_container(&question.read()?),
            "signal_container_process" => self.signal(&question.read()?),
            "plan9_mount" => self.plan9_mount(&question.read()?),
            "plan9_unmount" => self.plan9_unmount(&question.read()?),
            "scratch_mount" => self.scratch_mount(&question.read()?),
            "scratch_unmount" => self.scratch_unmount(&question.read()?),
            "get_properties" => Ok(self.flag("allow_properties_access")),
            "dump_stacks" => Ok(self.flag("allow_dump_stacks")),
            "runtime_logging" => Ok(self.flag("allow_runtime_logging")),
            "host_network" => Ok(self.flag("allow_host_network")),
            "load_fragment" => self.load_fragment(&question.read()?, question.fragment.as_deref()),
            "mount_blockdev" | "unmount_blockdev" => Ok(Decision::no(
                "blockdev mounts are not supported",
                Finding::new(&question.point, "never", "a block device"),
            )),
            // No list of another issuer's keys can be judged from the policy alone.
            _ => Ok(refused(Finding::new(
                &question.point,
                "not simulated",
                "refused",
            ))),
        }
    }

    /// The framework gives its reasons for a point that the policy's version does not know, too.
    fn too_new(
        &mut self,
        question: &Question,
        version: Version,
        since: Version,
    ) -> Result<Decision, SimulateError> {
        let mut decision = match question.point.as_str() {
            "mount_blockdev" | "unmount_blockdev" => self.framework(question)?,
            _ => refused(Finding::new(&question.point, "", "")),
        };
        decision.allowed = false;
        decision.findings = vec![Finding::new(
            "api_version",
            format!("{since} or later for {}", question.point),
            version,
        )];
        Ok(decision)
    }

    fn flag(&self, name: &str) -> Decision {
        if self.document.flag(name) {
            Decision::yes()
        } else {
            refused(Finding::new(name, "true", "false"))
        }
    }

    fn shutdown_container(&mut self, input: &Shutdown) -> Result<Decision, SimulateError> {
        if !self.state.started.contains_key(&input.container_id) {
            return Ok(not_started(&input.container_id));
        }
        self.state.matches.remove(&input.container_id);
        Ok(Decision::yes())
    }

    fn signal(&mut self, input: &Signal) -> Result<Decision, SimulateError> {
        if !self.state.started.contains_key(&input.container_id) {
            return Ok(not_started(&input.container_id));
        }
        let matches = self.state.matches.get(&input.container_id);
        let before: Vec<Arc<Candidate>> = matches.cloned().unwrap_or_default();
        let may = |candidate: &Candidate| {
            if input.is_init_process {
                return candidate.signals.contains(&input.signal);
            }
            candidate.container.exec_processes.iter().any(|process| {
                process.command == input.arg_list
                    && candidate::numbers(&process.signals).contains(&input.signal)
            })
        };
        let after: Vec<_> = before.iter().filter(|one| may(one)).cloned().collect();
        if after.is_empty() {
            let label = before.first().map_or("containers", |one| &one.label);
            let expected: Vec<i64> = match before.first() {
                Some(one) if input.is_init_process => one.signals.clone(),
                _ => Vec::new(),
            };
            return Ok(Decision::no(
                "target isn't allowed to receive the signal",
                Finding::json(format!("{label} .signals"), expected, input.signal),
            ));
        }
        self.state.matches.insert(input.container_id.clone(), after);
        Ok(Decision::yes())
    }
}

/// The version of the framework that a text claims, if the framework takes anything of such a text.
pub(crate) fn known_framework(document: &Document) -> Option<Version> {
    document
        .framework_version
        .filter(|version| *version <= NEWEST_FRAMEWORK)
}

/// The containers of a text: none where the framework does not know the version.
pub(crate) fn candidates(document: &Document, place: &str) -> Vec<Arc<Candidate>> {
    let Some(framework) = known_framework(document) else {
        return Vec::new();
    };
    let containers = document.containers.iter().enumerate();
    containers
        .map(|(index, container)| {
            let name = container.name.as_deref().or(container.id.as_deref());
            let label = match name {
                Some(name) => format!("{place}[{index}] {name:?}"),
                None => format!("{place}[{index}]"),
            };
            Arc::new(Candidate::new(label, container, framework))
        })
        .collect()
}

pub(crate) fn not_started(container_id: &str) -> Decision {
    Decision::no(
        "container not started",
        Finding::new("order", "create_container first", container_id),
    )
}

/// No, without a reason: the framework has no words for it.
pub(crate) fn refused(finding: Finding) -> Decision {
    Decision {
        findings: vec![finding],
        ..Decision::default()
    }
}

fn missing_rule(point: &str) -> Decision {
    Decision {
        policy_error: Some(format!("rule for {point} is missing from policy")),
        findings: vec![Finding::new(point, "a rule", "none")],
        ..Decision::default()
    }
}

fn constant(point: &str, value: &Value) -> Decision {
    let strings = |value: &Value| serde_json::from_value(value.clone()).ok();
    let allowed = value.get("allowed") == Some(&Value::Bool(true));
    let refused = || Finding::new(point, "never", format!("always answered with {value}"));
    Decision {
        allowed,
        findings: if allowed { Vec::new() } else { vec![refused()] },
        env_list: value.get("env_list").and_then(strings),
        allow_stdio_access: value.get("allow_stdio_access").and_then(Value::as_bool),
        ..Decision::default()
    }
}
