//! One test for each sentence of `docs/mount-semantics.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

mod attributes;
mod content;
mod durability;
mod model;
mod names;
mod opening;
mod pinned;
mod refused;
mod room;
mod trouble;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_sentence_has_its_test_and_every_test_its_sentence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../docs/mount-semantics.md")).unwrap();
    let promised: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once("** "))
        .map(|(id, _)| id.replace('-', "_"))
        .collect();
    let unique: BTreeSet<String> = promised.iter().cloned().collect();
    assert_eq!(unique.len(), promised.len(), "an id twice");
    let groups: BTreeSet<&str> = unique
        .iter()
        .filter_map(|id| id.split('_').next())
        .collect();
    let mut tested = BTreeSet::new();
    for folder in ["tests/semantics", "tests/process"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let source = fs::read_to_string(entry.unwrap().path()).unwrap();
            let mut is_test = false;
            for line in source.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
                    let mut words = name.split(['_', '(']);
                    let (group, number) = (words.next().unwrap(), words.next().unwrap());
                    if groups.contains(group) && number.parse::<u32>().is_ok() {
                        let id = format!("{group}_{number}");
                        assert!(tested.insert(id.clone()), "{id} twice");
                    }
                }
                is_test = line == "#[test]" || (is_test && line.starts_with("#["));
            }
        }
    }
    assert_eq!(tested, unique);
    assert!(unique.len() > 40);
}
