//! One model of the container group, and every form of deployment made from it (`docs/architecture.md`).
//!
//! [`build`] turns a validated specification and the image manifest into a [`ContainerGroup`]. Everything else is an emitter
//! over the same value, the CCE policy that the hardware measures among them ([`emit::cce`]): a container that is described
//! twice is a bug.

mod build;
mod canonical;
mod dataset;
pub mod emit;
mod error;
mod group;
mod images;
mod supported;

pub use build::{Deployment, Lifecycle, build, build_for};
pub use canonical::canonical_json;
pub use error::PolicyError;
pub use group::{Container, ContainerGroup, ExecProbe, HostData, ImageReference, Mount, Volume};
pub use images::{ImageEntry, ImageLayer, ImageManifest, Layers};
