use std::fmt;

use policy_simulate::Plain;
use serde::Serialize;

use crate::policy::layers::{Known, Origin};

/// What was compared, and what came out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    contract_id: String,
    /// Recomputed values that nothing is compared with.
    facts: Vec<(String, String)>,
    /// How each image is known.
    images: Vec<Known>,
    /// The proposals that were looked at, whole: what this report says holds for a vote on these and on no other.
    pub(super) proposals: Vec<String>,
    checks: Vec<Check>,
}

/// One comparison.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// Whose: `contract`, `accepted template`, `template of proposal 12ab…`.
    pub(super) subject: String,
    /// Which part.
    pub(super) what: String,
    /// Whether it is as recomputed.
    pub(super) ok: bool,
    /// Recomputed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) expected: String,
    /// Proposed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) actual: String,
}

impl Report {
    pub(super) fn new(contract_id: &str) -> Self {
        Self {
            contract_id: contract_id.to_owned(),
            facts: Vec::new(),
            images: Vec::new(),
            proposals: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Whether everything that was proposed is what was recomputed. Nothing proposed is no yes.
    pub(super) fn yes(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.ok)
    }

    /// The images. Root hashes that only an unsigned file says are whatever its writer wants to run.
    pub(super) fn images(&mut self, images: Vec<Known>, insecure_virtual: bool) {
        for known in &images {
            if known.root_hashes == Origin::Believed && !insecure_virtual {
                self.fail(
                    &format!("image {}", known.image),
                    "root hashes",
                    "hashed (--layout) or signed (--images-key)",
                    "believed: an unsigned file says them",
                );
            }
        }
        self.images = images;
    }

    pub(super) fn fact(&mut self, what: &str, value: impl ToString) {
        self.facts.push((what.to_owned(), value.to_string()));
    }

    pub(super) fn ok(&mut self, subject: &str, what: impl Into<String>) {
        self.push(subject, what, true, "", "");
    }

    pub(super) fn fail(
        &mut self,
        subject: &str,
        what: impl Into<String>,
        expected: impl ToString,
        actual: impl ToString,
    ) {
        self.push(subject, what, false, expected, actual);
    }

    pub(super) fn equal(&mut self, subject: &str, what: &str, expected: &str, actual: &str) {
        self.push(subject, what, expected == actual, expected, actual);
    }

    fn push(
        &mut self,
        subject: &str,
        what: impl Into<String>,
        ok: bool,
        expected: impl ToString,
        actual: impl ToString,
    ) {
        self.checks.push(Check {
            subject: subject.to_owned(),
            what: what.into(),
            ok,
            expected: expected.to_string(),
            actual: actual.to_string(),
        });
    }

    #[cfg(test)]
    pub(super) fn failures(&self) -> Vec<&Check> {
        self.checks.iter().filter(|check| !check.ok).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "contract {}", Plain(&self.contract_id))?;
        for (what, value) in &self.facts {
            writeln!(f, "     {}: {}", Plain(what), Plain(value))?;
        }
        for known in &self.images {
            let name = if known.name_signed {
                "signed"
            } else {
                "listed"
            };
            writeln!(
                f,
                "     image {} {}: root hashes {}, name {name}",
                Plain(&known.image),
                Plain(&known.digest),
                known.root_hashes.name()
            )?;
        }
        if self.images.iter().any(|known| !known.name_signed) {
            writeln!(
                f,
                "     a listed name is worth what its file is: take it from your own build, from nobody else"
            )?;
        }
        for check in &self.checks {
            if check.ok {
                writeln!(f, "ok   {}: {}", Plain(&check.subject), Plain(&check.what))?;
                continue;
            }
            writeln!(f, "FAIL {}: {}", Plain(&check.subject), Plain(&check.what))?;
            writeln!(f, "       recomputed {}", Plain(&check.expected))?;
            writeln!(f, "       proposed   {}", Plain(&check.actual))?;
        }
        for proposal in &self.proposals {
            writeln!(f, "     proposal {}", Plain(proposal))?;
        }
        let answer = if self.yes() {
            "yes: what was proposed is what the contract makes"
        } else {
            "NO: do not accept"
        };
        f.write_str(answer)
    }
}
