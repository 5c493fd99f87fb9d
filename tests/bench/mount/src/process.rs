//! Processes that end with this one, and a place for mounts that ends with them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde::Serialize;

/// Room for what gocryptfs stores.
const ROOM: &str = "size=3g";
const POLL: Duration = Duration::from_millis(5);
const START: Duration = Duration::from_secs(30);

/// An empty directory in memory that only this process and its children see. Must be called before any thread starts.
pub(crate) fn private_room() -> anyhow::Result<PathBuf> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace: root is needed")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let room = Path::new("/mnt");
    mount(
        Some("bench"),
        room,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(ROOM),
    )?;
    Ok(room.to_owned())
}

/// A child that is told what to do line by line.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    to: Option<ChildStdin>,
    from: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts this program in another role; `spec` is its first line.
    pub(crate) fn role(name: &str, spec: &impl Serialize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(format!("role-{name}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let mut running = Self {
            to: child.stdin.take(),
            from: child.stdout.take().map(BufReader::new),
            child,
        };
        running.tell(&serde_json::to_string(spec)?)?;
        Ok(running)
    }

    /// Starts another program.
    pub(crate) fn program(command: &mut Command) -> anyhow::Result<Self> {
        let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
        Ok(Self {
            child,
            to: None,
            from: None,
        })
    }

    /// Says a line and waits for the answer.
    pub(crate) fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        self.tell(line)?;
        self.hear()
    }

    fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let to = self.to.as_mut().context("a child that listens")?;
        writeln!(to, "{line}").context("a child has ended")
    }

    /// The next line.
    pub(crate) fn hear(&mut self) -> anyhow::Result<String> {
        let from = self.from.as_mut().context("a child that speaks")?;
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            bail!("a child has ended");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Most resident memory so far, in bytes.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line
            .and_then(|line| line.split_whitespace().next())
            .context("VmHWM")?
            .parse()?;
        Ok(kib << 10)
    }

    /// Waits until something is mounted at `path`.
    pub(crate) fn wait_mounted(&mut self, path: &Path) -> anyhow::Result<()> {
        let parent = path.parent().context("a mount point with a parent")?;
        let device = |path: &Path| nix::sys::stat::stat(path).map(|stat| stat.st_dev);
        let end = Instant::now() + START;
        while device(path)? == device(parent)? {
            if let Some(status) = self.child.try_wait()? {
                bail!("a child has ended: {status}");
            }
            if Instant::now() > end {
                bail!("nothing was mounted at {}", path.display());
            }
            pause();
        }
        Ok(())
    }

    /// Waits for the end of a child whose mount is gone.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Unmounts; a moment later if somebody still has it open.
pub(crate) fn unmount(path: &Path) -> anyhow::Result<()> {
    let end = Instant::now() + START;
    loop {
        match umount2(path, MntFlags::empty()) {
            Err(nix::errno::Errno::EBUSY) if Instant::now() < end => pause(),
            outcome => return outcome.with_context(|| format!("unmounting {}", path.display())),
        }
    }
}

/// There is nothing to wait on but the kernel's tables.
#[expect(
    clippy::disallowed_methods,
    reason = "nobody tells when a mount appears or is free"
)]
fn pause() {
    std::thread::sleep(POLL);
}

/// Starts a program that gets SIGKILL when this process ends.
#[allow(unsafe_code)]
fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    // SAFETY: one system call between fork and exec.
    unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
    let name = command.get_program().to_owned();
    command
        .spawn()
        .with_context(|| format!("starting {}", name.display()))
}
