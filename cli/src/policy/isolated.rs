//! The general evaluator in a process of its own: a hostile policy can use up its stack or its memory, which ends a process.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, Output, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use policy_simulate::SimulateError;

use super::NO;
use crate::CliError;

/// Says to the second process that it is the one.
pub(super) const VARIABLE: &str = "CLEANROOM_POLICY_ISOLATED";
/// The most address space of the evaluator, bytes.
const MAX_MEMORY: u64 = 4 << 30;

/// Runs this very command once more, and hands on what it says.
pub(super) fn again() -> Result<ExitCode, CliError> {
    let failed = |error| CliError::io("the evaluator's process", error);
    let output = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, "true")
        .stdin(Stdio::inherit())
        .output()
        .map_err(failed)?;
    match output.status.code() {
        Some(code @ 0..=2) => hand_on(&output, code),
        Some(code) if code == i32::from(NO) => hand_on(&output, code),
        _ => {
            let status = output.status;
            let how = match (status.signal(), status.code()) {
                (Some(signal), _) => format!("signal {signal}"),
                (None, code) => format!("exit code {}", code.unwrap_or_default()),
            };
            let reason = format!(
                "the evaluator ended with {how}: the policy, the framework or a question asks for more than it has"
            );
            Err(SimulateError::Framework { reason }.into())
        }
    }
}

fn hand_on(output: &Output, code: i32) -> Result<ExitCode, CliError> {
    let failed = |error| CliError::io("standard output", error);
    std::io::stdout()
        .write_all(&output.stdout)
        .map_err(failed)?;
    std::io::stderr()
        .write_all(&output.stderr)
        .map_err(failed)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Bounds this process, and keeps its end from being written to disk.
pub(super) fn bounded() -> Result<(), CliError> {
    let limits = || {
        for (resource, most) in [
            (Resource::RLIMIT_AS, MAX_MEMORY),
            (Resource::RLIMIT_CORE, 0),
        ] {
            let (soft, hard) = getrlimit(resource)?;
            setrlimit(resource, soft.min(most), hard)?;
        }
        Ok(())
    };
    limits().map_err(|error: nix::Error| CliError::io("the limits of the evaluator", error.into()))
}
