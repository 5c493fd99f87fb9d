//! The OCI runtime as a subprocess: create, start, signal, delete.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{RunRequest, bundle};
use crate::{Config, LaunchError, Limits};

/// Name of the container for the runtime.
const CONTAINER: &str = "application";
/// Where a unified hierarchy would be.
const CGROUP: &str = "/sys/fs/cgroup";

pub(super) struct Runtime<'a> {
    config: &'a Config,
    dir: PathBuf,
    pid: Option<Pid>,
    used: bool,
}

/// Why the application was not started.
pub(super) enum StartError {
    NoLimits,
    Failed(String),
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl<'a> Runtime<'a> {
    pub(super) fn new(config: &'a Config) -> Result<Self, LaunchError> {
        let dir = config.args.runner_dir.clone();
        let failed = |error| LaunchError::io(dir.display().to_string(), error);
        // Only root may look in, so that no bundle can be changed between writing and running.
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(failed)?;
        }
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .map_err(failed)?;
        fs::create_dir(dir.join("bundle")).map_err(failed)?;
        Ok(Self {
            config,
            dir,
            pid: None,
            used: false,
        })
    }

    pub(super) fn start(
        &mut self,
        request: &RunRequest,
        streams: Vec<OwnedFd>,
    ) -> Result<(), StartError> {
        if std::mem::replace(&mut self.used, true) {
            return Err(StartError::Failed(
                "the application was started already".to_owned(),
            ));
        }
        let [stdout, stderr] = <[OwnedFd; 2]>::try_from(streams)
            .map_err(|_| StartError::Failed("standard output and error are missing".to_owned()))?;
        let limited = cgroup_available();
        if !limited && self.config.args.limits == Limits::Enforced {
            return Err(StartError::NoLimits);
        }
        let spec = bundle::spec(self.config, request, limited).map_err(StartError::Failed)?;
        let text =
            serde_json::to_vec(&spec).map_err(|error| StartError::Failed(error.to_string()))?;
        fs::write(self.dir.join("bundle/config.json"), text)?;
        let pid_file = self.dir.join("pid");
        let mut create = self.crun(limited);
        create
            .arg("create")
            .arg("--bundle")
            .arg(self.dir.join("bundle"))
            .arg("--pid-file")
            .arg(&pid_file);
        create.arg("--no-new-keyring");
        if self.config.args.no_pivot {
            create.arg("--no-pivot");
        }
        create
            .arg(CONTAINER)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        self.step("create", create)?;
        let pid = fs::read_to_string(&pid_file)?;
        let pid: i32 = pid
            .trim()
            .parse()
            .map_err(|_| StartError::Failed("no process id".to_owned()))?;
        self.pid = Some(Pid::from_raw(pid));
        let mut start = self.crun(limited);
        start
            .arg("start")
            .arg(CONTAINER)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.step("start", start)
    }

    fn step(&self, name: &str, mut command: Command) -> Result<(), StartError> {
        let status = command.status().map_err(|error| {
            StartError::Failed(format!(
                "{}: {error}",
                self.config.args.oci_runtime.display()
            ))
        })?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let last = log.lines().last().unwrap_or("no reason given");
        Err(StartError::Failed(format!("{name}: {last}")))
    }

    fn crun(&self, limited: bool) -> Command {
        let mut command = Command::new(&self.config.args.oci_runtime);
        command
            .env_clear()
            .arg("--root")
            .arg(self.dir.join("state"))
            .arg("--log")
            .arg(self.log());
        command.arg(if limited {
            "--cgroup-manager=cgroupfs"
        } else {
            "--cgroup-manager=disabled"
        });
        command
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            let _ = kill(pid, signal);
        }
    }

    /// Whether an ended process was the application.
    pub(super) fn ended(&mut self, pid: Pid) -> bool {
        let ours = self.pid == Some(pid);
        if ours {
            self.pid = None;
        }
        ours
    }

    pub(super) fn clean_up(&self) {
        self.signal(Signal::SIGKILL);
        let mut delete = self.crun(false);
        delete
            .args(["delete", "--force", CONTAINER])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _ = delete.status();
    }
}

/// Whether there is a unified hierarchy with the controllers we need, and it is writable.
fn cgroup_available() -> bool {
    let root = Path::new(CGROUP);
    let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) else {
        return false;
    };
    let has = |name| {
        controllers
            .split_whitespace()
            .any(|controller| controller == name)
    };
    let writable = nix::unistd::access(
        &root.join("cgroup.subtree_control"),
        nix::unistd::AccessFlags::W_OK,
    )
    .is_ok();
    has("cpu") && has("memory") && has("pids") && writable
}
