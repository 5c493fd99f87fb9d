//! Process 1 of a local group.
//!
//! Runs inside its own mount and PID namespaces, so that whatever ends the deployment ends every process and every mount of
//! the group with it. Its standard input is the deployment's hold on it: end of file means stop.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::mounts::{self, Mount};
use super::{DeployError, privileges};

/// What the supervisor runs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Runs to its end before anything else starts.
    pub init: Vec<Process>,
    /// Start at once and together, as ACI does it.
    pub containers: Vec<Process>,
    /// The container whose end is the group's end.
    pub main: String,
    /// Volumes and files of the group.
    pub mounts: Vec<Mount>,
    /// One log per container.
    pub log_dir: PathBuf,
}

/// One container as a process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Process {
    pub name: String,
    pub executable: PathBuf,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub uid: u32,
    pub gid: u32,
    pub capabilities: Vec<String>,
}

/// Time for sidecars to leave by themselves once the launcher has; it has asked them to stop already.
const LEAVE: Duration = Duration::from_secs(10);
/// Time for the launcher to end a running application, seal and export.
const STOP: Duration = Duration::from_secs(90);

/// Runs the group described by the plan file; the launcher's exit code is the outcome.
pub(super) fn run(plan_file: &Path) -> Result<ExitCode, DeployError> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(plan_file)?)?;
    mounts::enter(&plan.mounts)?;
    // Blocked before the first child exists, so that no end of a child goes unnoticed.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut group = Group {
        plan: &plan,
        signals,
        running: BTreeMap::new(),
        stop: false,
    };
    for process in &plan.init {
        group.start(process)?;
        let code = group.until(&process.name, None)?;
        if code != 0 {
            return Err(DeployError::Init {
                name: process.name.clone(),
                code,
            });
        }
    }
    for process in &plan.containers {
        group.start(process)?;
    }
    let code = group.until(&plan.main, Some(STOP))?;
    group.leave()?;
    Ok(ExitCode::from(code))
}

struct Group<'a> {
    plan: &'a Plan,
    signals: SignalFd,
    running: BTreeMap<i32, String>,
    stop: bool,
}

impl Group<'_> {
    fn start(&mut self, process: &Process) -> Result<(), DeployError> {
        let log = File::create(self.plan.log_dir.join(format!("{}.log", process.name)))?;
        let mut command = Command::new(&process.executable);
        command
            .args(&process.args)
            .env_clear()
            .envs(&process.env)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let identity = privileges::Identity::of(process)?;
        privileges::apply(&mut command, identity);
        let child = command.spawn().map_err(|source| DeployError::Start {
            name: process.name.clone(),
            source,
        })?;
        self.running
            .insert(child.id().cast_signed(), process.name.clone());
        Ok(())
    }

    /// Waits for the end of one container and returns its exit code; 128 + signal for a killed one. Asked to stop, it
    /// passes SIGTERM on and, after `patience`, SIGKILL.
    fn until(&mut self, name: &str, patience: Option<Duration>) -> Result<u8, DeployError> {
        let mut deadline = None;
        loop {
            if let Some(code) = self.reap(name)? {
                return Ok(code);
            }
            if self.stop && deadline.is_none() {
                self.signal(name, Signal::SIGTERM);
                deadline = Some(Instant::now() + patience.unwrap_or(LEAVE));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.signal(name, Signal::SIGKILL);
            }
            self.wait(deadline)?;
        }
    }

    /// Ends what is still running.
    fn leave(&mut self) -> Result<(), DeployError> {
        for pid in self.running.keys() {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGTERM);
        }
        let deadline = Instant::now() + LEAVE;
        while !self.running.is_empty() && Instant::now() < deadline {
            self.reap("")?;
            if !self.running.is_empty() {
                self.wait(Some(deadline))?;
            }
        }
        for pid in self.running.keys() {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        Ok(())
    }

    fn signal(&self, name: &str, signal: Signal) {
        for (pid, running) in &self.running {
            if running == name {
                let _ = kill(Pid::from_raw(*pid), signal);
            }
        }
    }

    /// Collects every ended child (process 1 inherits orphans) and tells the exit code of `name`.
    fn reap(&mut self, name: &str) -> Result<Option<u8>, DeployError> {
        let mut outcome = None;
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, u8::try_from(code).unwrap_or(u8::MAX)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid, 128 + u8::try_from(signal as i32).unwrap_or(127))
                }
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return Ok(outcome),
                Ok(_) | Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if let Some(ended) = self.running.remove(&pid.as_raw()) {
                if code != 0 {
                    log(&format!("container {ended} ended with exit code {code}"));
                }
                if ended == name {
                    outcome = Some(code);
                }
            }
        }
    }

    /// Returns at the next signal, at end of file on standard input, or at the deadline.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), DeployError> {
        let stdin = std::io::stdin();
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if !self.stop {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let held = fds.get(1).and_then(PollFd::revents);
        if held.is_some_and(|events| !events.is_empty()) {
            // Whatever arrives, the hold is gone at end of file.
            self.stop |= std::io::stdin().read(&mut [0; 64]).unwrap_or(0) == 0;
        }
        while let Some(signal) = self.signals.read_signal()? {
            self.stop |= signal.ssi_signo != Signal::SIGCHLD as u32;
        }
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "the deployment's terminal")]
fn log(text: &str) {
    eprintln!("{text}");
}
