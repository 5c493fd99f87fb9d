//! The CCE policy: the Rego text that the utility VM enforces and whose SHA-256 is the report's host data.
//!
//! [`cce`] writes the policy of a group; [`Policy`] is the same text in parts, for anything else that a platform of confidential
//! containers may be asked to enforce. Equal parts give equal bytes on every machine. `docs/cce-policy.md` has the rules.

mod group;
mod json;
mod model;
mod platform;
mod text;

pub use group::{CceOptions, cce};
pub use model::{
    Capabilities, Container, EnvRule, ExecProcess, Fragment, Identity, Mount, Origin, Platform,
    Policy, Profile, Strategy, User,
};
pub(crate) use platform::DEFAULT_CAPABILITIES;
pub use platform::{
    OpenVariable, cluster_variables, fragment_of_the_platform, open_variables, pause, pod_mounts,
    resolv_conf, volume,
};
pub use text::PolicyText;
