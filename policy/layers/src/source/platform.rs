use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;

/// What an image runs on. The text form is `os/architecture[/variant]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, as Go names it.
    pub architecture: String,
    /// A level of the instruction set. Wanted and not given: any, if there is only one.
    pub variant: Option<String>,
}

/// Not `os/architecture[/variant]`.
#[derive(Clone, Debug, Error)]
#[error("a platform is os/architecture or os/architecture/variant")]
pub struct NotAPlatform;

impl Platform {
    /// What confidential container groups run.
    #[must_use]
    pub fn linux_amd64() -> Self {
        Self {
            os: "linux".into(),
            architecture: "amd64".into(),
            variant: None,
        }
    }

    /// Whether an image for `self` serves who wants `wanted`.
    #[must_use]
    pub fn serves(&self, wanted: &Self) -> bool {
        let variant = wanted.variant.is_none() || self.variant == wanted.variant;
        self.os == wanted.os && self.architecture == wanted.architecture && variant
    }

    /// What stands for "no platform": signatures and provenance are listed so.
    pub(super) fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl FromStr for Platform {
    type Err = NotAPlatform;

    fn from_str(text: &str) -> Result<Self, NotAPlatform> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] if !variant.is_empty() => {
                (*os, *architecture, Some((*variant).to_owned()))
            }
            _ => return Err(NotAPlatform),
        };
        if os.is_empty() || architecture.is_empty() {
            return Err(NotAPlatform);
        }
        Ok(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant,
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}
