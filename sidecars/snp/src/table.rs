use std::collections::BTreeMap;

use crate::{Check, CheckId, SnpError, Verdict};

/// The checks made so far. A check that is never recorded ends as not evaluated, which refuses.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<CheckId, Check>);

impl Table {
    /// Records a check by its outcome; whether it passed.
    pub(crate) fn judge(
        &mut self,
        id: CheckId,
        expected: impl Into<String>,
        actual: impl Into<String>,
        passed: bool,
    ) -> bool {
        let verdict = if passed {
            Verdict::Passed
        } else {
            Verdict::Failed
        };
        self.record(id, expected.into(), actual.into(), verdict);
        passed
    }

    /// Records a check that gives what it saw, or why it refuses in the same terms.
    pub(crate) fn outcome(
        &mut self,
        id: CheckId,
        expected: impl Into<String>,
        outcome: Result<String, String>,
    ) -> bool {
        let passed = outcome.is_ok();
        let (Ok(actual) | Err(actual)) = outcome;
        self.judge(id, expected, actual, passed)
    }

    /// Records a check that gives what it saw, or refuses with a finding of its own.
    pub(crate) fn finding(
        &mut self,
        id: CheckId,
        expected: impl Into<String>,
        finding: Result<String, SnpError>,
    ) -> bool {
        match finding {
            Ok(actual) => self.judge(id, expected, actual, true),
            Err(SnpError::Refused {
                check,
                expected,
                actual,
            }) => self.judge(check, expected, actual, false),
            Err(error @ SnpError::Unusable { .. }) => {
                self.judge(id, expected, error.to_string(), false)
            }
        }
    }

    /// Records that the requirements do not ask for a check.
    pub(crate) fn not_required(&mut self, id: CheckId, actual: impl Into<String>) {
        let expected = "no requirement".to_owned();
        self.record(id, expected, actual.into(), Verdict::NotRequired);
    }

    pub(crate) fn passed(&self, id: CheckId) -> bool {
        self.0.get(&id).is_some_and(|check| check.verdict.accepts())
    }

    /// Every check in order, those not recorded as not evaluated.
    pub(crate) fn finish(mut self) -> Vec<Check> {
        CheckId::ALL
            .into_iter()
            .map(|id| {
                self.0.remove(&id).unwrap_or_else(|| Check {
                    id,
                    expected: id.what().to_owned(),
                    actual: "unknown, an earlier check failed".to_owned(),
                    verdict: Verdict::NotEvaluated,
                })
            })
            .collect()
    }

    fn record(&mut self, id: CheckId, expected: String, actual: String, verdict: Verdict) {
        self.0.insert(
            id,
            Check {
                id,
                expected: cut(expected),
                actual: cut(actual),
                verdict,
            },
        );
    }
}

/// Both may quote evidence, and go into log lines and headers.
fn cut(text: String) -> String {
    const LIMIT: usize = 1024;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
