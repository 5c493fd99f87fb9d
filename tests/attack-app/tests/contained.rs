//! The attack application in the launcher's bundle, under the OCI runtime that rooms use. Needs root and crun.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use code_launcher::runner::{ImageSettings, spec};
use code_launcher::{Args, Config};
use serde_json::{Value, json};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    /// An unpacked image with the attack application, one source, one sink, and a source that was not granted.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let room = Self { folder };
        let root = room.path("rootfs");
        for directory in ["rootfs", "remote/input", "remote/output", "remote/foreign"] {
            std::fs::create_dir_all(room.path(directory)).unwrap();
        }
        std::fs::copy(env!("CARGO_BIN_EXE_attack-app"), root.join("attack-app")).unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(room.path("remote/input/input.txt"), "data of litware").unwrap();
        std::fs::write(room.path("remote/foreign/secret.txt"), "data of fabrikam").unwrap();
        chown(room.path("remote/output"), Some(1000), Some(1000)).unwrap();
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> Config {
        let resource = json!({"type": "AzureContainerRegistry", "name": "app", "id": format!("operator.azurecr.io/app@sha256:{}", "0".repeat(64)),
            "provider": {"protocol": "AzureContainerRegistry", "url": "https://operator.azurecr.io"}});
        let application = json!({
            "name": "attack-app",
            "image": {
                "executable": {"documentType": "OCI", "backingResource": resource},
                "enforcementPolicy": {},
            },
            "environmentVariables": {"INPUT_LOCATION": "/mnt/remote/input", "OUTPUT_LOCATION": "/mnt/remote/output"},
            "datasources": {"input": "/mnt/remote/input"},
            "datasinks": {"output": "/mnt/remote/output"},
            "runtimeSettings": {"resource": {"requests": {"cpu": 1.0, "memoryInGB": 1.0}}},
        });
        let encoded = BASE64_STANDARD.encode(application.to_string());
        let remote = self.path("remote");
        let words = [
            "launcher",
            "--application-name",
            "attack-app",
            "--application-base-64",
            &encoded,
            "--contract-id",
            "c1",
            "--shim",
            "input=10020",
            "--shim",
            "output=10021",
            "--remote-mounts",
            remote.to_str().unwrap(),
        ];
        Config::try_from(Cli::parse_from(words).args).unwrap()
    }

    fn run(&self) -> Output {
        let image = ImageSettings {
            command: vec!["/attack-app".to_owned()],
            ..ImageSettings::default()
        };
        let spec = spec(&self.config(), &self.path("rootfs"), &image, false).unwrap();
        std::fs::create_dir(self.path("bundle")).unwrap();
        let text = serde_json::to_vec(&spec).unwrap();
        std::fs::write(self.path("bundle/config.json"), text).unwrap();
        // As the runner does it: crun refuses this machine's cgroups even when it is told to leave them alone.
        let script = r#"mount -t tmpfs tmpfs /sys/fs/cgroup && exec crun "$@""#;
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "crun", "--root"])
            .arg(self.path("state"))
            .args([
                "--cgroup-manager=disabled",
                "run",
                "--no-new-keyring",
                "--bundle",
            ])
            .arg(self.path("bundle"))
            .arg(self.id())
            .output()
            .expect("unshare and crun are installed by tests/setup")
    }

    fn id(&self) -> String {
        let name = self.folder.path().file_name().unwrap();
        format!("attack{}", name.to_str().unwrap().replace('.', "-"))
    }
}

/// Runs the attacks; what they met, and the container's exit code.
fn attack(room: &Room) -> (Value, Option<i32>) {
    let output = room.run();
    let Ok(report) = std::fs::read(room.path("remote/output/report.json")) else {
        panic!("no report: {}", String::from_utf8_lossy(&output.stderr));
    };
    (
        serde_json::from_slice(&report).unwrap(),
        output.status.code(),
    )
}

#[test]
fn no_attack_gets_out_of_the_container() {
    // Something to reach, if only the network namespace were shared.
    let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let room = Room::new();
    let (report, code) = attack(&room);
    let attempts = report.as_object().unwrap();
    let worked: Vec<&String> = attempts
        .iter()
        .filter(|(_, met)| met["ok"] != json!(false))
        .map(|(name, _)| name)
        .collect();
    assert!(worked.is_empty(), "{worked:?}");
    assert_eq!(code, Some(0));
    assert!(attempts.len() > 45, "{}", attempts.len());
    assert!(!room.path("remote/input/attack").exists());
}

#[test]
fn every_wall_stands_for_the_reason_it_was_built_for() {
    let room = Room::new();
    let (report, _) = attack(&room);
    let expected = [
        // Not reachable at all, however the call is made.
        (
            "EPERM",
            "bpf clone_user chroot io_uring keyctl mount open_by_handle perf_event pivot_root \
             process_vm_readv ptrace setns socket_kernel_crypto socket_netlink socket_packet \
             socket_raw_ipv4 socket_raw_ipv6 socket_vsock syslog umount unshare_network unshare_user \
             userfaultfd",
        ),
        // No privilege.
        ("EPERM", "setuid_root device_node"),
        // No network but an empty loopback device.
        ("ECONNREFUSED", "loopback_tcp"),
        (
            "ENETUNREACH",
            "metadata_service wire_server internet name_server",
        ),
        // Nothing there.
        (
            "ENOENT",
            "sockets_listed socket_governance socket_secrets socket_skr-agent device_sev device_sev-guest \
             device_fuse device_kmsg device_mem device_vsock other_datasets write_cgroup",
        ),
        // There, and not to be written.
        ("EROFS", "write_input write_root"),
    ];
    for (errno, attempts) in expected {
        for attempt in attempts.split_whitespace() {
            assert_eq!(report[attempt]["stopped_by"], json!(errno), "{attempt}");
        }
    }
}
