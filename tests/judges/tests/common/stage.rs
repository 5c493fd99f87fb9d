//! An emulated world, and the scripts of the Azure SDKs for Python in it.

#![allow(dead_code)] // each test program uses its part

use std::path::{Path, PathBuf};

use emulators::world::{ARM_HOST, ENTRA_HOST, MAA_HOST, Party, World, WorldConfig};
use judges::{folder, python, run, with_hosts};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A world with what a process beside it needs: its names, its root, and where everything is.
pub(crate) struct Stage {
    pub(crate) world: World,
    dir: TempDir,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::over(WorldConfig::two_parties()).await
    }

    pub(crate) async fn over(config: WorldConfig) -> Self {
        let world = World::start(config).await.unwrap();
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("hosts"), world.hosts_file()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), world.ca_pem()).unwrap();
        Self { world, dir }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    fn origin(&self, host: &str) -> String {
        let url = self.world.url(host).to_string();
        url.trim_end_matches('/').to_owned()
    }

    fn party(&self, party: &Party) -> Value {
        let principal = party.service_principal.as_ref().unwrap();
        let identity = party.managed_identity.as_ref().unwrap();
        let account = &party.storage_accounts[0].name;
        json!({
            "tenant_id": party.tenant_id,
            "client_id": principal.client_id,
            "client_secret": principal.secret,
            "identity_id": identity.client_id,
            "identity_name": identity.name,
            "blob_url": self.origin(&format!("{account}.blob.core.windows.net")),
            "dfs_url": self.origin(&format!("{account}.dfs.core.windows.net")),
            "web_url": self.origin(&format!("{account}.z1.web.core.windows.net")),
            "vault_url": self.origin(&party.vaults[0].host()),
        })
    }

    pub(crate) fn description(&self) -> Value {
        let [litware, fabrikam] = self.world.config().parties.as_slice() else {
            panic!("two parties");
        };
        json!({
            "ca": self.at("ca.pem"),
            "authority": self.origin(ENTRA_HOST),
            "arm_url": self.origin(ARM_HOST),
            "maa_url": self.origin(MAA_HOST),
            "litware": self.party(litware),
            "fabrikam": self.party(fabrikam),
        })
    }

    /// Runs a script over the world's description, which is a file because it holds credentials.
    pub(crate) async fn perform(&self, script: &'static str, description: &Value) {
        let path = self.at("world.json");
        std::fs::write(&path, description.to_string()).unwrap();
        self.script(script, path).await;
    }

    /// The script must end well and say so: it prints `done` last.
    pub(crate) async fn script(&self, script: &'static str, argument: PathBuf) {
        let hosts = self.at("hosts");
        let printed = tokio::task::spawn_blocking(move || play(script, &hosts, &argument));
        let printed = printed.await.unwrap();
        assert_eq!(printed.lines().last(), Some("done"), "{script}: {printed}");
    }
}

pub(crate) fn play(script: &str, hosts: &Path, argument: &Path) -> String {
    let mut command = with_hosts(hosts, Path::new("timeout"));
    command
        .arg("300")
        .arg(python("azure"))
        // No compiled files beside the sources; nothing of this machine's Python settings or proxies.
        .args(["-B", "-s"])
        .arg(folder("azure").join(script))
        .arg(argument)
        .env("NO_PROXY", "*");
    String::from_utf8(run(&mut command).stdout).unwrap()
}
