use std::fmt;
use std::sync::Arc;

use sidecar_http::{Coded, Fault, HttpsError, Response};

use crate::{AttestError, Report};

/// One source that had no certificates for the report, and why.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    source: String,
    reason: String,
    /// The same question may be answered later.
    retry: bool,
    /// What the certificates of this chip vouched for instead.
    other_tcb: Option<u64>,
}

impl Attempt {
    pub(super) fn new(source: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            reason: reason.into(),
            retry: false,
            other_tcb: None,
        }
    }

    pub(super) fn later(source: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            retry: true,
            ..Self::new(source, reason)
        }
    }

    pub(super) fn other_tcb(source: impl Into<String>, tcb: u64) -> Self {
        Self {
            other_tcb: Some(tcb),
            ..Self::new(source, format!("certificates for TCB {tcb:016X}"))
        }
    }

    pub(super) fn http(source: impl Into<String>, error: &HttpsError) -> Self {
        Self {
            retry: error.fault() == (Fault::Upstream { retry: true }),
            ..Self::new(source, sidecar_http::chain(error))
        }
    }

    pub(super) fn status(source: impl Into<String>, response: &Response) -> Self {
        let status = response.status;
        Self {
            retry: matches!(status.as_u16(), 408 | 429 | 500..=599),
            ..Self::new(source, format!("answered {status}"))
        }
    }
}

/// Every source that was tried for one report, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts(Arc<Vec<Attempt>>);

impl From<Vec<Attempt>> for Attempts {
    fn from(attempts: Vec<Attempt>) -> Self {
        Self(Arc::new(attempts))
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, attempt) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", attempt.source, attempt.reason)?;
        }
        Ok(())
    }
}

impl Attempts {
    /// Whether the same question may be answered later.
    pub(super) fn retry(&self) -> bool {
        self.0.iter().any(|attempt| attempt.retry)
    }

    /// The error of a report for which nobody had certificates.
    pub(super) fn into_error(self, report: &Report) -> AttestError {
        let tried = self.to_string();
        let reported = format!("{:016X}", report.reported_tcb());
        let mut endorsed: Vec<String> = self
            .0
            .iter()
            .filter_map(|attempt| attempt.other_tcb)
            .map(|tcb| format!("{tcb:016X}"))
            .collect();
        endorsed.dedup();
        if !endorsed.is_empty() {
            return AttestError::TcbMismatch {
                endorsed: endorsed.join(", "),
                reported,
                tried,
            };
        }
        AttestError::NoEndorsements {
            chip: super::chip_shown(report),
            reported,
            tried,
            retry: self.retry(),
        }
    }
}
