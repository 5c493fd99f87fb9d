use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;

use super::json;
use super::model::{Origin, Platform, Policy, Profile};
use crate::{HostData, PolicyError};

const FRAMEWORK_VERSION: &str = "0.2.3";
/// What the utility VM asks for, in the order of the platform's own tool.
const POINTS: [&str; 17] = [
    "mount_device",
    "unmount_device",
    "mount_overlay",
    "unmount_overlay",
    "create_container",
    "exec_in_container",
    "exec_external",
    "shutdown_container",
    "signal_container_process",
    "plan9_mount",
    "plan9_unmount",
    "get_properties",
    "dump_stacks",
    "runtime_logging",
    "load_fragment",
    "scratch_mount",
    "scratch_unmount",
];

/// The bytes that are measured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyText {
    text: String,
    platform: Platform,
}

impl PolicyText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Who asks it; a template of another platform would carry rules that refuse its start.
    pub(in crate::emit) const fn platform(&self) -> Platform {
        self.platform
    }

    pub(super) fn asked_by(self, platform: Platform) -> Self {
        Self { platform, ..self }
    }

    fn new(text: String) -> Self {
        Self {
            text,
            platform: Platform::default(),
        }
    }

    /// As a deployment template carries it.
    pub fn base64(&self) -> String {
        BASE64_STANDARD.encode(&self.text)
    }

    /// What the report's host data will be.
    ///
    /// # Errors
    /// [`PolicyError::AllowAll`] for the two policies that nobody may use.
    pub fn host_data(&self) -> Result<HostData, PolicyError> {
        HostData::of(self.text.as_bytes()).refuse_allow_all()
    }
}

impl Policy {
    /// The text, with its containers on one line or, `pretty`, one member per line. The two have different host data.
    ///
    /// # Errors
    /// None in practice: every member is serialisable.
    pub fn text(&self, pretty: bool) -> Result<PolicyText, PolicyError> {
        let mut points = POINTS.to_vec();
        if self.profile == Profile::V2 {
            points.push("rw_mount_device");
        }
        let points: Vec<String> = points
            .iter()
            .map(|point| format!("{point} := data.framework.{point}"))
            .collect();
        let sections = [
            head(self.profile, self.origin.as_ref()),
            format!(
                "fragments := {}",
                json::write(&value(&self.fragments)?, true)
            ),
            format!(
                "containers := {}",
                json::write(&value(&self.containers)?, pretty)
            ),
            flags(self.debug),
            points.join("\n"),
            "reason := {\"errors\": data.framework.errors}".to_owned(),
        ];
        Ok(PolicyText::new(sections.join("\n\n")))
    }
}

/// A policy that allows everything: for a virtual environment, where there is nothing to keep.
pub(super) fn allow_all(origin: &Origin) -> PolicyText {
    let points: Vec<String> = POINTS
        .iter()
        .map(|point| {
            let more = match *point {
                "create_container" | "exec_external" => {
                    ", \"env_list\": null, \"allow_stdio_access\": true"
                }
                "exec_in_container" => ", \"env_list\": null",
                _ => "",
            };
            format!("{point} := {{\"allowed\": true{more}}}")
        })
        .collect();
    PolicyText::new([head(Profile::V1, Some(origin)), points.join("\n")].join("\n\n"))
}

fn head(profile: Profile, origin: Option<&Origin>) -> String {
    let mut sections = vec!["package policy".to_owned()];
    sections.extend(origin.map(comment));
    sections.push("import future.keywords.every\nimport future.keywords.in".to_owned());
    sections.push(format!(
        "api_version := \"{profile}\"\nframework_version := \"{FRAMEWORK_VERSION}\""
    ));
    sections.join("\n\n")
}

/// Written as JSON strings, so that no name can end the comment.
fn comment(origin: &Origin) -> String {
    let quoted = |text: &str| json::write(&Value::from(text), false);
    let mut text = format!(
        "# contract {}\n# specification sha256 {}",
        quoted(&origin.contract_id),
        quoted(&origin.specification_sha256)
    );
    if origin.insecure_virtual {
        text.push_str("\n# insecure virtual: nothing is kept confidential");
    }
    text
}

/// Environment variables and capabilities beyond the rules are taken away rather than refused: the platform adds its own, and
/// no template can say that it shall not.
fn flags(debug: bool) -> String {
    [
        ("allow_properties_access", true),
        ("allow_dump_stacks", debug),
        ("allow_runtime_logging", debug),
        ("allow_environment_variable_dropping", true),
        ("allow_unencrypted_scratch", false),
        ("allow_capability_dropping", true),
    ]
    .map(|(name, allowed)| format!("{name} := {allowed}"))
    .join("\n")
}

fn value(part: &impl Serialize) -> Result<Value, PolicyError> {
    serde_json::to_value(part).map_err(|error| PolicyError::Group {
        reason: error.to_string(),
    })
}
