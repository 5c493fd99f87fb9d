//! What root hashes cost beyond the physical floor: one thread that only hashes, or only decompresses.
//!
//! `bench-policy FOLDER LAYOUT` makes, in a new directory below FOLDER, a 200 MiB layer of one file, one of 10 000 files, and
//! a 1.5 GB image of three gzip layers. It times `openssl dgst -sha256` of the tar, or `gunzip` of the layers, and ourselves
//! in turn, each as a process, from a warm page cache; then all images of LAYOUT, the room's, from a warm cache of hashes.
//! `cold_vs_floor` of the last line is the worst of the medians of the ratios of neighbours.

#![allow(clippy::print_stdout, reason = "the output of a command")]

mod inputs;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use image_layers::source::{Input, Platform, Wanted, open_path};
use image_layers::{Cache, Expected, Limits, Settings, hash_image, hash_layer};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use crate::inputs::{write_image, write_layer};

const RUNS: usize = 5;
const MIB: u64 = 1 << 20;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [hash, path] if hash == "hash" => run_hash(Path::new(path)),
        [room, layout, cache] if room == "room" => run_room(Path::new(layout), Path::new(cache)),
        [folder, layout] => measure(Path::new(folder), Path::new(layout)),
        _ => bail!("usage: bench-policy FOLDER LAYOUT"),
    }
}

/// What is timed cold.
fn run_hash(path: &Path) -> Result<()> {
    match open_path(path)? {
        Input::Layer(file) => {
            hash_layer(file, &Expected::default(), &Limits::default())?;
        }
        Input::Images(source) => {
            let image = source.image(&wanted(None))?;
            hash_image(source.as_ref(), &image, &Settings::default())?;
        }
    }
    print_peak()
}

/// What is timed warm: every image that a layout lists.
fn run_room(layout: &Path, cache: &Path) -> Result<()> {
    let cache = Cache::open(cache)?;
    let settings = Settings {
        cache: Some(&cache),
        ..Settings::default()
    };
    for digest in listed(layout)? {
        let Input::Images(source) = open_path(layout)? else {
            bail!("{} is no layout", layout.display());
        };
        let image = source.image(&wanted(Some(digest)))?;
        hash_image(source.as_ref(), &image, &settings)?;
    }
    print_peak()
}

fn wanted(name: Option<String>) -> Wanted {
    Wanted {
        platform: Platform::linux_amd64(),
        name,
    }
}

/// Digests of the images of a layout.
fn listed(layout: &Path) -> Result<Vec<String>> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    let images = index.get("manifests").and_then(Value::as_array);
    let digests = images.into_iter().flatten().filter_map(|image| {
        let digest = image.get("digest").and_then(Value::as_str);
        digest.map(str::to_owned)
    });
    Ok(digests.collect())
}

/// Prints the peak of this process's memory in KiB.
fn print_peak() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.context("no VmHWM")?.trim().trim_end_matches(" kB");
    println!("{peak}");
    Ok(())
}

fn measure(parent: &Path, layout: &Path) -> Result<()> {
    let folder = tempfile::tempdir_in(parent)?;
    let one = folder.path().join("one.tar");
    write_layer(BufWriter::new(File::create(&one)?), 0, &[200 * MIB])?.flush()?;
    let many = folder.path().join("many.tar");
    write_layer(BufWriter::new(File::create(&many)?), 1, &[20_971; 10_000])?.flush()?;
    let (image, blobs) = write_image(&folder.path().join("image"))?;

    let mut worst = 0_f64;
    let mut peak = 0;
    let mut image_time = 0.0;
    let inputs = [
        ("200 MiB, one file", one.clone(), vec![one], "openssl"),
        ("200 MiB, 10 000 files", many.clone(), vec![many], "openssl"),
        ("1.5 GB, three gzip layers", image, blobs, "gunzip"),
    ];
    for (name, input, parts, floor) in inputs {
        let (mut ours, mut ratios, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
        let input = input.to_string_lossy();
        // The first round warms the page cache.
        for round in 0..=RUNS {
            let floor = time_floor(floor, &parts)?;
            let own = time_own(&["hash", &input])?;
            if round > 0 {
                ours.push(own.wall);
                ratios.push(own.wall / floor.wall);
                cpu.push(own.cpu / floor.cpu);
                peak = peak.max(own.peak);
            }
        }
        let (own, ratio, cpu) = (median(ours), median(ratios), median(cpu));
        println!(
            "{name}: {own:.2} s, {ratio:.2} of the floor's time, {cpu:.2} of its processor time"
        );
        worst = worst.max(ratio);
        image_time = own;
    }

    let cache = folder.path().join("cache");
    let room = [
        "room".to_owned(),
        layout.display().to_string(),
        cache.display().to_string(),
    ];
    let room: Vec<&str> = room.iter().map(String::as_str).collect();
    let cold = time_own(&room)?;
    let warm = (0..RUNS).map(|_| Ok(time_own(&room)?.wall));
    let warm = median(warm.collect::<Result<_>>()?);
    let images = listed(layout)?.len();
    println!(
        "the room, {images} images: cold {:.2} s, warm {warm:.3} s",
        cold.wall
    );
    println!(
        "{}",
        json!({
            "cold_vs_floor": rounded(worst, 2),
            "image_1g5_s": rounded(image_time, 2),
            "room_warm_s": rounded(warm, 4),
            "peak_rss_mib": peak.div_ceil(1024),
        })
    );
    Ok(())
}

/// What a process took: seconds, seconds of processors, and KiB at its peak.
struct Cost {
    wall: f64,
    cpu: f64,
    peak: u64,
}

fn time_own(arguments: &[&str]) -> Result<Cost> {
    let (start, before) = (Instant::now(), children()?);
    let output = Command::new(std::env::current_exe()?)
        .args(arguments)
        .output()?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), children()? - before);
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let peak = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Cost { wall, cpu, peak })
}

fn time_floor(program: &str, parts: &[PathBuf]) -> Result<Cost> {
    let (start, before) = (Instant::now(), children()?);
    for part in parts {
        let mut command = Command::new(program);
        match program {
            "gunzip" => command.arg("--stdout"),
            _ => command.args(["dgst", "-sha256"]),
        };
        // A blob of a layout has no suffix.
        let status = command
            .stdin(File::open(part)?)
            .stdout(Stdio::null())
            .status()
            .with_context(|| program.to_owned())?;
        if !status.success() {
            bail!("{program}: {status}");
        }
    }
    Ok(Cost {
        wall: start.elapsed().as_secs_f64(),
        cpu: children()? - before,
        peak: 0,
    })
}

/// Processor seconds of the children so far.
fn children() -> Result<f64> {
    use nix::sys::time::TimeValLike as _;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let both = usage.user_time() + usage.system_time();
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    let microseconds = both.num_microseconds() as f64;
    Ok(microseconds / 1e6)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
