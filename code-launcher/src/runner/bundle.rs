//! The OCI bundle of the application.

use std::collections::BTreeMap;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};
use sidecar_http::services::APPLICATION_UID;

use super::{ImageSettings, seccomp};
use crate::Config;

const HOME: &str = "/home/application";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Processes and threads of the application.
const PROCESSES: u64 = 4096;
const FILES: u64 = 65_536;
/// Linux' longest host name.
const HOST_NAME: usize = 64;

/// The container: uid 1000, no capability, no new privilege, read-only root, its own namespaces with a loopback device for
/// network, system calls by an allow list, and exactly the datasets of the measured application. `limited` puts it into a
/// cgroup with the contract's limits; without, only what rlimits can bound is bounded.
///
/// # Errors
/// There is no command, or it or the working directory is not usable.
pub fn spec(
    config: &Config,
    root: &Path,
    image: &ImageSettings,
    limited: bool,
) -> Result<Spec, String> {
    let application = &config.application;
    let command = if application.command.is_empty() {
        &image.command
    } else {
        &application.command
    };
    let program = command
        .first()
        .ok_or("the image names no program and the contract none either")?;
    if program.is_empty() || command.len() > 4096 {
        return Err("the command is not usable".to_owned());
    }
    let working_dir = image.working_dir.as_deref().unwrap_or("/");
    if !working_dir.starts_with('/') {
        return Err(format!("working directory {working_dir:?} is not absolute"));
    }
    let none: [&str; 0] = [];
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": APPLICATION_UID, "gid": APPLICATION_UID},
            "args": command,
            "env": environment(config, image),
            "cwd": working_dir,
            "capabilities": {"bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none},
            "rlimits": rlimits(config, limited),
            "noNewPrivileges": true,
        },
        "root": {"path": root, "readonly": true},
        "hostname": application.name.chars().take(HOST_NAME).collect::<String>(),
        "mounts": mounts(config),
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}],
            "rootfsPropagation": "rprivate",
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/timer_stats",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
            "seccomp": seccomp::profile(),
        },
    });
    if limited && let Some(linux) = spec.get_mut("linux").and_then(Value::as_object_mut) {
        linux.insert("resources".to_owned(), resources(config));
        linux.insert("cgroupsPath".to_owned(), "/cleanroom-application".into());
    }
    serde_json::from_value(spec).map_err(|error| error.to_string())
}

/// The image's variables, and over them the measured ones of the application.
fn environment(config: &Config, image: &ImageSettings) -> Vec<String> {
    let mut environment = BTreeMap::from([("PATH", PATH), ("HOME", HOME)]);
    let of_image = image.environment.iter();
    environment.extend(of_image.filter_map(|entry| entry.split_once('=')));
    let own = config.application.environment_variables.iter();
    environment.extend(own.map(|(name, value)| (name.as_str(), value.as_str())));
    environment
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn mounts(config: &Config) -> Value {
    let scratch = |path: &str, size: &str, mode: &str| {
        json!({
            "destination": path, "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "nodev", format!("mode={mode}"), format!("size={size}"),
                format!("uid={APPLICATION_UID}"), format!("gid={APPLICATION_UID}")],
        })
    };
    // No sysfs: it tells about the machine, and programs do without.
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=64k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
        scratch("/dev/shm", "64m", "1777"),
        scratch("/tmp", "256m", "1777"),
        scratch("/run", "16m", "755"),
        scratch(HOME, "64m", "700"),
    ];
    let application = &config.application;
    let datasets = [
        (&application.datasources, "ro"),
        (&application.datasinks, "rw"),
    ];
    for (names, access) in datasets {
        for (name, target) in names {
            mounts.push(json!({
                "destination": target, "type": "bind", "source": config.args.remote_mounts.join(name),
                "options": ["rbind", "rslave", "nosuid", "nodev", access],
            }));
        }
    }
    Value::from(mounts)
}

/// Never above what this process may have: raising a limit needs a capability that nobody here holds.
fn rlimits(config: &Config, limited: bool) -> Value {
    let mut limits = vec![json!({"type": "RLIMIT_CORE", "soft": 0, "hard": 0})];
    let mut limit = |name: &str, resource: Resource, wanted: u64| {
        let allowed = getrlimit(resource).map_or(wanted, |(_, hard)| wanted.min(hard));
        limits.push(json!({"type": name, "soft": allowed, "hard": allowed}));
    };
    limit("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE, FILES);
    limit("RLIMIT_NPROC", Resource::RLIMIT_NPROC, PROCESSES);
    if !limited {
        // Per process, so it bounds an honest mistake, not an attack; the cgroup is what enforces.
        limit("RLIMIT_DATA", Resource::RLIMIT_DATA, memory(config));
    }
    Value::from(limits)
}

/// CPU and memory that the contract asks for, as limits.
fn resources(config: &Config) -> Value {
    let quota = config.application.runtime_settings.resource.requests.cpu * 100_000.0;
    json!({
        "memory": {"limit": memory(config), "swap": memory(config)},
        "cpu": {"quota": whole(quota), "period": 100_000},
        "pids": {"limit": PROCESSES},
    })
}

/// The memory that the contract asks for, in bytes.
fn memory(config: &Config) -> u64 {
    let requests = config.application.runtime_settings.resource.requests;
    whole(requests.memory_in_gb * f64::from(1 << 30))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and the configuration has refused what is not positive"
)]
fn whole(number: f64) -> u64 {
    (number.round() as u64).min(i64::MAX.unsigned_abs())
}
