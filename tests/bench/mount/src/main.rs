//! Measures the mount; the last line is one JSON object of ratios:
//!
//! - `seq_read_vs_ceiling`: v2 against a plaintext file system in memory with the same FUSE settings
//! - `v2_vs_sse_read`, `v2_vs_sse_write`: v2 against our own mount without client-side encryption
//! - `seq_read_vs_gocryptfs`, `seq_write_vs_gocryptfs`, `rand4k_vs_gocryptfs`, `rand256k_vs_gocryptfs`,
//!   `small_files_vs_gocryptfs`: v2 against gocryptfs over tmpfs
//! - `rand256k_vs_v1`: v2 against format v1
//! - `seq_read_rtt15_vs_emulator`: v2 over emulated storage 15 ms away against the same requests without a mount
//! - `peak_rss_vs_budget`: most resident memory of the mount's process over its budget
//!
//! All but the last two run over a store in memory, so that no HTTP server shares the processors. Each ratio is the lower
//! (of memory: the higher) of its rows, each row a median of rounds in which both sides take turns. All mounts lie in a
//! mount namespace of this process and all other processes end with it, however it ends. Needs root, /dev/fuse, fio and
//! gocryptfs.

mod bare;
mod ceiling;
mod emulator;
mod fio;
mod plain;
mod process;
mod report;
mod rows;
mod serve;
mod small;

use std::io::Write as _;

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("role-serve") => serve::run(),
        Some("role-ceiling") => ceiling::run(),
        Some("role-emulator") => emulator::run(),
        part => {
            let ratios = rows::run(part)?;
            writeln!(std::io::stdout(), "{ratios}")?;
            Ok(())
        }
    }
}
