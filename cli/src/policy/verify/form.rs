//! A form of deployment, as far as a vote is concerned: which template a group has, and which bytes of it are measured.

use policy::emit::cce::PolicyText;
use policy::{ContainerGroup, PolicyError};
use serde_json::Value;

use crate::CliError;
use crate::policy::source;

/// How a template is deployed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// The container group itself, for processes and containers of one machine. Its canonical JSON is measured.
    Group,
    /// A template of Azure. The CCE policy in it is measured.
    Arm,
}

/// What the recomputed group makes of a form.
pub(super) struct Made {
    /// The template; the reason why this version makes none.
    pub(super) template: Result<Value, PolicyError>,
    /// The bytes that are measured.
    pub(super) measured: String,
}

impl Form {
    pub(super) fn of(template: &Value) -> Self {
        if template.get("resources").is_some() {
            Self::Arm
        } else {
            Self::Group
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Group => "container group",
            Self::Arm => "ARM template",
        }
    }

    /// The bytes that the platform measures when it is given this template.
    pub(super) fn measured(self, template: &Value) -> Result<String, String> {
        match self {
            Self::Group => {
                let group = ContainerGroup::from_json(template.clone());
                let bytes = group.and_then(|group| group.policy_bytes());
                let bytes = bytes.map_err(|error| error.to_string())?;
                String::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())
            }
            Self::Arm => {
                let encoded = source::embedded(template)
                    .ok_or_else(|| "it carries no policy, or several".to_owned())?;
                source::decode(&encoded)
            }
        }
    }

    /// What the template must be.
    pub(super) fn made(
        self,
        group: &ContainerGroup,
        text: &dyn Fn(&ContainerGroup) -> Result<PolicyText, CliError>,
    ) -> Result<Made, CliError> {
        match self {
            Self::Group => Ok(Made {
                template: group.to_json(),
                measured: String::from_utf8_lossy(&group.policy_bytes()?).into_owned(),
            }),
            Self::Arm => Ok(Made {
                template: policy::emit::arm(group),
                measured: text(group)?.as_str().to_owned(),
            }),
        }
    }
}
