//! What a cold root hash costs beyond the physical floor: one thread that only hashes, or only decompresses.
//!
//! Makes a 200 MiB layer of one file, one of 10 000 files, and a 1.5 GB image of three gzip layers, in a new directory below
//! the first argument. Times `openssl dgst -sha256`, or `gunzip`, and ourselves in turn, from a warm page cache, each as a
//! process. The last line is a JSON object: `cold_vs_floor` is the worst ratio of medians.

#![allow(clippy::print_stdout, reason = "the output of a command")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flate2::write::GzEncoder;
use image_layers::source::{Input, Platform, Wanted, open_path};
use image_layers::{Digest, Expected, Limits, Settings, hash_image, hash_layer};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 5;
const MIB: u64 = 1 << 20;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [hash, path] if hash == "hash" => run_hash(Path::new(path)),
        [folder] => measure(Path::new(folder)),
        _ => Err("usage: cold FOLDER".into()),
    }
}

/// What is timed. Prints the peak of memory in KiB.
fn run_hash(path: &Path) -> Outcome<()> {
    match open_path(path)? {
        Input::Layer(file) => {
            hash_layer(file, &Expected::default(), &Limits::default())?;
        }
        Input::Images(source) => {
            let wanted = Wanted {
                platform: Platform::linux_amd64(),
                name: None,
            };
            let image = source.image(&wanted)?;
            hash_image(source.as_ref(), &image, &Settings::default())?;
        }
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!(
        "{}",
        peak.unwrap_or_default().trim().trim_end_matches(" kB")
    );
    Ok(())
}

fn measure(parent: &Path) -> Outcome<()> {
    let folder = tempfile::tempdir_in(parent)?;
    let one = folder.path().join("one.tar");
    write_layer(BufWriter::new(File::create(&one)?), 0, &[200 * MIB])?.flush()?;
    let many = folder.path().join("many.tar");
    write_layer(BufWriter::new(File::create(&many)?), 1, &[20_971; 10_000])?.flush()?;
    let (image, blobs) = write_image(&folder.path().join("image"))?;

    let mut worst = 0_f64;
    let mut peaks = Vec::new();
    let mut image_time = Duration::ZERO;
    let inputs = [
        ("one file", one.clone(), vec![one], "openssl"),
        ("10 000 files", many.clone(), vec![many], "openssl"),
        ("image", image, blobs, "gunzip"),
    ];
    for (name, input, parts, floor) in inputs {
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        // The first round warms the page cache.
        for round in 0..=RUNS {
            let (floor, (own, peak)) = (time_floor(floor, &parts)?, time_own(&input)?);
            if round > 0 {
                ours.push(own);
                floors.push(floor);
                peaks.push(peak);
            }
        }
        let (own, floor) = (median(ours), median(floors));
        let ratio = own.as_secs_f64() / floor.as_secs_f64();
        println!("{name}: {own:.2?}, floor {floor:.2?}, ratio {ratio:.2}");
        worst = worst.max(ratio);
        image_time = own;
    }
    let peak = peaks.into_iter().max().unwrap_or_default();
    println!(
        "{}",
        json!({
            "cold_vs_floor": (worst * 100.0).round() / 100.0,
            "image_1g5_s": (image_time.as_secs_f64() * 100.0).round() / 100.0,
            "peak_rss_mib": peak.div_ceil(1024),
        })
    );
    Ok(())
}

fn time_own(input: &Path) -> Outcome<(Duration, u64)> {
    let start = Instant::now();
    let output = Command::new(std::env::current_exe()?)
        .arg("hash")
        .arg(input)
        .output()?;
    let elapsed = start.elapsed();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok((elapsed, String::from_utf8(output.stdout)?.trim().parse()?))
}

fn time_floor(program: &str, parts: &[PathBuf]) -> Outcome<Duration> {
    let start = Instant::now();
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
            .status()?;
        if !status.success() {
            return Err(format!("{program}: {status}").into());
        }
    }
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A layer of files of these sizes, a hundred to a directory.
fn write_layer<W: Write>(to: W, seed: u64, sizes: &[u64]) -> Outcome<W> {
    let mut tar = tar::Builder::new(to);
    for (index, size) in sizes.iter().enumerate() {
        let mut header = tar::Header::new_ustar();
        header.set_size(*size);
        header.set_mode(0o644);
        let path = format!("d{:03}/f{index:05}", index / 100);
        let content = Content {
            state: seed ^ (index as u64) << 32,
            block: Vec::new(),
            at: 0,
        };
        tar.append_data(&mut header, path, content.take(*size))?;
    }
    Ok(tar.into_inner()?)
}

/// An image of three gzip layers of 512 MiB; its layout and its layers' blobs.
fn write_image(layout: &Path) -> Outcome<(PathBuf, Vec<PathBuf>)> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let (mut layers, mut diff_ids, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 2..5 {
        let path = blobs.join("new");
        let encoder = GzEncoder::new(
            BufWriter::new(File::create(&path)?),
            flate2::Compression::new(4),
        );
        write_layer(encoder, seed, &[4 * MIB; 128])?
            .finish()?
            .flush()?;
        let hash = hash_layer(File::open(&path)?, &Expected::default(), &Limits::default())?;
        let place = blobs.join(hash.blob.hex());
        fs::rename(path, &place)?;
        layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": hash.blob.to_string(),
            "size": hash.blob_size,
        }));
        diff_ids.push(hash.diff_id.to_string());
        paths.push(place);
    }
    let document = |media_type: &str, content: serde_json::Value| -> Outcome<serde_json::Value> {
        let bytes = content.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        fs::write(blobs.join(digest.hex()), &bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() }))
    };
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = document("application/vnd.oci.image.config.v1+json", config)?;
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let manifest = document("application/vnd.oci.image.manifest.v1+json", manifest)?;
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string())?;
    Ok((layout.to_owned(), paths))
}

/// Bytes that compress to a third, as programs do: a quarter random, the rest from a small alphabet.
struct Content {
    state: u64,
    block: Vec<u8>,
    at: usize,
}

impl Content {
    fn word(&mut self) -> [u8; 8] {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27))
            .wrapping_mul(0x94d0_49bb_1331_11eb)
            .to_le_bytes()
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at >= self.block.len() {
            self.block.clear();
            for index in 0..512 {
                let word = self.word();
                let [kind, ..] = word;
                match index % 4 {
                    0 => self.block.extend_from_slice(&word),
                    _ => self.block.extend([kind % 16; 8]),
                }
            }
            self.at = 0;
        }
        let read = self.block.get(self.at..).unwrap_or_default().read(buffer)?;
        self.at += read;
        Ok(read)
    }
}
