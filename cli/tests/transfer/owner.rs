use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use emulators::world::{ENTRA_HOST, World, WorldConfig};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

pub(crate) const ACCOUNT: &str = "litwarestore";
const PATIENCE: Duration = Duration::from_secs(60);

/// litware with a datastore, in a world of its own.
pub(crate) struct Owner {
    pub(crate) world: World,
    home: tempfile::TempDir,
}

impl Owner {
    pub(crate) async fn new(datastore: &str, mode: &str) -> Self {
        let owner = Self {
            world: World::start(WorldConfig::two_parties()).await.unwrap(),
            home: tempfile::tempdir().unwrap(),
        };
        owner.write("hosts", owner.world.hosts_file().as_bytes());
        owner.write("ca.pem", owner.world.ca_pem().as_bytes());
        owner.command(
            "secretstore add --name local --config secretstores.yaml --backingstore-type Local_File --backingstore-path keys",
        );
        owner.add(datastore, mode);
        owner
    }

    pub(crate) fn add(&self, datastore: &str, mode: &str) {
        let account = self.world.url(&format!("{ACCOUNT}.blob.core.windows.net"));
        self.command(&format!(
            "datastore add --name {datastore} --config datastores.yaml --secretstore local --secretstore-config \
             secretstores.yaml --encryption-mode {mode} --backingstore-type Azure_BlobStorage --backingstore-id {account}"
        ));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Every file below a folder with its content, by relative name.
    pub(crate) fn tree(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.path(folder);
        let mut found = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(current) = folders.pop() {
            for entry in std::fs::read_dir(&current).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(name) = path.strip_prefix(&root) {
                    let content = std::fs::read(&path).unwrap();
                    found.insert(name.display().to_string(), content);
                }
            }
        }
        // Folders alone are no content.
        found
    }

    /// Starts the program where the world's names resolve.
    #[allow(unsafe_code)]
    pub(crate) fn spawn(&self, line: &str) -> Child {
        let party = self.world.config().parties[0].clone();
        let login = party.service_principal.unwrap();
        let hosts = self.path("hosts");
        let mut command = Command::new(env!("CARGO_BIN_EXE_cleanroom"));
        command
            .args(["--ca-file", "ca.pem"])
            .args(line.split_whitespace())
            .current_dir(self.home.path())
            .env_clear()
            .env("AZURE_TENANT_ID", party.tenant_id)
            .env("AZURE_CLIENT_ID", login.client_id)
            .env("AZURE_CLIENT_SECRET", login.secret)
            .env("AZURE_AUTHORITY_HOST", self.world.url(ENTRA_HOST).as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: only system calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                unshare(CloneFlags::CLONE_NEWNS)?;
                let none = None::<&str>;
                mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
                mount(Some(&hosts), "/etc/hosts", none, MsFlags::MS_BIND, none)?;
                Ok(())
            });
        }
        command.spawn().unwrap()
    }

    pub(crate) fn run(&self, line: &str) -> Output {
        self.spawn(line).wait_with_output().unwrap()
    }

    /// Runs what must succeed, and may print nothing.
    pub(crate) fn command(&self, line: &str) -> Vec<u8> {
        let output = self.run(line);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
        output.stdout
    }

    /// Runs what must succeed and gives what it prints.
    pub(crate) fn ok(&self, line: &str) -> Value {
        serde_json::from_slice(&self.command(line)).unwrap()
    }

    /// Waits until a file holds a text.
    pub(crate) async fn wait_for(&self, name: &str, text: &str) {
        let path = self.path(name);
        eventually(|| std::fs::read_to_string(&path).is_ok_and(|held| held.contains(text))).await;
    }

    /// Waits until a journal whose name begins so holds a text.
    pub(crate) async fn wait_for_journal(&self, begins: &str, text: &str) {
        let state = self.path("datastores.yaml.state");
        let holds = |path: &Path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(begins)
                && std::fs::read_to_string(path).is_ok_and(|held| held.contains(text))
        };
        eventually(|| {
            let mut entries = std::fs::read_dir(&state).unwrap();
            entries.any(|entry| holds(&entry.unwrap().path()))
        })
        .await;
    }

    /// Waits until a file has so many lines with a text.
    pub(crate) async fn wait_for_lines(&self, name: &str, text: &str, count: usize) {
        let path = self.path(name);
        eventually(|| {
            let held = std::fs::read_to_string(&path).unwrap_or_default();
            held.lines().filter(|line| line.contains(text)).count() >= count
        })
        .await;
    }

    /// Paths of the answered requests to storage that begin so, oldest first.
    pub(crate) fn requests(&self, method: &str, path: &str) -> Vec<String> {
        let requests = self.world.requests("blob").into_iter();
        requests
            .filter(|one| one.method == method && one.path.starts_with(path))
            .map(|one| one.path)
            .collect()
    }

    pub(crate) fn names(&self, container: &str) -> Vec<String> {
        self.world.services().blob.names(ACCOUNT, container)
    }
}

async fn eventually(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let numbers = (0_u32..).flat_map(u32::to_le_bytes);
    numbers.take(length).collect()
}
