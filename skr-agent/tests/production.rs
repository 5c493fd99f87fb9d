//! The production binary over a device whose reports are signed by the test root: it starts, it reads everything, and it
//! gives out nothing.
//!
//! Needs root and `/dev/fuse`: the device is a configfs of the test's own, mounted where the kernel's would be, in a mount
//! namespace of the process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

#[path = "../../sidecars/attestation/tests/device/configfs.rs"]
#[expect(dead_code, reason = "the device's own tests use all of it")]
mod configfs;
#[path = "../../sidecars/attestation/tests/device/mounted.rs"]
mod mounted;

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cleanroom_crypto::digest::sha256;
use serde_json::Value;
use sidecar_http::services::{self, Service};
use tempfile::TempDir;

use configfs::Configfs;
use mounted::Mounted;

const POLICY: &[u8] = br#"{"name":"litware"}"#;
const PATIENCE: Duration = Duration::from_secs(60);

/// A report as the hardware of the test root would give it for this question.
fn answer(report_data: &[u8]) -> Vec<u8> {
    let report_data = report_data.try_into().unwrap();
    emulators::amd::issue_report(&sha256(POLICY), &report_data).unwrap()
}

/// The running agent, the directories of its group, and its device.
struct Agent {
    running: Child,
    dir: TempDir,
    _device: Mounted,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

impl Agent {
    fn start() -> Self {
        let device = Mounted::new(Configfs::default());
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().join("context");
        emulators::amd::write_context(&context, POLICY).unwrap();
        let sockets = dir.path().join(&*services::SKR_AGENT.name);
        std::fs::create_dir(&sockets).unwrap();
        let uid = Some(services::SKR_AGENT.uid);
        chown(&sockets, uid, uid).unwrap();
        for path in [dir.path(), &context] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let place = "mount -t tmpfs tmpfs /sys/kernel && mkdir -p /sys/kernel/config/tsm/report \
                     && mount --bind \"$0\" /sys/kernel/config/tsm/report && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", place]);
        command.arg(device.path());
        command.args(Self::command_line(dir.path()));
        let running = command.stderr(Stdio::null()).spawn().unwrap();
        Self {
            running,
            dir,
            _device: device,
        }
    }

    fn command_line(dir: &Path) -> Vec<String> {
        let (sockets, context) = (dir.display(), dir.join("context"));
        vec![
            env!("CARGO_BIN_EXE_skr-agent").to_owned(),
            format!("--socket-dir={sockets}"),
            format!("--security-context-dir={}", context.display()),
        ]
    }

    /// What the binary's own probe says.
    fn probe(&self) -> Output {
        let line = Self::command_line(self.dir.path());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).arg("--probe").output().unwrap()
    }

    /// An answer over the socket to another sidecar.
    fn ask(&self, caller: &Service, path: &str) -> Value {
        let socket = services::SKR_AGENT.socket(self.dir.path());
        let body = r#"{"runtime_data":"e30="}"#;
        let answer = Command::new("curl")
            .uid(caller.uid)
            .gid(caller.uid)
            .args(["--silent", "--max-time", "30", "--data", body])
            .arg("--unix-socket")
            .arg(socket)
            .arg(format!("http://localhost{path}"))
            .output()
            .unwrap();
        serde_json::from_slice(&answer.stdout).unwrap()
    }
}

#[test]
fn the_production_binary_believes_no_test_root() {
    let agent = Agent::start();
    let end = Instant::now() + PATIENCE;
    let reason = loop {
        let probe = agent.probe();
        assert!(!probe.status.success(), "it is ready under a test root");
        let text = String::from_utf8(probe.stderr).unwrap();
        if text.contains("verification (") {
            break text;
        }
        assert!(Instant::now() < end, "{text}");
    };
    for part in ["CR-SKR-0045", "CR-SNP-0011 root-pinned"] {
        assert!(reason.contains(part), "{reason}");
    }
    // It did get a report, the context and certificates that fit.
    let closed = reason.split("waiting for ").last().unwrap();
    assert!(closed.starts_with("verification ("), "{reason}");

    let answer = agent.ask(&services::GOVERNANCE, "/attest/combined");
    assert_eq!(answer["error"]["code"], "CR-SKR-0045", "{answer}");
    let checks = answer["checks"].as_array().unwrap();
    let failed: Vec<&str> = checks
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    for name in ["root-pinned", "uvm-issuer"] {
        assert!(failed.contains(&name), "{failed:?}");
    }
    assert!(answer.get("evidence").is_none());
}
