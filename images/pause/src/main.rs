//! Owns the network namespace that the containers of a group share, and does nothing until it is told to end.
//!
//! In Azure the group's virtual machine is this owner; docker-compose needs a container for it.

use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};

fn main() -> ExitCode {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    // Process 1 gets only the signals it asks for.
    match signals.thread_block().and_then(|()| signals.wait()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
