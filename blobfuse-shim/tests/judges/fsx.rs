//! fsx: random reads, writes, truncations and memory maps of one file, every byte compared with what it must be.

use std::fs;

use crate::tools::{Bench, scaled};

/// A page or two at a time, in a file of one extent.
const SMALL: &str = "flen = 262144\nopsize.max = 20000\n";
/// Over the borders of three extents.
const EXTENTS: &str = "flen = 9000000\nopsize.max = 200000\n";
/// Weights of what every run does.
const COMMON: &str = "read = 10\nwrite = 10\nmapwrite = 10\ntruncate = 6\nsendfile = 5\nposix_fadvise = 3\ninvalidate = 3\ncopy_file_range = 5\n";

/// fsx never unmaps what it read through a map, so the file would stay open for writing: a run either maps for reading or
/// closes.
const MAPPING: &str = "mapread = 10\nclose_open = 0\n";
const CLOSING: &str = "mapread = 0\nclose_open = 3\n";

fn run(bench: &Bench, name: &str, sizes: &str, weights: &str, (operations, seed): (u64, u64)) {
    let config = bench.scratch.path().join(format!("{name}.toml"));
    fs::write(&config, format!("{sizes}[weights]\n{COMMON}{weights}")).unwrap();
    let file = bench.mount.join(name);
    let (operations, seed) = (scaled(operations).to_string(), seed.to_string());
    let paths = [&config, &file].map(|path| path.to_str().unwrap());
    let artifacts = bench.scratch.path().to_str().unwrap();
    let args = [
        "-f",
        paths[0],
        "-N",
        &operations,
        "-S",
        &seed,
        "-P",
        artifacts,
        paths[1],
    ];
    let text = bench.judge(&bench.tool("fsx"), &args, scaled(60));
    assert!(text.contains("All operations completed"), "{text}");
}

#[test]
fn fsx_maps_a_file_of_one_extent() {
    let bench = Bench::new(&[]);
    for seed in 1..=3 {
        let weights = [MAPPING, "fsync = 1\nfdatasync = 0.5\n"].concat();
        run(&bench, "mapped", SMALL, &weights, (4000, seed));
    }
}

#[test]
fn fsx_closes_and_opens_a_file_of_one_extent() {
    let bench = Bench::new(&[]);
    for seed in 4..=5 {
        let weights = [CLOSING, "fsync = 1\nfdatasync = 0.5\n"].concat();
        run(&bench, "closed", SMALL, &weights, (3500, seed));
    }
}

#[test]
fn fsx_works_across_extents_with_little_memory() {
    let bench = Bench::new(&["--memory-limit-mb", "64"]);
    let weights = [MAPPING, "fsync = 0.2\nfdatasync = 0.2\n"].concat();
    run(&bench, "mapped", EXTENTS, &weights, (700, 6));
    let weights = [CLOSING, "fsync = 0.2\n"].concat();
    run(&bench, "closed", EXTENTS, &weights, (500, 7));
}
