use std::fmt;

use serde::Serialize;

/// What was compared, and what came out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    contract_id: String,
    /// Recomputed values that nothing is compared with.
    facts: Vec<(String, String)>,
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
            checks: Vec::new(),
        }
    }

    /// Whether everything that was proposed is what was recomputed. Nothing proposed is no yes.
    pub(super) fn yes(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.ok)
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
        writeln!(f, "contract {}", self.contract_id)?;
        for (what, value) in &self.facts {
            writeln!(f, "     {what}: {value}")?;
        }
        for check in &self.checks {
            if check.ok {
                writeln!(f, "ok   {}: {}", check.subject, check.what)?;
                continue;
            }
            writeln!(f, "FAIL {}: {}", check.subject, check.what)?;
            writeln!(f, "       recomputed {}", check.expected)?;
            writeln!(f, "       proposed   {}", check.actual)?;
        }
        let answer = if self.yes() {
            "yes: what was proposed is what the contract makes"
        } else {
            "NO: do not accept"
        };
        f.write_str(answer)
    }
}
