//! The OCI bundle of the application (design §9).

use std::collections::BTreeMap;

use oci_spec::runtime::Spec;
use serde_json::{Value, json};
use sidecar_http::services::APPLICATION_UID;

use super::{RunRequest, seccomp};
use crate::Config;

const HOME: &str = "/home/application";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PROCESSES: u64 = 1024;

/// The container: uid 1000, no capability, no new privilege, read-only root, its own namespaces with a loopback device for
/// network, system calls by an allow list, and exactly the datasets of the measured application.
///
/// # Errors
/// The command is empty or too long, or a path is not absolute.
pub fn spec(config: &Config, request: &RunRequest, limited: bool) -> Result<Spec, String> {
    let program = request
        .command
        .first()
        .ok_or("the image names no program and the contract none either")?;
    if program.is_empty() || request.command.len() > 4096 {
        return Err("the command is not usable".to_owned());
    }
    if !request.working_dir.starts_with('/') {
        return Err(format!(
            "working directory {:?} is not absolute",
            request.working_dir
        ));
    }
    let none: [&str; 0] = [];
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": APPLICATION_UID, "gid": APPLICATION_UID},
            "args": request.command,
            "env": environment(&request.environment),
            "cwd": request.working_dir,
            "capabilities": {"bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none},
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
            "noNewPrivileges": true,
        },
        "root": {"path": config.args.scratch.join("rootfs"), "readonly": true},
        "hostname": config.application.name,
        "mounts": mounts(config),
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}],
            "rootfsPropagation": "rprivate",
            "maskedPaths": [
                "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger",
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

fn environment(wanted: &[String]) -> Vec<String> {
    let mut environment = BTreeMap::from([("PATH", PATH), ("HOME", HOME)]);
    environment.extend(wanted.iter().filter_map(|entry| entry.split_once('=')));
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

/// CPU and memory that the contract asks for, as limits.
fn resources(config: &Config) -> Value {
    let requests = config.application.runtime_settings.resource.requests;
    let memory = requests.memory_in_gb * f64::from(1 << 30);
    let quota = requests.cpu * 100_000.0;
    json!({
        "memory": {"limit": memory.round(), "swap": memory.round()},
        "cpu": {"quota": quota.round(), "period": 100_000},
        "pids": {"limit": PROCESSES},
    })
}
