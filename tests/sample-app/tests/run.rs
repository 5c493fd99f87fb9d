//! The application as its users see it: a process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use tempfile::TempDir;

fn run(input: &Path, output: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sample-app"));
    command
        .env_clear()
        .env("INPUT_LOCATION", input)
        .env("OUTPUT_LOCATION", output)
        .env("INPUT_WAIT_SECONDS", "0");
    command.output().unwrap()
}

#[test]
fn the_input_is_compressed_and_exactly_five_lines_are_printed() {
    let (input, output) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let text = "a clean room ".repeat(100_000);
    fs::write(input.path().join("input.txt"), &text).unwrap();
    let ran = run(input.path(), output.path());
    assert_eq!(ran.status.code(), Some(0));
    let expected = format!(
        "File is present at: {}/input.txt\nOpening the input file.\nCreating the output file.\n\
         Compressing the file.\nFile compressed successfully.\n",
        input.path().display()
    );
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), expected);
    assert!(ran.stderr.is_empty());
    let mut back = String::new();
    GzDecoder::new(File::open(output.path().join("output.gz")).unwrap())
        .read_to_string(&mut back)
        .unwrap();
    assert_eq!(back, text);
}

#[test]
fn a_missing_input_ends_with_code_two_after_the_wait() {
    let (input, output) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let ran = run(input.path(), output.path());
    assert_eq!(ran.status.code(), Some(2));
    let text = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(
        text,
        format!(
            "Timeout waiting for file at: {}/input.txt\n",
            input.path().display()
        )
    );
}

#[test]
fn an_output_that_cannot_be_written_ends_with_code_two() {
    let input = TempDir::new().unwrap();
    fs::write(input.path().join("input.txt"), "text").unwrap();
    let ran = run(input.path(), &input.path().join("absent"));
    assert_eq!(ran.status.code(), Some(2));
    assert!(
        String::from_utf8(ran.stdout)
            .unwrap()
            .ends_with("Creating the output file.\n")
    );
}
