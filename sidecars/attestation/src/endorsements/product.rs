use std::fmt;

use crate::Report;

/// A generation of processors, as AMD's certificates spell it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Product {
    /// Third generation EPYC.
    Milan,
    /// Fourth generation EPYC; AMD files Bergamo and Siena under the same roots.
    Genoa,
    /// Fifth generation EPYC.
    Turin,
}

impl Product {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    pub(super) fn of_report(report: &Report) -> Option<Self> {
        // The family is combined, the model extended: CPUID Fn8000_0001.
        let [family, model] = *report.as_bytes().get(0x188..0x18a)?.first_chunk()?;
        if report.version() < 3 {
            return None;
        }
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
