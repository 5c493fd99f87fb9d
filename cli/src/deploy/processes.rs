//! The `local` target: the group as processes of this machine, held by a supervisor.

use std::path::Path;
use std::process::Stdio;

use policy::emit::LocalPlan;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::DeployError;
use super::group_dir::GroupDir;

/// Starts the group and waits for its end; gives its exit code.
pub(super) async fn run(directory: &GroupDir, plan: &LocalPlan) -> Result<i32, DeployError> {
    let plan_file = directory.write_plan(plan)?;
    let mut supervisor = spawn_supervisor(&plan_file)?;
    hold(&mut supervisor).await
}

/// Runs the supervisor as process 1 of new namespaces; it lives as long as our end of its standard input.
fn spawn_supervisor(plan: &Path) -> Result<Child, DeployError> {
    let own = std::env::current_exe()?;
    let child = Command::new("unshare")
        .args([
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg("--")
        .arg(own)
        .arg("group-supervisor")
        .arg(plan)
        // Nothing of the operator's environment, credentials least of all, goes into the group.
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        // A terminal's ^C reaches the whole foreground process group; only we act on it.
        .process_group(0)
        .spawn();
    child.map_err(|source| DeployError::Start {
        name: "unshare".to_owned(),
        source,
    })
}

/// Waits for the group; a signal lets go of it, which makes it seal, export and stop.
async fn hold(supervisor: &mut Child) -> Result<i32, DeployError> {
    let mut hold = supervisor.stdin.take();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            status = supervisor.wait() => return Ok(status?.code().unwrap_or(1)),
            _ = terminate.recv() => drop(hold.take()),
            _ = interrupt.recv() => drop(hold.take()),
        }
    }
}
