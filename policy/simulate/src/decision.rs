use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{Capabilities, Plain};

/// What a policy answers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Decision {
    /// Yes or no.
    pub allowed: bool,
    /// The environment that the process gets; absent where the policy has no say in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_list: Option<Vec<String>>,
    /// The capabilities that the process gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps_list: Option<Capabilities>,
    /// Whether the host may read its standard streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_stdio_access: Option<bool>,
    /// Reasons in the platform's own words, which are what its error message holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// The policy is at fault, not the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_error: Option<String>,
    /// The policy has no rule that gives reasons.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_reason: bool,
    /// Which rule said no, what it expects and what was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// One rule that does not hold.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// Where it is: `containers[2] "governance" .user`, or a flag.
    pub rule: String,
    /// What it asks for.
    pub expected: String,
    /// What was asked.
    pub actual: String,
}

impl Decision {
    /// Yes.
    pub(crate) fn yes() -> Self {
        Self {
            allowed: true,
            ..Self::default()
        }
    }

    /// No, for one reason.
    pub(crate) fn no(error: &str, finding: Finding) -> Self {
        Self {
            errors: vec![error.to_owned()],
            findings: vec![finding],
            ..Self::default()
        }
    }

    /// Yes, or no for these reasons.
    pub(crate) fn unless(refusals: Vec<(&str, Finding)>) -> Self {
        let (errors, findings): (Vec<_>, Vec<_>) = refusals
            .into_iter()
            .map(|(error, finding)| (error.to_owned(), finding))
            .unzip();
        Self {
            allowed: errors.is_empty(),
            errors,
            findings,
            ..Self::default()
        }
    }
}

impl Finding {
    pub(crate) fn new(
        rule: impl Into<String>,
        expected: impl ToString,
        actual: impl ToString,
    ) -> Self {
        Self {
            rule: rule.into(),
            expected: expected.to_string(),
            actual: actual.to_string(),
        }
    }

    /// Of values that read best as JSON.
    pub(crate) fn json(
        rule: impl Into<String>,
        expected: impl Serialize,
        actual: impl Serialize,
    ) -> Self {
        let text = |value: Result<Value, _>| {
            value.map_or_else(|_: serde_json::Error| String::new(), |v| v.to_string())
        };
        Self::new(
            rule,
            text(serde_json::to_value(expected)),
            text(serde_json::to_value(actual)),
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, asked {}",
            Plain(&self.rule),
            Plain(&self.expected),
            Plain(&self.actual)
        )
    }
}
