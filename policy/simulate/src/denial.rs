//! The message of a refusal, as the platform hands it up.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;

use crate::{Plain, SimulateError};

/// The longest message that is searched, bytes; the decision in it has at most 3072.
const MAX_MESSAGE: usize = 1 << 20;
const START: &str = "policyDecision<";
const END: &str = ">policyDecision";

/// A refusal in parts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// `deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The enforcement point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// The platform's words, each with what it means.
    pub errors: Vec<Explained>,
    /// The policy is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_error: Option<String>,
    /// What was asked, environment values left out by the platform; absent where the message was too long for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The platform left parts out, since a message has at most 3072 bytes.
    pub truncated: bool,
}

/// One reason.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The platform's words.
    pub error: String,
    /// What it means, and who acts.
    pub meaning: &'static str,
}

impl Denial {
    /// Finds the decision in an error message, or reads it alone: base64 or JSON.
    ///
    /// # Errors
    /// [`SimulateError::Denial`]: there is none, or it is damaged.
    pub fn decode(message: &str) -> Result<Self, SimulateError> {
        let refused = |reason: String| SimulateError::Denial { reason };
        if message.len() > MAX_MESSAGE {
            return Err(SimulateError::TooLong { limit: MAX_MESSAGE });
        }
        let inner = match message.split_once(START) {
            Some((_, rest)) => match rest.split_once(END) {
                Some((inner, _)) => inner,
                None => rest.split('>').next().unwrap_or_default(),
            },
            None => message,
        };
        let inner: String = inner.split_whitespace().collect();
        let text = if message.trim_start().starts_with('{') {
            message.as_bytes().to_vec()
        } else {
            let decoded = BASE64_STANDARD.decode(&inner);
            decoded.map_err(|error| refused(format!("neither JSON nor base64: {error}")))?
        };
        let value: Value = serde_json::from_slice(&text)
            .map_err(|error| refused(format!("the decision is no JSON: {error}")))?;
        Self::of(&value).ok_or_else(|| refused("the JSON has no decision".to_owned()))
    }

    fn of(value: &Value) -> Option<Self> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(ToOwned::to_owned);
        let members = value.as_object()?;
        if !["decision", "reason", "policyError"]
            .iter()
            .any(|name| members.contains_key(*name))
        {
            return None;
        }
        let reason = members.get("reason");
        let input = members.get("input");
        let errors = match reason {
            Some(Value::String(text)) => vec![text.clone()],
            Some(reason) => {
                let errors = reason.get("errors").and_then(Value::as_array);
                let errors = errors.into_iter().flatten();
                errors
                    .filter_map(Value::as_str)
                    .map(ToOwned::to_owned)
                    .collect()
            }
            None => Vec::new(),
        };
        Some(Self {
            decision: text(members.get("decision")),
            point: text(input.and_then(|input| input.get("rule"))),
            errors: errors.into_iter().map(explained).collect(),
            policy_error: text(members.get("policyError")),
            truncated: reason.is_none() || input.is_none(),
            input: input.cloned(),
        })
    }
}

fn explained(error: String) -> Explained {
    let known = MEANINGS.iter().find(|(start, _)| error.starts_with(start));
    Explained {
        meaning: known.map_or("unknown to this version", |(_, meaning)| meaning),
        error,
    }
}

/// The platform's words and what they mean. The longer of two that start alike comes first.
const MEANINGS: [(&str, &str); 27] = [
    (
        "deviceHash not found",
        "a layer of the image is not in the policy: the image changed after the policy was made, a tag moved, another platform \
         was pulled, or the policy's hash of the layer is wrong; compare with `cleanroom policy hash`",
    ),
    (
        "device already mounted",
        "the host mounted something at that place before",
    ),
    (
        "mountpoint invalid",
        "the host mounts where the platform never does",
    ),
    ("no device at path", "the host unmounts what is not mounted"),
    (
        "overlay has already",
        "the container has its file system already",
    ),
    (
        "no overlay at path",
        "the host unmounts what is not mounted",
    ),
    (
        "no matching containers for overlay",
        "the layers are known, but no image has exactly these in this order",
    ),
    (
        "container already started",
        "the host starts it a second time",
    ),
    (
        "container not started",
        "the host asks before the container was started",
    ),
    (
        "invalid command",
        "no container of these layers has this command: template and policy differ",
    ),
    (
        "invalid env list",
        "the named variables match no rule; the policy does not allow to drop them, or another rule failed too",
    ),
    (
        "missing required environment variable",
        "the template lacks a variable that the policy requires, or has another value",
    ),
    (
        "invalid working directory",
        "template or image have another working directory than the policy",
    ),
    (
        "invalid mount list",
        "the named mounts are in no rule: path, type, options or volume differ",
    ),
    (
        "privileged escalation",
        "the template asks for a privileged container and the policy forbids it",
    ),
    (
        "invalid noNewPrivileges",
        "the policy demands no_new_privileges: set allowPrivilegeEscalation to false; always named when \
      a further process is refused",
    ),
    (
        "invalid user",
        "user, groups or umask differ: compare runAsUser and runAsGroup; always named when a further process is \
      refused",
    ),
    (
        "capabilities don't match",
        "capabilities of the policy are missing in the request: compare capabilities.add",
    ),
    (
        "devices not supported",
        "the platform gives devices only to privileged containers",
    ),
    (
        "invalid seccomp",
        "template and policy have another seccomp profile",
    ),
    (
        "containers only distinguishable",
        "two containers differ only in whether the host may read their output",
    ),
    ("target isn't allowed", "the signal is not in the policy"),
    (
        "invalid fragment issuer",
        "nobody of this name may add rules",
    ),
    (
        "invalid fragment feed",
        "the issuer may not add rules under this name",
    ),
    (
        "fragment svn is below",
        "the fragment is older than the policy accepts",
    ),
    (
        "unencrypted scratch",
        "the host offers a plain disk for what containers write",
    ),
    (
        "no scratch at path",
        "the host unmounts what is not mounted",
    ),
];

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decision = self.decision.as_deref().unwrap_or("deny");
        let point = self.point.as_deref().unwrap_or("an unnamed point");
        write!(f, "{} of {}", Plain(decision), Plain(point))?;
        for one in &self.errors {
            write!(f, "\n  {}\n    {}", Plain(&one.error), one.meaning)?;
        }
        if let Some(error) = &self.policy_error {
            write!(f, "\n  the policy itself: {}", Plain(error))?;
        }
        if let Some(input) = &self.input {
            write!(f, "\n  asked: {}", Plain(input))?;
        }
        if self.truncated {
            write!(
                f,
                "\n  the platform left parts out: a message has at most 3072 bytes"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_is_found_in_a_message_and_explained() {
        let decision = json!({
            "decision": "deny",
            "input": {"rule": "mount_device", "deviceHash": "ab"},
            "reason": {"errors": ["deviceHash not found", "something new"]},
        });
        let encoded = BASE64_STANDARD.encode(decision.to_string());
        let message =
            format!("container failed: hcs: guest: {START}{encoded}{END}: denied by policy");
        for text in [message, encoded, decision.to_string()] {
            let denial = Denial::decode(&text).unwrap();
            assert_eq!(denial.point.as_deref(), Some("mount_device"));
            assert!(denial.errors[0].meaning.contains("not in the policy"));
            assert_eq!(denial.errors[1].meaning, "unknown to this version");
            assert!(!denial.truncated);
            assert!(
                denial
                    .to_string()
                    .starts_with("deny of mount_device\n  deviceHash not found")
            );
        }
        let short = Denial::decode(r#"{"decision":"deny","policyError":"x"}"#).unwrap();
        assert!(short.truncated && short.to_string().contains("the policy itself: x"));
    }

    #[test]
    fn what_holds_no_decision_is_refused() {
        for text in [
            "",
            "no",
            "{}",
            "[1]",
            "policyDecision<!!>policyDecision",
            "e30=",
        ] {
            assert!(Denial::decode(text).is_err(), "{text}");
        }
    }
}
