use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cleanroom_spec::Application;
use sidecar_http::services::{self, Service};

use crate::LaunchError;

/// What an operator types; all of it is measured.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Life cycle of the room.
    #[arg(long, default_value = "job")]
    pub profile: Profile,
    /// Name of the application.
    #[arg(long)]
    pub application_name: String,
    /// Base64 (standard or URL-safe) of the application's part of the specification, as JSON.
    #[arg(long, env = "APPLICATION_SETTINGS_BASE64")]
    pub application_base_64: String,
    /// The contract.
    #[arg(long)]
    pub contract_id: String,
    /// `<access name>=<uid>` of every shim of the group.
    #[arg(long = "shim", value_name = "NAME=UID")]
    pub shims: Vec<String>,
    /// Sink of the application's output.
    #[arg(long)]
    pub logs_sink: Option<String>,
    /// Sink of the sidecars' telemetry.
    #[arg(long)]
    pub telemetry_sink: Option<String>,
    /// Folder of the unpacked image and of the run's record.
    #[arg(long, default_value = "/run/cleanroom/launcher")]
    pub scratch: PathBuf,
    /// Where the shims mount.
    #[arg(long, default_value = "/mnt/remote")]
    pub remote_mounts: PathBuf,
    /// Where logs and telemetry are gathered.
    #[arg(long, default_value = "/mnt/telemetry")]
    pub telemetry_path: PathBuf,
    /// Seconds to wait for the commit of the exit event.
    #[arg(long, default_value_t = 600)]
    pub exit_commit_deadline: u64,
    /// Seconds that an answer to the consent question holds without a newer one.
    #[arg(long, default_value_t = 60)]
    pub max_staleness: u64,
    /// Seconds between two consent questions.
    #[arg(long, default_value_t = 3)]
    pub consent_interval: u64,
    /// Seconds for every dataset and the image to be ready.
    #[arg(long, default_value_t = 120)]
    pub start_deadline: u64,
    /// Seconds between SIGTERM and SIGKILL of the application.
    #[arg(long, default_value_t = 10)]
    pub stop_grace: u64,
    /// Whether a machine without a writable cgroup may run the application.
    #[arg(long, default_value = "enforced")]
    pub limits: Limits,
    /// The OCI runtime.
    #[arg(long, default_value = "/usr/bin/crun")]
    pub oci_runtime: PathBuf,
    /// Changes the root without `pivot_root`, which C-ACI's root does not allow.
    #[arg(long)]
    pub no_pivot: bool,
    /// Folder of the runner, for root only.
    #[arg(long, default_value = "/run/cleanroom-runner")]
    pub runner_dir: PathBuf,
}

/// What the end of the application means, and when the room is ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Profile {
    /// The application has a task and ends when it is done.
    Job,
    /// The application runs until somebody asks the room to stop.
    Service,
}

/// What happens where limits cannot be enforced.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Limits {
    /// Refuse.
    Enforced,
    /// Run all the same; the parties agreed to that.
    BestEffort,
}

/// What is true once the arguments are parsed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The arguments.
    pub args: Args,
    /// The application.
    pub application: Application,
    /// The shims by access name.
    pub shims: BTreeMap<String, Service>,
}

impl TryFrom<Args> for Config {
    type Error = LaunchError;

    fn try_from(args: Args) -> Result<Self, LaunchError> {
        let application = application(&args)?;
        let mut shims = BTreeMap::new();
        let mut problems = Vec::new();
        for shim in &args.shims {
            match shim
                .split_once('=')
                .map(|(name, uid)| (name, uid.parse::<u32>()))
            {
                Some((name, Ok(uid))) if services::is_shim(uid) => {
                    shims.insert(name.to_owned(), services::shim(name, uid));
                }
                _ => problems.push(format!("--shim {shim:?} is not <name>=<uid of a shim>")),
            }
        }
        let used = application
            .datasources
            .keys()
            .chain(application.datasinks.keys());
        for name in used.chain(&args.logs_sink).chain(&args.telemetry_sink) {
            if !shims.contains_key(name) {
                problems.push(format!("dataset {name:?} has no --shim"));
            }
        }
        if !application.image_reference().contains("@sha256:") {
            problems.push("the image is not given by digest".to_owned());
        }
        let targets = application.datasources.values();
        for target in targets.chain(application.datasinks.values()) {
            if !usable_target(target) {
                problems.push(format!("{target:?} is no place for a dataset"));
            }
        }
        let wanted = application.runtime_settings.resource.requests;
        for (what, amount) in [("cpu", wanted.cpu), ("memoryInGB", wanted.memory_in_gb)] {
            if !(amount > 0.0 && amount <= LARGEST_REQUEST) {
                problems.push(format!("{what} {amount} is not a usable limit"));
            }
        }
        if application.name.is_empty() || !application.name.bytes().all(is_name) {
            problems.push("the application's name is not of a-z, A-Z, 0-9, - and _".to_owned());
        }
        for name in PROXIES {
            if std::env::var_os(name).is_some() {
                problems.push(format!("{name} is set: the launcher goes through no proxy"));
            }
        }
        if problems.is_empty() {
            Ok(Self {
                args,
                application,
                shims,
            })
        } else {
            Err(LaunchError::Config {
                reason: problems.join("; "),
            })
        }
    }
}

/// Processors or GiB beyond any machine.
const LARGEST_REQUEST: f64 = 65_536.0;

/// What HTTP clients read from the environment.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The name becomes a file name, a host name and part of an audit event.
const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether a dataset may appear there: an absolute plain path that covers nothing of the container's own.
fn usable_target(target: &str) -> bool {
    const OWN: [&str; 4] = ["proc", "dev", "sys", "run"];
    let Some(rest) = target.strip_prefix('/') else {
        return false;
    };
    let mut parts = rest.split('/');
    let first = parts.clone().next().unwrap_or_default();
    !OWN.contains(&first)
        && parts.all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
}

/// The application of the measured argument.
pub(crate) fn application(args: &Args) -> Result<Application, LaunchError> {
    let refused = |reason: String| LaunchError::Config {
        reason: format!("--application-base-64: {reason}"),
    };
    let text = &args.application_base_64;
    let json = STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map_err(|error| refused(error.to_string()))?;
    let application: Application =
        serde_json::from_slice(&json).map_err(|error| refused(error.to_string()))?;
    if application.name != args.application_name {
        return Err(refused(format!(
            "is {:?}, not {:?}",
            application.name, args.application_name
        )));
    }
    Ok(application)
}

impl Args {
    pub(crate) const fn start_deadline(&self) -> Duration {
        Duration::from_secs(self.start_deadline)
    }

    pub(crate) const fn stop_grace(&self) -> Duration {
        Duration::from_secs(self.stop_grace)
    }
}
