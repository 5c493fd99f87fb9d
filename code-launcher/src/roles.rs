//! Work on hostile input in processes of their own, which can do nothing else.
//!
//! The program starts itself with a first argument that names the role. Such a process opens no socket, starts no other
//! process, and writes below one directory only.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use landlock::{
    ABI, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, path_beneath_rules,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use sidecar_kit::{EXIT_FAILED, Privileges, harden};

use crate::{LaunchError, export, unpack};

/// First argument of a process that unpacks one layer from its standard input.
pub(crate) const UNPACK: &str = "unpack";
/// First argument of a process that copies gathered files into a sink.
pub(crate) const EXPORT: &str = "export";

/// Address space in bytes: a layer that asks for more ends the process that reads it, and nothing else.
const MEMORY: u64 = 2 << 30;

/// Connections and other programs.
const DENIED: [i64; 8] = [
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_clone3,
];

/// Plays the role that the first argument names; `None` if it names none and this is the launcher.
pub fn play() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let role = args.next()?;
    let outcome = match role.to_str()? {
        UNPACK => unpack_role(args).map(|()| String::new()),
        EXPORT => export_role(args).map(|files| files.to_string()),
        _ => return None,
    };
    let (code, said) = match outcome {
        Ok(said) => (ExitCode::SUCCESS, said),
        Err(error) => (ExitCode::from(EXIT_FAILED), report(&error)),
    };
    // The parent reads it; if it is gone, so is everybody who could care.
    let _ = io::stdout().write_all(said.as_bytes());
    Some(code)
}

fn unpack_role(mut args: impl Iterator<Item = OsString>) -> Result<(), LaunchError> {
    let compression = unpack::Compression::of(&text(args.next())?)
        .ok_or_else(|| usage("the layer's media type"))?;
    let diff_id = text(args.next())?;
    let root = PathBuf::from(args.next().ok_or_else(|| usage("the root"))?);
    confine(&root)?;
    let layer = Box::new(io::stdin().lock());
    unpack::unpack_verified(layer, compression, &diff_id, &root, unpack::Caps::default())
}

fn export_role(mut args: impl Iterator<Item = OsString>) -> Result<usize, LaunchError> {
    let from = PathBuf::from(args.next().ok_or_else(|| usage("the folder"))?);
    let sink = PathBuf::from(args.next().ok_or_else(|| usage("the sink"))?);
    confine(&sink)?;
    export::copy(&from, &sink).map_err(|error| LaunchError::io("a file for the sink", error))
}

/// An error as the parent reads it: which entry, and what is wrong.
fn report(error: &LaunchError) -> String {
    let (entry, reason) = match error {
        LaunchError::Layer { entry, reason } => (entry.as_str(), reason.clone()),
        other => ("", sidecar_http::chain(other)),
    };
    serde_json::json!({"entry": entry, "reason": reason}).to_string()
}

fn text(argument: Option<OsString>) -> Result<String, LaunchError> {
    argument
        .and_then(|argument| argument.into_string().ok())
        .ok_or_else(|| usage("an argument"))
}

fn usage(what: &str) -> LaunchError {
    LaunchError::Config {
        reason: format!("{what} is missing"),
    }
}

/// Gives up everything but writing below `writable`.
fn confine(writable: &Path) -> Result<(), LaunchError> {
    let failed = |error: &dyn std::fmt::Display| {
        LaunchError::io("confinement", io::Error::other(error.to_string()))
    };
    nix::sys::prctl::set_pdeathsig(Some(Signal::SIGKILL)).map_err(|error| failed(&error))?;
    let hard = getrlimit(Resource::RLIMIT_AS).map_or(MEMORY, |(_, hard)| hard.min(MEMORY));
    setrlimit(Resource::RLIMIT_AS, hard, hard).map_err(|error| failed(&error))?;
    harden(&Privileges::none()).map_err(|error| failed(&error))?;
    landlock(writable).map_err(|error| failed(&error))?;
    let filter = filter().map_err(|error| failed(&error))?;
    seccompiler::apply_filter(&filter).map_err(|error| failed(&error))
}

/// Where the kernel has no Landlock, ownership and the other steps remain.
fn landlock(writable: &Path) -> Result<(), RulesetError> {
    let writing = AccessFs::from_write(ABI::V3);
    Ruleset::default()
        .handle_access(writing)?
        .create()?
        .add_rules(path_beneath_rules([writable], writing))?
        .restrict_self()
        .map(|_| ())
}

fn filter() -> Result<BpfProgram, seccompiler::Error> {
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        DENIED.iter().map(|call| (*call, Vec::new())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        TargetArch::x86_64,
    )?;
    Ok(filter.try_into()?)
}
