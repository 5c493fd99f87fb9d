//! Who answers the questions to a policy: this program, or a framework that the caller brings.

use std::path::Path;
use std::time::{Duration, Instant};

use policy_simulate::syntax::MAX_TEXT;
use policy_simulate::{Decision, Document, Framework, Question, SimulateError, Simulator};
use sha2::{Digest, Sha256};

use super::{isolated, source};
use crate::CliError;

/// The longest that a framework may take for all questions; a policy's author chooses what it computes.
const MAX_TIME: Duration = Duration::from_secs(300);

/// Whoever answers.
pub(super) struct Judge {
    /// Hex SHA-256 of the policy.
    pub(super) host_data: String,
    who: Who,
}

enum Who {
    Ourselves(Box<Simulator>),
    Framework {
        framework: Box<Framework>,
        name: String,
        until: Instant,
    },
}

impl Judge {
    /// Reads the policy, and the framework if one is brought.
    pub(super) fn new(policy: &str, framework: Option<&Path>) -> Result<Self, CliError> {
        let host_data = hex::encode(Sha256::digest(policy));
        let who = match framework {
            None => Who::Ourselves(Box::new(Simulator::new(Document::policy(policy)?))),
            Some(path) => {
                let text = source::read(path)?;
                if text.len() > MAX_TEXT {
                    return Err(SimulateError::TooLong { limit: MAX_TEXT }.into());
                }
                isolated::bounded()?;
                let digest = hex::encode(Sha256::digest(&text));
                Who::Framework {
                    name: format!("the framework {}, SHA-256 {digest}", path.display()),
                    framework: Box::new(Framework::new(policy, &text)?),
                    until: Instant::now() + MAX_TIME,
                }
            }
        };
        Ok(Self { host_data, who })
    }

    pub(super) fn name(&self) -> &str {
        match &self.who {
            Who::Ourselves(_) => concat!(
                "cleanroom ",
                env!("CARGO_PKG_VERSION"),
                ", without a framework"
            ),
            Who::Framework { name, .. } => name,
        }
    }

    pub(super) fn ask(&mut self, question: &Question) -> Result<Decision, CliError> {
        match &mut self.who {
            Who::Ourselves(simulator) => Ok(simulator.ask(question)?),
            Who::Framework { until, .. } if Instant::now() > *until => {
                let reason = format!("the questions took more than {} s", MAX_TIME.as_secs());
                Err(SimulateError::Framework { reason }.into())
            }
            Who::Framework { framework, .. } => Ok(framework.ask(question)?),
        }
    }
}
