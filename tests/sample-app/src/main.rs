//! The sample application: compresses `$INPUT_LOCATION/input.txt` to `$OUTPUT_LOCATION/output.gz`.
//!
//! Five lines on success and nothing else; exit code 0, or 2 after any failure. `INPUT_WAIT_SECONDS` (default 600)
//! bounds the wait for an input that another party has yet to upload.
use std::env;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Between two looks at a mount whose content appears elsewhere: the file system has no notification for that.
const LOOK_EVERY: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere is left to report that stderr is closed.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> io::Result<()> {
    let input = location("INPUT_LOCATION")?.join("input.txt");
    let output = location("OUTPUT_LOCATION")?.join("output.gz");
    let seconds = env::var("INPUT_WAIT_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(600);
    wait_for(&input, Duration::from_secs(seconds))?;
    say(&format!("File is present at: {}", input.display()))?;
    say("Opening the input file.")?;
    let mut source = BufReader::with_capacity(1 << 20, File::open(&input)?);
    say("Creating the output file.")?;
    let target = File::create(&output)?;
    say("Compressing the file.")?;
    let mut encoder = GzEncoder::new(
        BufWriter::with_capacity(1 << 20, target),
        Compression::default(),
    );
    io::copy(&mut source, &mut encoder)?;
    let target = encoder
        .finish()?
        .into_inner()
        .map_err(|error| error.into_error())?;
    // The mount reports a lost write here and at close, and close has no way to say so.
    target.sync_all()?;
    say("File compressed successfully.")
}

fn location(name: &str) -> io::Result<PathBuf> {
    let found = env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not set")))
}

fn wait_for(path: &Path, limit: Duration) -> io::Result<()> {
    let begun = Instant::now();
    while !path.try_exists()? {
        let left = limit.saturating_sub(begun.elapsed());
        if left.is_zero() {
            let text = format!("Timeout waiting for file at: {}", path.display());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        say(&format!("File is not yet present at: {}", path.display()))?;
        thread::park_timeout(left.min(LOOK_EVERY));
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}
