//! A room around the launcher's own binary: sidecars that answer on their sockets under their own uids, datasets on real
//! FUSE mounts of the shim's file system over a store in memory, a registry over TLS, and crun.
#![allow(dead_code, reason = "each test uses a part")]

mod image;
mod peers;

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use blob_fs::{FileSystem, Mode, Options};
use blob_store::testing::MemoryStore;
use blob_store::{BlobStore, Condition};
use cleanroom_crypto::Dek;
use emulators::world::{World, WorldConfig};
use nix::mount::{MntFlags, umount2};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

pub(crate) use image::Image;
pub(crate) use peers::Peers;

const LAUNCHER: u32 = 10031;
const CAPABILITIES: &str = "-all,+chown,+dac_override,+fowner,+kill,+mknod,+net_admin,+setgid,+setpcap,+setuid,\
    +sys_admin,+sys_chroot";
/// Longer than any test should take; a hanging launcher fails instead.
const PATIENCE: Duration = Duration::from_secs(60);

/// Access names and uids of the shims; the first is read-only.
pub(crate) const SHIMS: [(&str, u32); 4] = [
    ("input", 10020),
    ("output", 10021),
    ("application-telemetry", 10022),
    ("infrastructure-telemetry", 10023),
];

pub(crate) struct Room {
    pub(crate) world: World,
    pub(crate) peers: Peers,
    pub(crate) stores: Vec<MemoryStore>,
    folder: tempfile::TempDir,
    mounts: Vec<PathBuf>,
    image: Image,
}

/// How a launcher ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

impl Room {
    pub(crate) async fn new() -> Self {
        sidecar_http::install_crypto_provider();
        let world = World::start(WorldConfig::two_parties()).await.unwrap();
        let image = Image::push(&world).await;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for (name, owner) in [
            ("sockets/code-launcher", LAUNCHER),
            ("scratch", LAUNCHER),
            ("telemetry/application", LAUNCHER),
            ("telemetry/infrastructure", 10001),
            ("boot", 0),
        ] {
            std::fs::create_dir_all(path(name)).unwrap();
            chown(path(name), Some(owner), Some(owner)).unwrap();
        }
        let traces = path("telemetry/infrastructure/identity.traces.jsonl");
        std::fs::write(traces, "{}\n").unwrap();
        let peers = Peers::start(&path("sockets")).await;
        let mut stores = Vec::new();
        let mut mounts = Vec::new();
        for (name, uid) in SHIMS {
            let store = MemoryStore::default();
            if name == "input" {
                let body = bytes::Bytes::from_static(b"data of litware");
                let put = store.put_blob("input.txt", body, &Condition::Always);
                put.await.unwrap();
            }
            let mount = path("remote").join(name);
            let fs = mounted(&store, &mount, uid, name == "input").await;
            peers.shim(&path("sockets"), name, uid, fs).await;
            mounts.push(mount);
            stores.push(store);
        }
        Self {
            world,
            peers,
            stores,
            folder,
            mounts,
            image,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn layer(&self) -> &str {
        &self.image.layer
    }

    /// What the application wrote into the store of a sink.
    pub(crate) fn stored(&self, sink: &str, name: &str) -> Option<Vec<u8>> {
        let index = SHIMS.iter().position(|(shim, _)| *shim == sink).unwrap();
        self.stores[index].bytes(name)
    }

    /// The events that were sealed into the telemetry sink.
    pub(crate) fn undelivered(&self) -> Vec<Value> {
        let stored = self.stored("infrastructure-telemetry", "undelivered-events.jsonl");
        let stored = String::from_utf8(stored.expect("undelivered events")).unwrap();
        let lines = stored.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    fn application(&self, command: &[&str]) -> Value {
        let reference = &self.image.reference;
        let resource = json!({"type": "AzureContainerRegistry", "name": "app", "id": reference,
            "provider": {"protocol": "AzureContainerRegistry", "url": "https://localhost"}});
        let command: Vec<&str> = ["/application"].iter().chain(command).copied().collect();
        json!({
            "name": "demo-app",
            "image": {"executable": {"documentType": "OCI", "backingResource": resource}, "enforcementPolicy": {}},
            "command": command,
            "environmentVariables": {"INPUT_LOCATION": "/data/in", "OUTPUT_LOCATION": "/data/out"},
            "datasources": {"input": "/data/in"},
            "datasinks": {"output": "/data/out"},
            "runtimeSettings": {"resource": {"requests": {"cpu": 1.0, "memoryInGB": 1.0}}},
        })
    }

    /// Starts the launcher with an application that gets this command line, and further arguments of its own.
    pub(crate) fn start(&self, command: &[&str], further: &[&str]) -> Child {
        self.start_by(Command::new("setpriv"), command, further)
    }

    /// The same, where neither the launcher nor a process of it may have more than `bytes` of memory of its own.
    pub(crate) fn start_within(&self, bytes: u64, command: &[&str], further: &[&str]) -> Child {
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--data={bytes}")).arg("setpriv");
        self.start_by(limited, command, further)
    }

    fn start_by(&self, mut launcher: Command, command: &[&str], further: &[&str]) -> Child {
        let roots = BASE64_STANDARD.encode(self.world.ca_pem());
        let application = BASE64_STANDARD.encode(self.application(command).to_string());
        // As its container starts it: root with these capabilities and no way to more.
        launcher
            .env_clear()
            .args(["--no-new-privs", "--bounding-set", CAPABILITIES])
            .arg(env!("CARGO_BIN_EXE_code-launcher"))
            .args(["--insecure-virtual", "--extra-roots", &roots])
            .args([
                "--application-name",
                "demo-app",
                "--application-base-64",
                &application,
            ])
            .args([
                "--contract-id",
                "c1",
                "--limits",
                "best-effort",
                "--consent-interval",
                "1",
            ])
            .args(["--logs-sink", SHIMS[2].0, "--telemetry-sink", SHIMS[3].0]);
        if !further.contains(&"--start-deadline") {
            launcher.args(["--start-deadline", "30"]);
        }
        for (name, uid) in SHIMS {
            launcher.arg("--shim").arg(format!("{name}={uid}"));
        }
        for (argument, folder) in [
            ("--socket-dir", "sockets"),
            ("--boot-dir", "boot"),
            ("--scratch", "scratch"),
            ("--remote-mounts", "remote"),
            ("--telemetry-path", "telemetry"),
            ("--runner-dir", "runner"),
        ] {
            launcher.arg(argument).arg(self.path(folder));
        }
        launcher
            .args(further)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Runs the launcher to its end.
    pub(crate) async fn run(&self, command: &[&str], further: &[&str]) -> Ended {
        finish(self.start(command, further)).await
    }

    /// Returns when the application has been started.
    pub(crate) async fn started(&self) {
        // Written once before the application runs, and again at the end.
        let timeline = self.path("scratch/timeline.json");
        tokio::time::timeout(PATIENCE, sidecar_http::wait_for_path(&timeline))
            .await
            .unwrap()
            .unwrap();
    }
}

pub(crate) async fn finish(launcher: Child) -> Ended {
    let output = tokio::time::timeout(PATIENCE, launcher.wait_with_output());
    let output = output.await.expect("the launcher ends").unwrap();
    Ended {
        code: output.status.code(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for mount in &self.mounts {
            let _ = umount2(mount, MntFlags::MNT_DETACH);
        }
    }
}

/// A sink, or a source with what it holds now as the pinned content.
async fn mounted(store: &MemoryStore, at: &Path, uid: u32, read_only: bool) -> FileSystem {
    let device = blobfuse_shim::mount::attach(at, uid, read_only).unwrap();
    let dek = Arc::new(Dek::from_slice(&[7; 32]).unwrap());
    let options = Options {
        read_only: false,
        ..Options::default()
    };
    let store = Arc::new(store.clone());
    let mut fs = FileSystem::new(store.clone(), Arc::clone(&dek), Mode::Cpk, options.clone());
    if read_only {
        let root = fs.seal().await.unwrap().root.parse().unwrap();
        let pinned = FileSystem::pinned(store, dek, Mode::Cpk, options, root);
        fs = pinned.await.unwrap();
    }
    let (ended, _) = oneshot::channel();
    blobfuse_shim::fuse::serve(fs.clone(), device, ended)
        .await
        .unwrap();
    fs
}
