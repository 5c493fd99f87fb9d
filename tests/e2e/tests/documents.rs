//! The documents say what the code does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::collections::BTreeSet;
use std::path::Path;

/// Folders of the product; tests may make up codes.
const SOURCES: [&str; 8] = [
    "sidecars",
    "skr-agent",
    "blobfuse-shim",
    "code-launcher",
    "otel-collector",
    "policy",
    "cli",
    "images",
];

fn codes_in(folder: &Path, codes: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if path.is_dir() && name != "tests" && name != "target" {
            codes_in(&path, codes);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let quoted = text
                .split('"')
                .filter(|word| word.starts_with("CR-") && word.len() < 20);
            codes.extend(quoted.map(str::to_owned));
        }
    }
}

#[test]
fn every_code_of_the_product_is_explained_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut codes = BTreeSet::new();
    for folder in SOURCES {
        codes_in(&root.join(folder), &mut codes);
    }
    codes.retain(|code| {
        !code.starts_with("CR-TEST") && code.rsplit('-').next().is_some_and(|n| n.len() == 4)
    });
    assert!(codes.len() > 150, "only {} codes found", codes.len());
    let document = std::fs::read_to_string(root.join("docs/errors.md")).unwrap();
    let rows: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| CR-"))
        .filter_map(|row| row.split(' ').next())
        .collect();
    for code in &codes {
        let times = rows
            .iter()
            .filter(|row| format!("CR-{row}") == *code)
            .count();
        assert_eq!(times, 1, "{code} is in {times} rows of docs/errors.md");
    }
}
