//! Forms of deployment, each a function over the one model.

mod arm;
pub mod cce;
mod compose;
mod governance;
mod local;

pub use arm::arm;
pub use compose::{COMPOSE_GROUP, ComposeHost, compose};
pub use governance::governance;
pub use local::{LocalPlan, LocalProcess, LocalVolume, local};
