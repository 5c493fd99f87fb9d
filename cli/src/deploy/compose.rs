//! The `compose` target: the group as containers of this machine's Docker.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use policy::ContainerGroup;
use policy::emit::COMPOSE_GROUP;
use serde::de::DeserializeOwned;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::DeployError;
use super::admission::{self, Basis};
use super::created::{Created, ImageOf, Places};
use super::group_dir::{GroupDir, MAIN};
use super::mountinfo::{mounts_below, on_shared_mount};

/// For the launcher to end a running application, seal and export.
const STOP: Duration = Duration::from_secs(90);
/// Exit code of a process that was killed before anybody saw one.
const KILLED: i32 = 137;

/// How a group ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit code.
    pub(super) code: i32,
    /// How many containers the policy was asked for.
    pub(super) creates: usize,
}

/// Makes the containers, asks the policy about each, starts the group, waits for its end, writes its logs and removes it.
pub(super) async fn run(
    directory: &GroupDir,
    group: &ContainerGroup,
    basis: &Basis<'_>,
    network: Option<String>,
) -> Result<Ended, DeployError> {
    if !on_shared_mount(directory.root())? {
        return Err(DeployError::NotShared {
            path: directory.root().display().to_string(),
        });
    }
    let project = Project {
        file: directory.write_compose(group, basis.images, network)?,
        name: directory.project(),
    };
    // Whatever happens from here on, nothing of the group stays behind. A request to stop waits for the start.
    let signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let outcome = match project.admit(directory, basis).await {
        Ok(creates) => {
            let code = project.until_end(&directory.logs(), signals).await;
            code.map(|code| Ended { code, creates })
        }
        Err(error) => Err(error),
    };
    let removed = project.remove(directory.root()).await;
    let ended = outcome?;
    removed?;
    Ok(ended)
}

/// Requests to stop, from here on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

struct Project {
    file: PathBuf,
    name: String,
}

impl Project {
    /// Makes every container without starting it, and asks the policy about what Docker then says they are; gives how many
    /// it allowed. Only the one that holds the network runs by then, since docker-compose lets nobody join it before.
    async fn admit(&self, directory: &GroupDir, basis: &Basis<'_>) -> Result<usize, DeployError> {
        self.compose(&["up", "--no-start", "--no-build", COMPOSE_GROUP])
            .await?;
        let holder = self.container(COMPOSE_GROUP).await?;
        let holder: Vec<Created> = inspected(&["inspect"], &[&holder]).await?;
        admission::admit_network(basis, &holder)?;
        let network = holder.first().map_or("", Created::id);
        run_docker(&["start", network]).await?;
        self.compose(&["create", "--no-build", "--no-recreate"])
            .await?;
        let containers = self.containers().await?;
        let ids: Vec<&str> = containers.iter().map(|(_, id)| id.as_str()).collect();
        let created: Vec<Created> = inspected(&["inspect"], &ids).await?;
        let of: BTreeSet<&str> = created.iter().map(Created::image).collect();
        let of: Vec<&str> = of.into_iter().collect();
        let images: Vec<ImageOf> = inspected(&["image", "inspect"], &of).await?;
        let (volumes, (context, context_target)) = (directory.volumes(), directory.context());
        let places = Places {
            volumes: &volumes,
            context: &context,
            context_target,
            network,
        };
        let record = directory.requests();
        admission::admit(basis, &created, &images, &places, &record)
    }

    /// From `up` to the end of the main container.
    async fn until_end(&self, logs: &Path, mut signals: Signals) -> Result<i32, DeployError> {
        // The containers that were asked for, whatever the document says by now.
        let up = self.compose(&["up", "-d", "--no-build", "--no-recreate"]);
        let up = up.await;
        if let Err(error) = up {
            // Which init container failed, and why, is in its log.
            self.write_logs(logs).await?;
            return Err(error);
        }
        let main = self.container(MAIN).await?;
        let wait = end_of(&main)?;
        // Docker takes the network away from everybody with the container that owns it.
        let network = self.container(COMPOSE_GROUP).await?;
        let cut_off = end_of(&network)?;
        tokio::pin!(wait, cut_off);
        // Counted from the first request to stop; further ones change nothing.
        let mut deadline = None;
        let output = loop {
            tokio::select! {
                biased;
                output = &mut wait => break output?,
                _ = &mut cut_off => {
                    say("the group has no network any more: nothing can be sealed or told, so it is ended");
                    // It may have ended by itself.
                    let _ = run_docker(&["kill", &main]).await;
                    break wait.await?;
                }
                _ = signals.terminate.recv() => {},
                _ = signals.interrupt.recv() => {},
                () = until(deadline) => {
                    run_docker(&["kill", &main]).await?;
                    break wait.await?;
                }
            }
            if deadline.is_none() {
                deadline = Some(Instant::now() + STOP);
                run_docker(&["kill", "--signal", "TERM", &main]).await?;
            }
        };
        let code = String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .unwrap_or(KILLED);
        self.report().await?;
        self.compose(&["stop", "--timeout", "10"]).await?;
        self.write_logs(logs).await?;
        Ok(code)
    }

    /// Tells which containers did not end well.
    async fn report(&self) -> Result<(), DeployError> {
        for (name, id) in self.containers().await? {
            let format = "{{.State.Running}} {{.State.ExitCode}}";
            let state = run_docker(&["inspect", "--format", format, &id]).await?;
            if let Some(code) = state.trim().strip_prefix("false ").filter(|c| *c != "0") {
                say(&format!("container {name} ended with exit code {code}"));
            }
        }
        Ok(())
    }

    /// One file per container, what it wrote to standard output and error.
    async fn write_logs(&self, folder: &Path) -> Result<(), DeployError> {
        for (name, id) in self.containers().await? {
            let log = std::fs::File::create(folder.join(format!("{name}.log")))?;
            let mut command = docker(&["logs", &id]);
            command.stdout(log.try_clone()?).stderr(log);
            command.status().await?;
        }
        Ok(())
    }

    /// Every container by service name.
    async fn containers(&self) -> Result<Vec<(String, String)>, DeployError> {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        let format = "{{.Label \"com.docker.compose.service\"}} {{.ID}}";
        let listed = run_docker(&["ps", "--all", "--filter", &filter, "--format", format]).await?;
        let lines = listed.lines().filter_map(|line| line.split_once(' '));
        Ok(lines
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect())
    }

    async fn container(&self, service: &str) -> Result<String, DeployError> {
        let all = self.containers().await?;
        let found = all.into_iter().find(|(name, _)| name == service);
        found.map(|(_, id)| id).ok_or_else(|| DeployError::Start {
            name: service.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// Removes containers, networks, and the mounts that a killed container left.
    async fn remove(&self, directory: &Path) -> Result<(), DeployError> {
        let down = self.compose(&["down", "--timeout", "5", "--volumes"]).await;
        if down.is_err() {
            // The document may not be readable any more; its containers are all the same to be removed.
            let left = self.containers().await.unwrap_or_default();
            let ids: Vec<&str> = left.iter().map(|(_, id)| id.as_str()).collect();
            if !ids.is_empty() {
                let remove = ["rm", "--force", "--volumes"].as_slice();
                // That they could not be removed in order is told either way.
                let _ = run_docker(&[remove, &ids].concat()).await;
            }
        }
        let mut left = Ok(());
        for point in mounts_below(directory)? {
            // One that stays must not keep the others.
            let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
            if let Err(errno) = umount2(&point, flags) {
                left = Err(errno);
            }
        }
        down?;
        Ok(left?)
    }

    async fn compose(&self, arguments: &[&str]) -> Result<String, DeployError> {
        let mut command = tool("docker-compose");
        command
            .arg("--project-name")
            .arg(&self.name)
            .arg("--file")
            .arg(&self.file)
            .args(arguments);
        finish(command).await
    }
}

#[expect(clippy::print_stderr, reason = "the deployment's terminal")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// Returns at the end of a container, with its exit code as text.
fn end_of(container: &str) -> Result<impl Future<Output = std::io::Result<Output>>, DeployError> {
    let mut wait = docker(&["wait", container]);
    wait.stdout(Stdio::piped()).kill_on_drop(true);
    Ok(wait.spawn()?.wait_with_output())
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn docker(arguments: &[&str]) -> Command {
    let mut command = tool("docker");
    command.args(arguments);
    command
}

/// A command with the little environment it needs: where Docker is, and nothing of the operator's credentials. A terminal's
/// ^C does not reach it.
fn tool(program: &str) -> Command {
    let kept = ["PATH", "HOME", "DOCKER_HOST"];
    let kept = kept
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(kept)
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// Docker's own account of containers or images.
async fn inspected<T: DeserializeOwned>(
    verb: &[&str],
    ids: &[&str],
) -> Result<Vec<T>, DeployError> {
    Ok(serde_json::from_str(
        &run_docker(&[verb, ids].concat()).await?,
    )?)
}

async fn run_docker(arguments: &[&str]) -> Result<String, DeployError> {
    finish(docker(arguments)).await
}

/// Runs a command that must work and gives its output.
async fn finish(mut command: Command) -> Result<String, DeployError> {
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let failed = |reason: String| DeployError::Docker {
        command: name.clone(),
        reason,
    };
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(failed(String::from_utf8_lossy(&stderr).trim().to_owned()))
}
