//! One world for other processes: `azure-emulator --config world.json --data-dir DIR`.
//!
//! Writes `DIR/world.json`, `DIR/ca.pem`, `DIR/service_cert.pem` and `DIR/hosts` (a complete `/etc/hosts`), then prints
//! `ready` on a line. Stops on SIGTERM, SIGINT, `POST /stop` of the admin port, or with its parent when asked to.
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use emulators::world::{CGS_HOST, World, WorldConfig};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    name = "azure-emulator",
    version,
    about = "Serves every Azure service a clean room talks to, on loopback"
)]
struct Cli {
    /// The world's configuration, JSON.
    #[arg(long)]
    config: PathBuf,
    /// Where to write what clients need; made if absent.
    #[arg(long, required_unless_present = "list_hosts")]
    data_dir: Option<PathBuf>,
    /// Prints the host names of the world, one on a line, and ends.
    #[arg(long)]
    list_hosts: bool,
    /// Where to listen; what is written says 127.0.0.1 all the same, since only the caller knows how others reach it.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Ends when the process that started it ends.
    #[arg(long)]
    exit_with_parent: bool,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    if cli.exit_with_parent {
        prctl::set_pdeathsig(Signal::SIGTERM).context("the parent's end cannot be watched")?;
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(cli))
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let text = std::fs::read(&cli.config)
        .with_context(|| format!("{} cannot be read", cli.config.display()))?;
    let config: WorldConfig = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no world", cli.config.display()))?;
    let world = World::start_at(config, cli.listen).await?;
    let mut out = std::io::stdout();
    if cli.list_hosts {
        for host in world.hosts().iter().map(String::as_str).chain([CGS_HOST]) {
            writeln!(out, "{host}")?;
        }
        world.stop().await;
        return Ok(());
    }
    let data_dir = cli.data_dir.context("--data-dir is missing")?;
    let admin = world.serve_admin().await?;
    describe(&world, admin.port(), &data_dir)
        .with_context(|| format!("{} cannot be written", data_dir.display()))?;
    writeln!(out, "ready")?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = world.stopped() => {}
    }
    world.stop().await;
    Ok(())
}

fn describe(world: &World, admin_port: u16, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let urls: serde_json::Map<_, _> = world
        .hosts()
        .into_iter()
        .map(|host| (host.clone(), world.url(&host).to_string().into()))
        .collect();
    let port = world.addr().port();
    let description = serde_json::json!({
        "port": port,
        "cgs_port": world.cgs_addr().port(),
        "admin_port": admin_port,
        "admin_url": format!("http://127.0.0.1:{admin_port}"),
        "cgs_url": world.cgs_url(),
        "authority": format!("https://{}:{port}", emulators::world::ENTRA_HOST),
        "maa_url": format!("https://{}:{port}", emulators::world::MAA_HOST),
        "arm_url": format!("https://{}:{port}", emulators::world::ARM_HOST),
        "thim": world.thim_endpoint(),
        "hosts": world.hosts(),
        "urls": urls,
        "parties": world.config().parties,
    });
    // What the host's platform puts beside a policy; the policy itself comes from whoever deploys.
    let platform = dir.join("platform");
    std::fs::create_dir_all(&platform)?;
    emulators::amd::write_context(&platform, b"")?;
    std::fs::write(dir.join("ca.pem"), world.ca_pem())?;
    std::fs::write(dir.join("service_cert.pem"), world.service_cert_pem())?;
    std::fs::write(dir.join("hosts"), world.hosts_file())?;
    // Last: whoever finds this file finds the others complete.
    let path = dir.join("world.json");
    let fresh = dir.join("world.json.new");
    std::fs::write(&fresh, serde_json::to_vec_pretty(&description)?)?;
    std::fs::rename(fresh, path)?;
    Ok(())
}
