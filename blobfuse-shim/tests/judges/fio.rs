//! fio: several jobs at once write checksummed blocks and read them back.

use std::fs;
use std::path::Path;

use crate::tools::{Bench, scaled};

/// Each block carries a CRC-32C of its content, and of its place: one that is lost, torn or misplaced is found.
const COMMON: &str = "[global]\nioengine=psync\nverify=crc32c\nverify_fatal=1\nverify_dump=0\nallow_file_create=1\nfallocate=none\nrandseed=5\nfsync_on_close=1\n";

/// Front to back, at random, and with blocks of all sizes; with commits in between.
const JOBS: &str = "[sequential]\nrw=write\nbs=256k\n[random]\nrw=randwrite\nbs=16k\nfsync=200\n\
    [mixed]\nrw=randwrite\nbsrange=4k-96k\nfsync=150\n[both]\nrw=randrw\nbs=4k\nfdatasync=300\n";

#[test]
fn fio_reads_back_every_block_that_it_wrote() {
    let mut bench = Bench::new(&["--memory-limit-mb", "64"]);
    let size = scaled(9 << 20);
    let job = bench.scratch.path().join("job.fio");
    let directory = bench.mount.to_str().unwrap();
    let text = format!("{COMMON}directory={directory}\nsize={size}\n{JOBS}");
    fs::write(&job, text).unwrap();
    let written = run(&bench, &[], &job);
    assert!(
        written.iter().all(|(write, read)| read >= write),
        "{written:?}"
    );
    bench.remount();
    let verified = run(&bench, &["--verify_only"], &job);
    assert!(
        verified
            .iter()
            .zip(&written)
            .all(|(now, before)| now.1 >= before.0),
        "{verified:?} {written:?}"
    );
}

/// Bytes that each job wrote and read.
fn run(bench: &Bench, args: &[&str], job: &Path) -> Vec<(u64, u64)> {
    let args = [&["--output-format=json"], args, &[job.to_str().unwrap()]].concat();
    let text = bench.judge(Path::new("fio"), &args, scaled(60));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let jobs = report["jobs"].as_array().unwrap().iter().map(|job| {
        assert_eq!(job["error"], 0, "{job}");
        let bytes = |way: &str| job[way]["io_bytes"].as_u64().unwrap();
        (bytes("write"), bytes("read"))
    });
    let jobs: Vec<_> = jobs.collect();
    assert_eq!(jobs.len(), 4);
    jobs
}
