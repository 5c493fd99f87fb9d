//! The stock Azure SDKs for Python as clients of the emulators: what they cannot speak with, a real service would not say.
//!
//! Each script does one subject and checks what its SDK makes of the answers; what is stored is looked at from here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::path::{Path, PathBuf};

use blob_format::Reader;
use blob_format::azure::{Draft, FileAzure, Integrity, RegionSize, Stored};
use cleanroom_crypto::{Dek, random};
use emulators::amd;
use emulators::world::{ARM_HOST, ENTRA_HOST, MAA_HOST, Party, World, WorldConfig};
use judges::{folder, python, run, with_hosts};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A world with what a process beside it needs: its names, its root, and where everything is.
struct Stage {
    world: World,
    dir: TempDir,
}

impl Stage {
    async fn set() -> Self {
        Self::over(WorldConfig::two_parties()).await
    }

    async fn over(config: WorldConfig) -> Self {
        let world = World::start(config).await.unwrap();
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("hosts"), world.hosts_file()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), world.ca_pem()).unwrap();
        Self { world, dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
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

    fn description(&self) -> Value {
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
    async fn perform(&self, script: &'static str, description: &Value) {
        let path = self.at("world.json");
        std::fs::write(&path, description.to_string()).unwrap();
        self.script(script, path).await;
    }

    /// The script must end well and say so: it prints `done` last.
    async fn script(&self, script: &'static str, argument: PathBuf) {
        let hosts = self.at("hosts");
        let printed = tokio::task::spawn_blocking(move || play(script, &hosts, &argument));
        let printed = printed.await.unwrap();
        assert_eq!(printed.lines().last(), Some("done"), "{script}: {printed}");
    }
}

fn play(script: &str, hosts: &Path, argument: &Path) -> String {
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

fn took_part(world: &World, service: &str, method: &str, path: &str) -> bool {
    let requests = world.requests(service);
    requests
        .iter()
        .any(|request| request.method == method && request.path == path)
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_logs_in_by_secret_and_by_an_assertion_that_is_verified() {
    let stage = Stage::set().await;
    stage.perform("identity.py", &stage.description()).await;
    // The token service has read the issuer's documents where the storage SDK put them.
    for document in ["/oidc/.well-known/openid-configuration", "/oidc/jwks"] {
        assert!(
            took_part(&stage.world, "blob", "GET", document),
            "{document}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_keeps_blobs_blocks_conditions_and_customers_keys() {
    let stage = Stage::set().await;
    stage.perform("blobs.py", &stage.description()).await;
    let blob = &stage.world.services().blob;
    let content = |name| blob.content("litwarestore", "data", name);
    assert_eq!(content("small.txt").unwrap(), b"0123456789");
    assert_eq!(content("sealed").unwrap(), b"under a key");
    assert_eq!(content("conditional"), None);
    assert_eq!(content("large").unwrap().len(), 1_000_003);
    assert_eq!(
        blob.names("litwarestore", "data"),
        [
            "empty",
            "large",
            "list/<&>\"'",
            "list/a",
            "list/b c+d%20?&#é",
            "list/deep/x",
            "list/deep/y",
            "other",
            "plain",
            "sealed",
            "small.txt",
            "staged/blob",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_lake_makes_renames_lists_and_deletes_paths() {
    let mut config = WorldConfig::two_parties();
    config.parties[0].storage_accounts[0].hierarchical = true;
    let stage = Stage::over(config).await;
    stage.perform("data_lake.py", &stage.description()).await;
    let blob = &stage.world.services().blob;
    assert_eq!(
        blob.names("litwarestore", "lake"),
        ["made", "made/by blob", "tree", "tree/file"]
    );
    let content = blob.content("litwarestore", "lake", "tree/file");
    assert_eq!(content.unwrap(), b"one two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_keeps_secrets_in_versions() {
    let stage = Stage::set().await;
    stage
        .perform("vault_secrets.py", &stage.description())
        .await;
    let vault = &stage.world.services().vaults["litwarekv.vault.azure.net"];
    assert_eq!(vault.secret("dek").as_deref(), Some("wrapped key two"));
    assert_eq!(vault.secret("large"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn vaults_release_keys_to_attested_code_alone() {
    let stage = Stage::set().await;
    stage
        .script("transfer_key.py", stage.dir.path().to_owned())
        .await;
    let runtime = std::fs::read_to_string(stage.at("runtime.json")).unwrap();
    let mut report_data = [0; 64];
    report_data[..32].copy_from_slice(&Sha256::digest(&runtime));
    // The same transfer key in evidence of two container groups: only their policies differ.
    let evidence = |host_data: [u8; 32]| {
        let report = amd::issue_report(&host_data, &report_data).unwrap();
        json!({ "host_data": hex::encode(host_data), "report": hex::encode(report) })
    };
    let mut description = stage.description();
    description["good"] = evidence([7; 32]);
    description["other"] = evidence([8; 32]);
    description["runtime"] = json!(runtime);
    description["chain"] = json!(amd::chain_pem());
    description["uvm"] = json!(hex::encode(amd::uvm_endorsement()));
    description["transfer_pem"] = json!(stage.at("transfer.pem"));
    stage.perform("vault_keys.py", &description).await;
    for host in [
        "litwarekv.vault.azure.net",
        "fabrikamhsm.managedhsm.azure.net",
    ] {
        let vault = &stage.world.services().vaults[host];
        assert_eq!(vault.key_versions("kek"), 2, "{host}");
        assert_eq!(vault.key_versions("loose"), 0, "{host}");
    }
}

const DEK: [u8; 32] = [0x5a; 32];
const KEY_ID: &str = "wrapped-dek";

/// Encrypts with our codec, and leaves body and clear content as files for the script.
fn encrypt(stage: &Stage, name: &str, length: usize, region: RegionSize) -> Value {
    let dek = Dek::from_slice(&DEK).unwrap();
    let mut clear = vec![0; length];
    random::fill(&mut clear).unwrap();
    let mut draft = Draft::create(&dek, KEY_ID, region).unwrap();
    let mut body = Vec::new();
    for part in clear.chunks(usize::try_from(region.bytes()).unwrap()) {
        let sealed_len = RegionSize::sealed_len(part.len() as u64);
        let mut sealed = vec![0; usize::try_from(sealed_len).unwrap()];
        let ticket = draft.next_region(part.len() as u64).unwrap();
        ticket.seal(part, &mut sealed).unwrap();
        body.append(&mut sealed);
    }
    let metadata = draft.finish(&dek, name).unwrap();
    let file = name.replace('/', "-");
    let (body_path, clear_path) = (
        stage.at(&format!("{file}.body")),
        stage.at(&format!("{file}.clear")),
    );
    std::fs::write(&body_path, body).unwrap();
    std::fs::write(&clear_path, clear).unwrap();
    json!({
        "name": name,
        "body": body_path,
        "clear": clear_path,
        "metadata": {
            "encryptiondata": metadata.encryption_data,
            "cleanroomseal": metadata.seal,
        },
    })
}

fn decrypt(name: &str, body: &[u8], encryption_data: &str) -> Vec<u8> {
    let dek = Dek::from_slice(&DEK).unwrap();
    let stored = Stored {
        blob_len: body.len() as u64,
        encryption_data: Some(encryption_data),
        seal: None,
    };
    let file = FileAzure::open(&dek, KEY_ID, name, &stored, Integrity::Foreign).unwrap();
    let mut clear = vec![0; usize::try_from(file.len()).unwrap()];
    if let Some(plan) = file.plan(0..file.len()) {
        assert_eq!(plan.sealed, 0..body.len() as u64);
        file.open(&plan, body, &mut clear).unwrap();
    }
    clear
}

#[tokio::test(flavor = "multi_thread")]
async fn client_side_encryption_is_read_in_both_directions() {
    let stage = Stage::set().await;
    let small = RegionSize::new(64 << 10).unwrap();
    let mut blobs = Vec::new();
    for (length, region) in [
        (0, RegionSize::default()),
        (1, RegionSize::default()),
        (4 << 20, RegionSize::default()),
        ((9 << 20) + 5, RegionSize::default()),
        (65_535, small),
        (65_537, small),
        (1_000_003, small),
    ] {
        let name = format!("ours/{}-{length}", region.bytes());
        blobs.push(encrypt(&stage, &name, length, region));
    }
    let mut description = stage.description();
    description["client_side"] = json!({
        "dek": hex::encode(DEK),
        "key_id": KEY_ID,
        "folder": stage.dir.path(),
        "blobs": blobs,
    });
    stage.perform("client_side.py", &description).await;

    let written = std::fs::read_to_string(stage.at("theirs.json")).unwrap();
    let written: Vec<Value> = serde_json::from_str(&written).unwrap();
    assert_eq!(written.len(), 7);
    for blob in written {
        let name = blob["name"].as_str().unwrap();
        let storage = &stage.world.services().blob;
        let body = storage.content("litwarestore", "encrypted", name).unwrap();
        let clear = decrypt(name, &body, blob["data"].as_str().unwrap());
        assert_eq!(clear.len() as u64, blob["length"], "{name}");
        assert_eq!(
            hex::encode(Sha256::digest(&clear)),
            blob["sha256"],
            "{name}"
        );
    }
}
