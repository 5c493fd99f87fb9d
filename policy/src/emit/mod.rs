//! Forms of deployment, each a function over the one model.

mod arm;
mod compose;
mod governance;
mod local;

pub use arm::arm;
pub use compose::{COMPOSE_GROUP, ComposeHost, compose};
pub use governance::governance;
pub use local::{LocalPlan, LocalProcess, LocalVolume, local};
