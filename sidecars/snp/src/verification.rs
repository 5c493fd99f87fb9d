use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::error::refused;
use crate::{Check, CheckId, Endorsement, Report, SnpError, UvmEndorsement};

/// What the verifier found: every check in order.
#[derive(Clone, Debug)]
pub struct Verification {
    checks: Vec<Check>,
    report: Option<Report>,
    endorsement: Option<Endorsement>,
    uvm: Option<UvmEndorsement>,
}

/// A report that passed every check; nothing but [`Verification::into_verified`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedReport {
    report: Report,
    endorsement: Endorsement,
    uvm: Option<UvmEndorsement>,
}

impl Verification {
    pub(crate) const fn new(
        checks: Vec<Check>,
        report: Option<Report>,
        endorsement: Option<Endorsement>,
        uvm: Option<UvmEndorsement>,
    ) -> Self {
        Self {
            checks,
            report,
            endorsement,
            uvm,
        }
    }

    /// The table: one row for each of [`CheckId::ALL`].
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The row of a check.
    pub fn check(&self, id: CheckId) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }

    /// Whether every check passed or is not required.
    pub fn accepted(&self) -> bool {
        self.failure().is_none()
    }

    /// The first check that refuses: one that failed, before those that could not be evaluated for it.
    pub fn failure(&self) -> Option<&Check> {
        use crate::Verdict::{Failed, NotEvaluated};
        let first = |verdict| self.checks.iter().find(move |one| one.verdict == verdict);
        first(Failed).or_else(|| first(NotEvaluated))
    }

    /// The report as proof that it passed.
    ///
    /// # Errors
    /// [`SnpError::Refused`] with the first check that failed.
    pub fn into_verified(self) -> Result<VerifiedReport, SnpError> {
        if let Some(check) = self.failure() {
            return Err(refused(check.id, &check.expected, &check.actual));
        }
        match (self.report, self.endorsement) {
            (Some(report), Some(endorsement)) => Ok(VerifiedReport {
                report,
                endorsement,
                uvm: self.uvm,
            }),
            (None, _) => Err(refused(CheckId::ReportLength, "a report", "none")),
            (_, None) => Err(refused(CheckId::LeafExtensions, "an endorsement", "none")),
        }
    }
}

impl VerifiedReport {
    /// The report.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// What the leaf vouches for.
    pub const fn endorsement(&self) -> &Endorsement {
        &self.endorsement
    }

    /// The utility VM's endorsement, if the measurement was judged by one.
    pub const fn uvm_endorsement(&self) -> Option<&UvmEndorsement> {
        self.uvm.as_ref()
    }
}

impl Serialize for Verification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_struct("Verification", 2)?;
        table.serialize_field("accepted", &self.accepted())?;
        table.serialize_field("checks", &self.checks)?;
        table.end()
    }
}

/// One paragraph for each check, aligned, and the verdict as the last line.
impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check {
            id,
            expected,
            actual,
            verdict,
        } in &self.checks
        {
            writeln!(f, "{verdict:<13}  {id:<21}  {}", id.what())?;
            let (source, specification) = (id.source(), id.specification());
            for (name, text) in [
                ("expected", expected.as_str()),
                ("actual", actual.as_str()),
                ("source", &format!("{source} ({specification})")),
            ] {
                writeln!(f, "{:15}{name:<8}  {text}", "")?;
            }
        }
        match self.failure() {
            None => f.write_str("accepted"),
            Some(check) => write!(f, "REFUSED: {} {}", check.id.code(), check.id),
        }
    }
}
