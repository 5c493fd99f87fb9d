//! What is measured, in which order, and the ratios that come of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::bare;
use crate::emulator::{Emulated, Transport};
use crate::fio::{Load, SIZE};
use crate::process::{Running, private_room, unmount};
use crate::report::{Report, rounded};
use crate::serve::{Layout, Place, Spec};
use crate::small;

/// The file that is read.
pub(crate) const FILE: &str = "big.0";
const ROUNDS: usize = 3;
/// The product's default budget.
const BUDGET: u64 = 256 << 20;
const BUDGETS: [u64; 2] = [64 << 20, BUDGET];
const RTT_MS: u64 = 15;
/// Requests at once without a mount.
const AT_ONCE: [usize; 2] = [8, 16];
const JOBS: [u64; 2] = [1, 4];
const RAND_4K: u64 = 64 << 20;
const RAND_256K: u64 = 512 << 20;
/// Format v1 opens 16 MiB for each request.
const RAND_256K_V1: u64 = 64 << 20;

const CEILING: &str = "ceiling";
const V2: &str = "v2";
const SSE: &str = "sse";
const V1: &str = "v1";
const GOCRYPTFS: &str = "gocryptfs";
const BARE: &str = "bare";

/// Runs all rows, or one part of them: `memory`, `emulator` or `rss`.
pub(crate) fn run(part: Option<&str>) -> anyhow::Result<Value> {
    let room = private_room()?;
    let mut report = Report::default();
    let is_wanted = |name| part.is_none_or(|part| part == name);
    let mut ratios = json!({});
    if is_wanted("memory") {
        in_memory(&room, &mut report)?;
        merge(&mut ratios, in_memory_ratios(&report)?);
    }
    if is_wanted("emulator") {
        over_emulator(&room, &mut report)?;
        let rows = ["read tls 15 ms", "read http 15 ms"];
        let ratio = report.ratio(&rows, V2, BARE)?;
        merge(&mut ratios, json!({ "seq_read_rtt15_vs_emulator": ratio }));
    }
    if is_wanted("rss") {
        let highest = peak_memory(&room)?;
        merge(&mut ratios, json!({ "peak_rss_vs_budget": highest }));
    }
    report.summary();
    Ok(ratios)
}

fn merge(all: &mut Value, more: Value) {
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
}

/// One file system under test.
struct Side {
    name: &'static str,
    path: PathBuf,
    running: Running,
    /// Where gocryptfs keeps its files.
    backing: Option<PathBuf>,
}

impl Side {
    fn ours(room: &Path, name: &'static str, spec: Spec) -> anyhow::Result<Self> {
        let mut running = Running::role("serve", &spec)?;
        running.hear()?;
        ensure!(spec.path.starts_with(room), "mounts belong in the room");
        Ok(Self {
            name,
            path: spec.path,
            running,
            backing: None,
        })
    }

    fn in_memory(room: &Path, name: &'static str, layout: Layout) -> anyhow::Result<Self> {
        let spec = Spec {
            path: room.join(name),
            layout,
            place: Place::Memory,
            memory: BUDGET,
        };
        Self::ours(room, name, spec)
    }

    fn ceiling(room: &Path) -> anyhow::Result<Self> {
        let path = room.join(CEILING);
        let mut running = Running::role("ceiling", &path)?;
        running.hear()?;
        Ok(Self {
            name: CEILING,
            path,
            running,
            backing: None,
        })
    }

    fn gocryptfs(room: &Path) -> anyhow::Result<Self> {
        let (path, backing) = (room.join(GOCRYPTFS), room.join("backing"));
        fs::create_dir(&path)?;
        fs::create_dir(&backing)?;
        let mut init = Command::new("gocryptfs");
        init.args(["-init", "-q", "-extpass", "echo bench", "-scryptn", "10"]);
        let made = init.arg(&backing).stdin(Stdio::null()).status();
        ensure!(
            made.context("gocryptfs: `make setup` installs it")?
                .success(),
            "gocryptfs -init"
        );
        Ok(Self {
            name: GOCRYPTFS,
            running: start_gocryptfs(&backing, &path)?,
            path,
            backing: Some(backing),
        })
    }

    /// The same files without anything that was kept in memory of them.
    fn cold(&mut self) -> anyhow::Result<()> {
        unmount(&self.path)?;
        match &self.backing {
            None => {
                self.running.ask("again")?;
            }
            Some(backing) => {
                let fresh = || start_gocryptfs(backing, &self.path);
                self.running.end()?;
                self.running = fresh()?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        fs::remove_file(self.path.join(name)).with_context(|| format!("{}: {name}", self.name))
    }
}

fn start_gocryptfs(backing: &Path, path: &Path) -> anyhow::Result<Running> {
    let mut command = Command::new("gocryptfs");
    command.args(["-fg", "-q", "-extpass", "echo bench"]);
    let mut running = Running::program(command.arg(backing).arg(path))?;
    running.wait_mounted(path)?;
    Ok(running)
}

fn in_memory(room: &Path, report: &mut Report) -> anyhow::Result<()> {
    let mut sides = vec![
        Side::in_memory(room, V2, Layout::V2)?,
        Side::gocryptfs(room)?,
        Side::in_memory(room, SSE, Layout::Sse)?,
        Side::ceiling(room)?,
    ];
    let mut v1 = Side::in_memory(room, V1, Layout::V1)?;
    Load::write(1).run(&v1.path, "big")?;
    for round in 0..ROUNDS {
        for side in &mut sides {
            if round > 0 {
                side.remove(FILE)?;
            }
            report.add("write 1", side.name, Load::write(1).run(&side.path, "big")?);
        }
        for side in &mut sides {
            report.add(
                "write 4",
                side.name,
                Load::write(4).run(&side.path, "part")?,
            );
            for job in 0..4 {
                side.remove(&format!("part.{job}"))?;
            }
        }
        let loads = JOBS.map(|jobs| ("read", Load::read(jobs)));
        let small = JOBS.map(|jobs| ("random 4k", Load::random(4 << 10, jobs, RAND_4K)));
        let large = JOBS.map(|jobs| ("random 256k", Load::random(256 << 10, jobs, RAND_256K)));
        for (row, load) in loads.into_iter().chain(small).chain(large) {
            for side in &mut sides {
                side.cold()?;
                let rate = load.run(&side.path, FILE)?;
                report.add(&format!("{row} {}", load.jobs), side.name, rate);
            }
        }
        for jobs in JOBS {
            v1.cold()?;
            let rate = Load::random(256 << 10, jobs, RAND_256K_V1).run(&v1.path, FILE)?;
            report.add(&format!("random 256k {jobs}"), V1, rate);
        }
        for side in sides
            .iter_mut()
            .filter(|side| [V2, GOCRYPTFS].contains(&side.name))
        {
            report.add("small create", side.name, small::create(&side.path)?);
            side.cold()?;
            report.add("small read", side.name, small::read(&side.path)?);
            report.add("small remove", side.name, small::remove(&side.path)?);
        }
        // Who comes first differs from round to round.
        sides.rotate_left(1);
    }
    for side in sides.iter().chain([&v1]) {
        unmount(&side.path)?;
    }
    Ok(())
}

fn in_memory_ratios(report: &Report) -> anyhow::Result<Value> {
    let small = ["small create", "small read", "small remove"];
    Ok(json!({
        "seq_read_vs_ceiling": report.ratio(&["read 1", "read 4"], V2, CEILING)?,
        "v2_vs_sse_read": report.ratio(&["read 1", "read 4"], V2, SSE)?,
        "v2_vs_sse_write": report.ratio(&["write 1", "write 4"], V2, SSE)?,
        "seq_read_vs_gocryptfs": report.ratio(&["read 1", "read 4"], V2, GOCRYPTFS)?,
        "seq_write_vs_gocryptfs": report.ratio(&["write 1", "write 4"], V2, GOCRYPTFS)?,
        "rand4k_vs_gocryptfs": report.ratio(&["random 4k 1", "random 4k 4"], V2, GOCRYPTFS)?,
        "rand256k_vs_gocryptfs": report.ratio(&["random 256k 1", "random 256k 4"], V2, GOCRYPTFS)?,
        "rand256k_vs_v1": report.ratio(&["random 256k 1", "random 256k 4"], V2, V1)?,
        "small_files_vs_gocryptfs": report.ratio(&small, V2, GOCRYPTFS)?,
    }))
}

fn over_emulator(room: &Path, report: &mut Report) -> anyhow::Result<()> {
    let (mut emulator, tls) = start_emulator()?;
    let plain = tls.over(Transport::Plain);
    let mount = |name: &'static str, place: &Emulated| {
        let spec = Spec {
            path: room.join(name),
            layout: Layout::V2,
            place: Place::Emulator(place.clone()),
            memory: BUDGET,
        };
        Side::ours(room, V2, spec)
    };
    let mut over_tls = mount("tls", &tls)?;
    report.add(
        "write tls 0 ms",
        V2,
        Load::write(1).run(&over_tls.path, "big")?,
    );
    let mut over_plain = mount("http", &plain)?;
    for delay in [0, RTT_MS] {
        emulator.ask(&delay.to_string())?;
        for _ in 0..ROUNDS {
            for (name, place, side) in [
                ("tls", &tls, &mut over_tls),
                ("http", &plain, &mut over_plain),
            ] {
                let row = format!("read {name} {delay} ms");
                let mut best = 0.0_f64;
                for at_once in AT_ONCE {
                    best = best.max(bare::rate(place, FILE, at_once)?);
                }
                report.add(&row, BARE, best);
                side.cold()?;
                report.add(&row, V2, Load::read(1).run(&side.path, FILE)?);
            }
        }
    }
    for side in [&over_tls, &over_plain] {
        unmount(&side.path)?;
    }
    Ok(())
}

fn start_emulator() -> anyhow::Result<(Running, Emulated)> {
    let mut emulator = Running::role("emulator", &())?;
    let emulated = serde_json::from_str(&emulator.hear()?)?;
    Ok((emulator, emulated))
}

/// The highest ratio of resident memory to budget, over TLS, with all kinds of load on one mount.
fn peak_memory(room: &Path) -> anyhow::Result<f64> {
    let (_emulator, tls) = start_emulator()?;
    let mut highest = 0.0_f64;
    for memory in BUDGETS {
        let spec = Spec {
            path: room.join("rss"),
            layout: Layout::V2,
            place: Place::Emulator(tls.clone()),
            memory,
        };
        let side = Side::ours(room, V2, spec)?;
        let say = |what: &str| -> anyhow::Result<f64> {
            use std::io::Write as _;
            let peak = side.running.peak_memory()?;
            let ratio = peak as f64 / memory as f64;
            let (peak, budget) = (peak >> 20, memory >> 20);
            writeln!(std::io::stdout(), "{what:<28} {peak} MiB of {budget} MiB")?;
            Ok(ratio)
        };
        say("idle")?;
        Load::write(1).run(&side.path, "big")?;
        Load::write(4).run(&side.path, "part")?;
        say("written")?;
        for load in [
            Load::read(1),
            Load::read(4),
            Load::random(256 << 10, 4, SIZE / 4),
        ] {
            load.run(&side.path, FILE)?;
        }
        highest = highest.max(say("written and read")?);
        unmount(&side.path)?;
    }
    Ok(rounded(highest))
}
