//! An encrypting FUSE mount: clear text inside, cipher text in storage.
//!
//! The process starts as root, mounts, leaves a helper that can do nothing but unmount, becomes its own user, and only
//! then asks `secrets` for the one key that is granted to that user. The code launcher proves with a nonce that a mount is
//! served by this process, and seals a sink when the application has ended.

mod args;
mod error;
pub mod fuse;
mod key;
mod marker;
pub mod mount;
mod routes;
mod run;
mod tokens;

pub use args::{Args, EncryptionMode, KeyArgs};
pub use error::ShimError;
pub use run::start;
