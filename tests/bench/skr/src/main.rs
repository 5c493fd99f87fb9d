//! Measures skr-agent against the emulators; the last line is one JSON object:
//!
//! - `verify_ms`: one verification of a group's whole evidence (report, chain, utility VM), the median
//! - `release_overhead_ms`, `release_overhead_no_pool_ms`: one release less the time that MAA and the vault had requests
//!   for, the median, with a transfer key made ahead and without
//! - `upstream_calls_for_200_concurrent`: releases that the vault saw for 200 equal requests at once
//! - `idle_rss_mib`: resident memory of a ready agent
//!
//! `bench-skr BIN`: the directory of the built binaries. Needs root, because the idle process runs as its own user.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use cleanroom_crypto::digest::sha256;
use emulators::world::{World, WorldConfig};
use serde_json::{Value, json};
use sidecar_http::{Peer, services};
use skr_agent::{Agent, Config, routes};
use snp::Material;
use tempfile::TempDir;
use test_support::KekOwner;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use virtual_attester::VirtualAttester;

const POLICY: &[u8] = br#"{"name":"bench"}"#;
const VERIFICATIONS: usize = 500;
const RELEASES: usize = 20;
const ASKERS: usize = 200;
/// Between two releases: longer than a transfer key takes to be made.
const IDLE: Duration = Duration::from_millis(1500);
/// For the idle process to be ready and to settle.
const START: Duration = Duration::from_secs(20);

fn main() -> anyhow::Result<()> {
    let bin = std::env::args_os().nth(1).context("bench-skr BIN")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(measure(Path::new(&bin)))?;
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{measured}")?;
    Ok(())
}

async fn measure(bin: &Path) -> anyhow::Result<Value> {
    sidecar_http::install_crypto_provider();
    let world = World::start(WorldConfig::two_parties()).await?;
    let owner = KekOwner::of(&world, &sha256(POLICY)).await;
    let group = TempDir::new()?;
    emulators::amd::write_context(group.path(), POLICY)?;
    let verify = verify_ms()?;
    let bench = Bench {
        world,
        owner,
        group,
    };
    let without_pool = bench.overhead(&bench.agent(false)?, Duration::ZERO).await?;
    let with_pool = bench.overhead(&bench.agent(true)?, IDLE).await?;
    let calls = bench.concurrent().await?;
    Ok(json!({
        "verify_ms": rounded(verify),
        "release_overhead_ms": rounded(with_pool),
        "release_overhead_no_pool_ms": rounded(without_pool),
        "upstream_calls_for_200_concurrent": calls,
        "idle_rss_mib": rounded(idle_rss_mib(bin, bench.group.path()).await?),
    }))
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The median time to judge evidence that passes every check.
fn verify_ms() -> anyhow::Result<f64> {
    let (host_data, report_data) = (sha256(POLICY), [7; 64]);
    let report = emulators::amd::issue_report(&host_data, &report_data)?;
    let chain = emulators::amd::chain_pem();
    let uvm = emulators::amd::uvm_endorsement();
    let material = Material {
        report: &report,
        chain_pem: &chain,
        uvm_endorsement: Some(&uvm),
    };
    let verifier = virtual_attester::verifier()?;
    let mut measured = Vec::with_capacity(VERIFICATIONS);
    for _ in 0..VERIFICATIONS {
        let began = Instant::now();
        let verification = verifier.verify(material, host_data, report_data);
        measured.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(verification.accepted(), "{verification}");
    }
    median(measured)
}

fn median(mut values: Vec<f64>) -> anyhow::Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("a median")
}

struct Bench {
    world: World,
    owner: KekOwner,
    group: TempDir,
}

impl Bench {
    fn agent(&self, pool: bool) -> anyhow::Result<Router> {
        let agent = Arc::new(Agent::new(
            VirtualAttester::new(Some(self.group.path().to_owned())),
            virtual_attester::verifier()?,
            test_support::https(&self.world)?,
            test_support::trust(&self.world)?,
            Config::for_directory(self.group.path()),
            CancellationToken::new(),
        ));
        if pool {
            let kept = Arc::clone(&agent);
            tokio::spawn(async move {
                kept.keep_transfer_key_ready(&CancellationToken::new())
                    .await;
            });
        }
        let uid = services::SECRETS.uid;
        Ok(routes(agent).router_as(Peer::Unix { uid, gid: uid }))
    }

    /// The median time of a release, in milliseconds, less what the emulators say they had the requests for. The first
    /// release also makes connections and fetches MAA's keys, and is not counted.
    async fn overhead(&self, agent: &Router, idle: Duration) -> anyhow::Result<f64> {
        let mut measured = Vec::with_capacity(RELEASES);
        for release in 0..=RELEASES {
            tokio::time::sleep(idle).await;
            let request = self.owner.request(&self.world);
            let before = self.upstream();
            let began = Instant::now();
            ask(agent, &request).await?;
            let whole = began.elapsed();
            let upstream = self.upstream() - before;
            if release > 0 {
                measured.push(whole.saturating_sub(upstream).as_secs_f64() * 1e3);
            }
        }
        median(measured)
    }

    /// All the time that MAA and the vaults had requests.
    fn upstream(&self) -> Duration {
        let of = |service| self.world.requests(service);
        let all = of("maa").into_iter().chain(of("vault"));
        Duration::from_micros(all.map(|request| request.micros).sum())
    }

    /// How many releases the vault saw for many equal requests at the same time.
    async fn concurrent(&self) -> anyhow::Result<usize> {
        let agent = self.agent(false)?;
        let request = self.owner.request(&self.world);
        let before = KekOwner::releases(&self.world);
        let mut askers = tokio::task::JoinSet::new();
        for _ in 0..ASKERS {
            let (agent, request) = (agent.clone(), request.clone());
            askers.spawn(async move { ask(&agent, &request).await });
        }
        for asked in askers.join_all().await {
            asked?;
        }
        Ok(KekOwner::releases(&self.world) - before)
    }
}

async fn ask(agent: &Router, request: &Value) -> anyhow::Result<()> {
    let request = Request::post("/key/release").body(Body::from(request.to_string()))?;
    let response = agent.clone().oneshot(request).await?;
    ensure!(
        response.status() == StatusCode::OK,
        "a release failed: {}",
        response.status()
    );
    Ok(())
}

/// A process that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Resident memory of a ready agent that nobody has asked for anything.
async fn idle_rss_mib(bin: &Path, context: &Path) -> anyhow::Result<f64> {
    let uid = services::SKR_AGENT.uid;
    let dir = TempDir::new()?;
    let sockets = dir.path().join("skr-agent");
    std::fs::create_dir(&sockets)?;
    for path in [dir.path(), context] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))?;
    }
    chown(&sockets, Some(uid), Some(uid))?;
    let command = |probe: bool| {
        let mut command = Command::new(bin.join("skr-agent-virtual"));
        command.uid(uid).gid(uid).arg("--insecure-virtual");
        command.arg("--socket-dir").arg(dir.path());
        command.arg("--security-context-dir").arg(context);
        if probe {
            command.arg("--probe");
        }
        command.stderr(std::process::Stdio::null());
        command
    };
    let running = Running(command(false).spawn().context("skr-agent-virtual")?);
    let end = Instant::now() + START;
    while !command(true).status()?.success() {
        if Instant::now() > end {
            bail!("skr-agent-virtual did not become ready");
        }
    }
    // The transfer key that is made ahead is part of being idle.
    tokio::time::sleep(IDLE).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("VmRSS")?
        .parse()?;
    Ok(kib / 1024.0)
}
