use sidecar_http::{Coded, Fault};
use thiserror::Error;

use crate::CheckId;

/// Why evidence is not accepted.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SnpError {
    /// A check failed.
    #[error("{check}: {}: expected {expected}, actual {actual}", check.what())]
    Refused {
        /// The check.
        check: CheckId,
        /// What it asks for.
        expected: String,
        /// What the evidence has.
        actual: String,
    },
    /// What the caller gave the verifier to judge by is unusable.
    #[error("{what}: {reason}")]
    Unusable {
        /// Which root, issuer or requirement.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl SnpError {
    /// The check that failed, if one did.
    pub const fn check(&self) -> Option<CheckId> {
        match self {
            Self::Refused { check, .. } => Some(*check),
            Self::Unusable { .. } => None,
        }
    }
}

impl Coded for SnpError {
    fn code(&self) -> &str {
        match self {
            Self::Refused { check, .. } => check.code(),
            Self::Unusable { .. } => "CR-SNP-0080",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Refused { .. } => Fault::Denied,
            Self::Unusable { .. } => Fault::Caller,
        }
    }
}

pub(crate) fn refused(
    check: CheckId,
    expected: impl Into<String>,
    actual: impl Into<String>,
) -> SnpError {
    SnpError::Refused {
        check,
        expected: expected.into(),
        actual: actual.into(),
    }
}

/// Foreign text as a table may show it: printable and short.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT: usize = 200;
    let mut out: String = text
        .chars()
        .take(LIMIT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(LIMIT).is_some() {
        out.push('…');
    }
    out
}
