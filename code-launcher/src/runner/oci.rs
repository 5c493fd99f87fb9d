//! The OCI runtime as a subprocess: create, start, signal, delete.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use sidecar_http::services::APPLICATION_UID;

use super::bundle;
use super::protocol::{Gathered, ImageSettings};
use crate::{
    APPLICATION_FOLDER, AUDIT_FOLDER, Config, INFRASTRUCTURE_FOLDER, LaunchError, OWN_PROGRAM,
    ROOT, roles,
};

/// Name of the container for the runtime.
const CONTAINER: &str = "application";
/// Where a unified hierarchy would be.
const CGROUP: &str = "/sys/fs/cgroup";

pub(super) struct Runtime<'a> {
    config: &'a Config,
    dir: PathBuf,
    pid: Option<Pid>,
    stage: Stage,
    limited: bool,
}

/// A runtime runs one container, once.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Stage {
    New,
    Created,
    Used,
}

/// Why something was not done, for the launcher's log.
pub(super) struct StartError(pub(super) String);

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl<'a> Runtime<'a> {
    pub(super) fn new(config: &'a Config) -> Result<Self, LaunchError> {
        let dir = config.args.runner_dir.clone();
        let failed = |error: std::io::Error| LaunchError::io(dir.display().to_string(), error);
        // Mounts of the shims still arrive here; what is mounted here is nobody else's.
        let own = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| {
            let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
            mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        });
        own.map_err(|errno| LaunchError::io("the runner's mount namespace", errno))?;
        let limited = cgroup_available();
        if !limited && Path::new(CGROUP).exists() {
            // crun refuses a machine with both kinds of hierarchies even when it is told to leave them alone.
            let empty = mount(
                Some("tmpfs"),
                CGROUP,
                Some("tmpfs"),
                MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
                None::<&str>,
            );
            empty.map_err(|errno| LaunchError::io("an empty cgroup folder", errno))?;
        }
        // In memory, seen by nobody else and entered by root only: no bundle can be changed between writing and running, and
        // the image's own root stays read-only.
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let hidden = mount(
            Some("tmpfs"),
            &dir,
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
            Some("mode=0700,size=16m"),
        );
        hidden.map_err(|errno| LaunchError::io("the runner's folder", errno))?;
        fs::create_dir(dir.join("bundle")).map_err(failed)?;
        Ok(Self {
            config,
            dir,
            pid: None,
            stage: Stage::New,
            limited,
        })
    }

    /// Makes the container; its program waits for [`Runtime::start`].
    pub(super) fn create(
        &mut self,
        image: &ImageSettings,
        streams: Vec<OwnedFd>,
    ) -> Result<(), StartError> {
        if std::mem::replace(&mut self.stage, Stage::Used) != Stage::New {
            return Err(StartError("the application was started already".to_owned()));
        }
        let [stdout, stderr] = <[OwnedFd; 2]>::try_from(streams)
            .map_err(|_| StartError("standard output and error are missing".to_owned()))?;
        let root = self.bind_root()?;
        let spec = bundle::spec(self.config, &root, image, self.limited).map_err(StartError)?;
        let text = serde_json::to_vec(&spec).map_err(|error| StartError(error.to_string()))?;
        fs::write(self.dir.join("bundle/config.json"), text)?;
        let pid_file = self.dir.join("pid");
        let mut create = self.crun();
        create
            .arg("create")
            .arg("--bundle")
            .arg(self.dir.join("bundle"))
            .arg("--pid-file")
            .arg(&pid_file)
            .arg("--no-new-keyring");
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
            .map_err(|_| StartError("no process id".to_owned()))?;
        self.pid = Some(Pid::from_raw(pid));
        self.stage = Stage::Created;
        Ok(())
    }

    /// Starts the program of the container.
    pub(super) fn start(&mut self) -> Result<(), StartError> {
        if std::mem::replace(&mut self.stage, Stage::Used) != Stage::Created {
            return Err(StartError("there is no container to start".to_owned()));
        }
        let mut start = self.crun();
        start
            .arg("start")
            .arg(CONTAINER)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.step("start", start)
    }

    /// The unpacked image at a place that only root can change. Its folder belongs to the launcher proper, who could put a
    /// link in its stead: the bind is made from a descriptor that no link was followed for.
    fn bind_root(&self) -> Result<PathBuf, StartError> {
        let step = |what: &str, errno: Errno| StartError(format!("{what}: {errno}"));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let scratch = open(&self.config.args.scratch, flags, Mode::empty())
            .map_err(|errno| step("the scratch folder", errno))?;
        let root = openat(&scratch, ROOT, flags, Mode::empty())
            .map_err(|errno| step("the unpacked image", errno))?;
        let here = self.dir.join(ROOT);
        fs::create_dir(&here)?;
        let source = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
        mount(
            Some(&source),
            &here,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(|errno| step("binding the unpacked image", errno))?;
        Ok(here)
    }

    /// Copies what was gathered into its sink, as a child with the sink's user: the mount lets nobody else write.
    pub(super) fn export(&self, what: Gathered) -> Result<usize, StartError> {
        let args = &self.config.args;
        let below = |folder: &str| args.telemetry_path.join(folder);
        let (sink, folder) = match what {
            Gathered::Logs => (&args.logs_sink, below(APPLICATION_FOLDER)),
            Gathered::Telemetry => (&args.telemetry_sink, below(INFRASTRUCTURE_FOLDER)),
            Gathered::Audit => (
                &args.telemetry_sink,
                below(APPLICATION_FOLDER).join(AUDIT_FOLDER),
            ),
        };
        let sink = sink
            .as_ref()
            .ok_or_else(|| StartError("there is no sink for it".to_owned()))?;
        let copied = Command::new(OWN_PROGRAM)
            .arg(roles::EXPORT)
            .arg(folder)
            .arg(args.remote_mounts.join(sink))
            .env_clear()
            .uid(APPLICATION_UID)
            .gid(APPLICATION_UID)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&copied.stdout);
        match said.trim().parse() {
            Ok(files) if copied.status.success() => Ok(files),
            _ => Err(StartError(said.trim().to_owned())),
        }
    }

    fn step(&self, name: &str, mut command: Command) -> Result<(), StartError> {
        let status = command.status().map_err(|error| {
            StartError(format!(
                "{}: {error}",
                self.config.args.oci_runtime.display()
            ))
        })?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let last = log.lines().last().unwrap_or("no reason given");
        Err(StartError(format!("{name}: {last}")))
    }

    fn crun(&self) -> Command {
        let mut command = Command::new(&self.config.args.oci_runtime);
        command
            .env_clear()
            .arg("--root")
            .arg(self.dir.join("state"))
            .arg("--log")
            .arg(self.log());
        command.arg(if self.limited {
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
        if self.stage == Stage::New {
            return;
        }
        let mut delete = self.crun();
        delete
            .args(["delete", "--force", CONTAINER])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _ = delete.status();
        let _ = umount2(&self.dir.join(ROOT), MntFlags::MNT_DETACH);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Whether there is a unified hierarchy with the controllers we need, and it is writable.
pub(super) fn cgroup_available() -> bool {
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
