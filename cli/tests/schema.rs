//! The published JSON Schema is what the program prints.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

use std::process::Command;

#[test]
fn the_published_schema_is_what_the_program_prints_and_nothing_else() {
    let program = Command::new(env!("CARGO_BIN_EXE_cleanroom"))
        .args(["config", "schema"])
        .env_clear()
        .output()
        .unwrap();
    assert!(program.status.success());
    assert!(program.stderr.is_empty());
    let published = include_str!("../../docs/specification.schema.json");
    assert!(
        program.stdout == published.as_bytes(),
        "run `cleanroom config schema > docs/specification.schema.json`"
    );
}
