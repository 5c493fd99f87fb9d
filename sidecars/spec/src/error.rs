use std::fmt;

use sidecar_http::{Coded, Fault};
use thiserror::Error;

/// Longest place in an error text, in characters.
const LONGEST_PATH: usize = 200;
/// Longest reason in an error text, in characters.
const LONGEST_MESSAGE: usize = 600;

/// One thing that is wrong with a specification.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Stable code of the problem.
    pub code: &'static str,
    /// Where, such as `applications[demo-app].datasources`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(
        code: &'static str,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            path: printable(&path.into(), LONGEST_PATH),
            message: printable(&message.into(), LONGEST_MESSAGE),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.path, self.message)
    }
}

/// Why a specification is refused.
#[derive(Debug, Error)]
pub enum SpecError {
    /// The text is no YAML, or a value has the wrong type.
    #[error("the specification cannot be read: {reason}")]
    Unreadable {
        /// Where and why.
        reason: String,
    },
    /// Keys that no version of the specification knows.
    #[error("unknown keys: {}", list(.0))]
    UnknownKeys(Vec<Problem>),
    /// Fragments that contradict each other.
    #[error("the fragments contradict each other: {}", list(.0))]
    Conflicts(Vec<Problem>),
    /// The specification is readable and wrong.
    #[error("the specification is not valid: {}", list(.0))]
    Invalid(Vec<Problem>),
    /// A document in another shape than 4.0.0, with members that have no counterpart there.
    #[error("the specification's shape cannot be read: {}", list(.0))]
    Shape(Vec<Problem>),
    /// `protection.configuration` is not what it should be.
    #[error("protection configuration: {reason}")]
    Configuration {
        /// What is wrong.
        reason: String,
    },
}

impl SpecError {
    /// Every single problem, for output as a list.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::UnknownKeys(problems)
            | Self::Conflicts(problems)
            | Self::Invalid(problems)
            | Self::Shape(problems) => problems,
            Self::Unreadable { .. } | Self::Configuration { .. } => &[],
        }
    }
}

/// A text that quotes another party's document, fit for a terminal and a log: one line, no control characters, bounded.
pub(crate) fn printable(text: &str, longest: usize) -> String {
    let mut out = String::new();
    let mut blank = false;
    for (count, c) in text.chars().enumerate() {
        if count == longest {
            out.push('…');
            break;
        }
        // Direction marks and their like can make a text read as another.
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        let space = hidden || c.is_whitespace();
        if space && !blank && !out.is_empty() {
            out.push(' ');
        } else if !space {
            out.push(c);
        }
        blank = space;
    }
    out.trim_end().to_owned()
}

impl SpecError {
    pub(crate) fn unreadable(reason: impl ToString) -> Self {
        Self::Unreadable {
            reason: printable(&reason.to_string(), LONGEST_MESSAGE),
        }
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

impl Coded for SpecError {
    fn code(&self) -> &str {
        match self {
            Self::Unreadable { .. } => "CR-SPEC-0001",
            Self::UnknownKeys(_) => "CR-SPEC-0002",
            Self::Conflicts(_) => "CR-SPEC-0003",
            Self::Invalid(_) => "CR-SPEC-0004",
            Self::Configuration { .. } => "CR-SPEC-0005",
            Self::Shape(_) => "CR-SPEC-0006",
        }
    }

    fn fault(&self) -> Fault {
        Fault::Caller
    }
}
