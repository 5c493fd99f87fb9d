//! A form of deployment, as far as a vote is concerned: which template a group has, and which bytes of it are measured.

use policy::emit::TemplateOptions;
use policy::emit::cce::{Platform, PolicyText};
use policy::{ContainerGroup, PolicyError};
use serde_json::Value;

use crate::CliError;
use crate::policy::source;

/// Makes the CCE policy of a group; needs the root hashes of its images.
pub(super) type MakeText<'a> =
    &'a dyn Fn(&ContainerGroup, Platform) -> Result<PolicyText, CliError>;

/// How a template is deployed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// The container group itself, for processes and containers of one machine. Whoever starts it makes its CCE policy.
    Group,
    /// A template of Azure. The CCE policy in it is measured.
    Arm,
    /// A pod on a virtual node of AKS. The CCE policy in it is measured.
    Pod,
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
        } else if template.get("kind").is_some() {
            Self::Pod
        } else {
            Self::Group
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Group => "container group",
            Self::Arm => "ARM template",
            Self::Pod => "pod",
        }
    }

    /// Who asks the policy.
    const fn platform(self) -> Platform {
        match self {
            Self::Group | Self::Arm => Platform::ContainerGroup,
            Self::Pod => Platform::VirtualNode,
        }
    }

    /// The bytes that the platform measures when it is given this template.
    pub(super) fn measured(self, template: &Value, text: MakeText<'_>) -> Result<String, String> {
        match self {
            Self::Group => {
                let group = ContainerGroup::from_json(template.clone());
                let group = group.map_err(|error| error.to_string())?;
                let text = text(&group, self.platform()).map_err(|error| error.to_string())?;
                Ok(text.as_str().to_owned())
            }
            Self::Arm | Self::Pod => {
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
        text: MakeText<'_>,
        options: &TemplateOptions,
    ) -> Result<Made, CliError> {
        let text = text(group, self.platform())?;
        Ok(Made {
            template: match self {
                Self::Group => group.to_json(),
                Self::Arm => policy::emit::arm(group, &text, options),
                Self::Pod => policy::emit::pod(group, &text, options),
            },
            measured: text.as_str().to_owned(),
        })
    }
}
