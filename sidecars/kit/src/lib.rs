//! The process skeleton of every sidecar.
//!
//! `main` parses and hands over to [`run_process`], which answers probes, hardens the process before it reads an outside
//! byte, installs telemetry, watches SIGTERM and SIGINT, and turns the outcome into an exit code. The sidecar gets a
//! [`Process`]: its whole contract with the host.

mod args;
mod boot;
mod error;
mod flights;
mod harden;
mod latch;
mod log_file;
mod process;
mod run;
mod telemetry;

pub use args::CommonArgs;
pub use error::KitError;
pub use flights::Flights;
pub use harden::{Privileges, become_user, harden};
pub use latch::Latch;
pub use process::Process;
pub use run::{EXIT_CONFIG, EXIT_FAILED, refuse, run_process};
