use std::fmt;

use serde::Serialize;
use sidecar_http::{Coded, chain};
use snp::{Check, Verification};

/// What a step came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Passed,
    Failed,
    NotChecked,
}

/// One step on the way of a key.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    /// What was found; never a secret.
    pub(crate) found: String,
    /// Code of the error, for its entry in the documentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// The one thing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) todo: Option<&'static str>,
    /// The verifier's table, where the step is a verification.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) checks: Vec<Check>,
}

/// All steps, in the order of the way.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Walk {
    pub(crate) steps: Vec<Step>,
}

impl Walk {
    /// Whether nothing failed. What was not checked is not held against the room: the caller did not ask.
    pub(crate) fn healthy(&self) -> bool {
        self.steps
            .iter()
            .all(|step| step.verdict != Verdict::Failed)
    }

    pub(super) fn passed(&mut self, name: &'static str, found: impl Into<String>) {
        self.push(name, Verdict::Passed, found.into(), None, None);
    }

    pub(super) fn wrong(
        &mut self,
        name: &'static str,
        found: impl Into<String>,
        todo: &'static str,
    ) {
        self.push(name, Verdict::Failed, found.into(), None, Some(todo));
    }

    pub(super) fn failed(&mut self, name: &'static str, error: &impl Coded, todo: &'static str) {
        let code = error.code().to_owned();
        self.push(name, Verdict::Failed, chain(error), Some(code), Some(todo));
    }

    pub(super) fn not_checked(&mut self, name: &'static str, why: &str, todo: &'static str) {
        self.push(name, Verdict::NotChecked, why.to_owned(), None, Some(todo));
    }

    /// Passes or fails a step by the verifier's table, which goes along.
    pub(super) fn verification(
        &mut self,
        name: &'static str,
        verification: &Verification,
        todo: &'static str,
    ) {
        let checks = verification.checks();
        let failing = checks.iter().filter(|one| !one.verdict.accepts()).count();
        match verification.failure() {
            None => self.passed(name, format!("every check holds, of {}", checks.len())),
            Some(first) => {
                let found = format!("{failing} of {} checks do not hold", checks.len());
                let code = first.id.code().to_owned();
                self.push(name, Verdict::Failed, found, Some(code), Some(todo));
            }
        }
        if let Some(step) = self.steps.last_mut() {
            step.checks = checks.to_vec();
        }
    }

    /// Passes or fails a step, and gives what it came to.
    pub(super) fn step<T, E: Coded>(
        &mut self,
        name: &'static str,
        outcome: Result<T, E>,
        describe: impl FnOnce(&T) -> String,
        todo: &'static str,
    ) -> Option<T> {
        match outcome {
            Ok(found) => {
                self.passed(name, describe(&found));
                Some(found)
            }
            Err(error) => {
                self.failed(name, &error, todo);
                None
            }
        }
    }

    fn push(
        &mut self,
        name: &'static str,
        verdict: Verdict,
        found: String,
        code: Option<String>,
        todo: Option<&'static str>,
    ) {
        self.steps.push(Step {
            name,
            verdict,
            found,
            code,
            todo,
            checks: Vec::new(),
        });
    }
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.steps.iter().map(|step| step.name.len()).max();
        let width = width.unwrap_or_default();
        for step in &self.steps {
            let verdict = match step.verdict {
                Verdict::Passed => "ok     ",
                Verdict::Failed => "FAILED ",
                Verdict::NotChecked => "-      ",
            };
            write!(f, "{verdict}{:width$}  ", step.name)?;
            if let Some(code) = &step.code {
                write!(f, "{code}: ")?;
            }
            writeln!(f, "{}", step.found)?;
            for check in step
                .checks
                .iter()
                .filter(|one| one.verdict == snp::Verdict::Failed)
            {
                let Check {
                    id,
                    expected,
                    actual,
                    ..
                } = check;
                let (code, what) = (id.code(), id.what());
                writeln!(
                    f,
                    "       {:width$}  {code} {id}: {what}: expected {expected}, actual {actual}",
                    ""
                )?;
            }
            if let Some(todo) = step.todo {
                writeln!(f, "       {:width$}  to do: {todo}", "")?;
            }
        }
        f.write_str(if self.healthy() {
            "nothing is wrong with what was checked"
        } else {
            "something is wrong"
        })
    }
}
