//! What a CCE policy allows, worked out from its text alone.
//!
//! A voter need not believe the generator: this crate reads the text that is measured and answers, point by point, what the
//! utility VM would answer. It shares no code with what writes policies. Its answers are checked against the decisions of the
//! real enforcer. [`Document`] reads a text, [`Simulator`] answers questions.

mod api;
mod candidate;
mod container;
mod decision;
mod denial;
mod device;
mod document;
mod environment;
mod error;
mod explain;
mod fragment;
#[cfg(feature = "framework")]
mod framework;
mod input;
pub mod lint;
mod mounts;
mod pattern;
mod plain;
pub mod platform;
mod simulator;
pub mod syntax;
mod template;
mod version;
mod view;

pub use api::{Missing, POINTS, Point, find};
pub use decision::{Decision, Finding};
pub use denial::Denial;
pub use document::{
    Answer, Capabilities, Container, Document, EnvRule, ExecProcess, ExternalProcess, Identity,
    Import, MountRule, UserRule,
};
pub use error::SimulateError;
pub use explain::Explained;
#[cfg(feature = "framework")]
pub use framework::Framework;
pub use input::Question;
pub use plain::Plain;
pub use simulator::Simulator;
pub use template::Template;
pub use version::Version;
pub use view::{Change, changes};
