use sidecar_http::{Coded, Fault};
use thiserror::Error;

/// Why a policy cannot be read, or a question not be answered.
#[derive(Debug, Error)]
pub enum SimulateError {
    /// Too long.
    #[error("the text is longer than {limit} bytes")]
    TooLong {
        /// The most that is read.
        limit: usize,
    },
    /// Not the part of Rego that a policy needs.
    #[error("line {line}: {reason}")]
    Syntax {
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A rule that no version of the platform asks for.
    #[error("line {line}: unknown rule {name:?}; nobody can say what it is for")]
    UnknownRule {
        /// The rule.
        name: String,
        /// Where, from 1.
        line: usize,
    },
    /// A rule has a value of another kind than it must have.
    #[error("rule {name:?}: {reason}")]
    Rule {
        /// The rule.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A point that the platform does not have.
    #[error("there is no enforcement point {point:?}")]
    Point {
        /// The point.
        point: String,
    },
    /// A question without what the point needs.
    #[error("the input of {point}: {reason}")]
    Input {
        /// The point.
        point: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// The text of a denial is none.
    #[error("no policy decision: {reason}")]
    Denial {
        /// What is wrong.
        reason: String,
    },
    /// A template that no group can be started from, or one that leaves open what its policy pins.
    #[error("template: {reason}")]
    Template {
        /// What is wrong.
        reason: String,
    },
    /// The framework file cannot be used.
    #[error("framework: {reason}")]
    Framework {
        /// What is wrong.
        reason: String,
    },
}

impl Coded for SimulateError {
    fn code(&self) -> &str {
        match self {
            Self::TooLong { .. } => "CR-SIM-0001",
            Self::Syntax { .. } => "CR-SIM-0002",
            Self::UnknownRule { .. } => "CR-SIM-0003",
            Self::Rule { .. } => "CR-SIM-0004",
            Self::Point { .. } => "CR-SIM-0005",
            Self::Input { .. } => "CR-SIM-0006",
            Self::Denial { .. } => "CR-SIM-0007",
            Self::Framework { .. } => "CR-SIM-0008",
            Self::Template { .. } => "CR-SIM-0009",
        }
    }

    fn fault(&self) -> Fault {
        Fault::Caller
    }
}
