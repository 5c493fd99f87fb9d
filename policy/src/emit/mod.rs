//! Forms of deployment, each a function over the one model.

mod arm;
pub mod cce;
mod compose;
mod governance;
mod local;
mod pod;
mod template;

pub use arm::arm;
pub use compose::{COMPOSE_GROUP, ComposeHost, compose};
pub use governance::governance;
pub use local::{LocalPlan, LocalProcess, LocalVolume, local};
pub use pod::pod;
pub use template::{Resources, TemplateOptions};
