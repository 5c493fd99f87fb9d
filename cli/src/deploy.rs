//! `cleanroom deploy`: starts the container group that the parties accepted.
//!
//! Whoever deploys is trusted with nothing: the group's bytes are hashed into the evidence, so a changed group gets no key.
//! The `local` target starts the containers as processes of this machine, each as its own user, in namespaces of their own,
//! with the virtual attester in the place of the SNP device.

mod admission;
mod compose;
mod created;
mod error;
mod group_dir;
mod mountinfo;
mod mounts;
mod privileges;
mod processes;
mod supervisor;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use policy::ContainerGroup;
use policy::emit::cce::{CceOptions, cce};
use serde::Serialize;

pub use error::DeployError;

use crate::policy::layers::LayerArgs;
use group_dir::GroupDir;

/// What an operator types.
#[derive(clap::Args, Debug)]
pub struct DeployArgs {
    /// The contract whose accepted deployment is started.
    #[arg(long)]
    pub contract_id: String,
    /// Name of the governance client.
    #[arg(long, env = "CLEANROOM_GOVERNANCE_CLIENT")]
    pub governance_client: String,
    /// `local`: processes of this machine. `compose`: containers of this machine's Docker.
    #[arg(long, default_value = "local")]
    pub target: String,
    /// An existing Docker network that the group joins, with `--target compose`.
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// Start this group instead of the accepted one. Its evidence differs, so vaults and CGS refuse it.
    #[arg(long, value_name = "FILE")]
    pub template_file: Option<PathBuf>,
    /// The images, with the executables of this machine.
    #[command(flatten)]
    pub layers: LayerArgs,
    /// A new directory for volumes, logs and the security context.
    #[arg(long, value_name = "DIRECTORY")]
    pub group_dir: PathBuf,
    /// Files of the platform beside the policy: `host-amd-cert-base64`, `reference-info-base64`.
    #[arg(long, value_name = "DIRECTORY")]
    pub platform_dir: Option<PathBuf>,
}

/// What a finished deployment tells.
#[derive(Debug, Serialize)]
struct Outcome {
    /// Exit code of the group: the application's, or 74/75 if output or the exit event was lost.
    exit_code: i32,
    /// From the start of the deployment to the application's first instruction.
    boot_ms: Option<u64>,
    /// Milliseconds since the start of the deployment, by phase.
    timeline: serde_json::Map<String, serde_json::Value>,
    /// How many containers were asked of the simulated policy before they started, all of which it allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    creates_allowed: Option<usize>,
    /// Logs of the containers, on this machine only.
    logs: PathBuf,
}

/// Starts the group, waits for its end and returns its exit code.
///
/// # Errors
/// The accepted deployment cannot be had or is not startable here. The application's own failure is an exit code.
pub async fn run(args: DeployArgs) -> Result<ExitCode, DeployError> {
    let started = SystemTime::now();
    if !["local", "compose"].contains(&args.target.as_str()) {
        return Err(DeployError::Target {
            target: args.target,
        });
    }
    let group = group(&args).await?;
    let unusable = |error| DeployError::Images(Box::new(error));
    let images = args.layers.manifest().map_err(unusable)?;
    let layers = args.layers.of(&group).map_err(unusable)?;
    let policy = cce(&group, &layers, &CceOptions::default())?;
    let directory = GroupDir::create(&args.group_dir, &policy, args.platform_dir.as_deref())?;
    let (code, creates_allowed) = match args.target.as_str() {
        "compose" => {
            let basis = admission::Basis {
                policy: policy.as_str(),
                images: &images,
                hashed: &layers,
            };
            let ended = compose::run(&directory, &group, &basis, args.network).await?;
            (ended.code, Some(ended.creates))
        }
        _ => {
            let plan = policy::emit::local(&group, &images)?;
            (processes::run(&directory, &plan).await?, None)
        }
    };
    let outcome = outcome(&directory, code, creates_allowed, started);
    print(&outcome)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// The accepted group, or the one of the file.
async fn group(args: &DeployArgs) -> Result<ContainerGroup, DeployError> {
    let data = match &args.template_file {
        Some(file) => serde_json::from_slice(&std::fs::read(file)?)?,
        None => crate::governance::deployment_spec(&args.governance_client, &args.contract_id)
            .await
            .map_err(Box::new)?,
    };
    if data.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(DeployError::NotAccepted {
            contract_id: args.contract_id.clone(),
        });
    }
    Ok(ContainerGroup::from_json(data)?)
}

/// Reads the launcher's own account of its start.
fn outcome(
    directory: &GroupDir,
    exit_code: i32,
    creates_allowed: Option<usize>,
    started: SystemTime,
) -> Outcome {
    let origin = millis(started);
    let mut timeline = serde_json::Map::new();
    if let Some(phases) = directory.launcher_timeline() {
        for (phase, at) in phases {
            timeline.insert(phase, at.saturating_sub(origin).into());
        }
    }
    Outcome {
        exit_code,
        boot_ms: timeline
            .get("application_started")
            .and_then(serde_json::Value::as_u64),
        timeline,
        creates_allowed,
        logs: directory.logs(),
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn print(outcome: &Outcome) -> Result<(), DeployError> {
    println!("{}", serde_json::to_string_pretty(outcome)?);
    Ok(())
}

/// The hidden command behind [`run`]: process 1 of the group.
///
/// # Errors
/// The namespaces cannot be arranged or a container cannot be started.
pub fn run_supervisor(plan: &Path) -> Result<ExitCode, DeployError> {
    supervisor::run(plan)
}
