//! Other processes: what they hold, and their memory.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use crate::report::Report;
use crate::system::call;

pub(crate) fn others(report: &mut Report) {
    let own = std::process::id();
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let others: Vec<u32> = pids.filter(|pid| *pid != own).collect();
    for pid in &others {
        let path = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        report.tried_io(
            "process_environ",
            File::open(path("environ")).and_then(first),
        );
        report.tried_io("process_memory", File::open(path("mem")));
        report.tried_io("process_root", std::fs::read_dir(path("root")));
    }
    if others.is_empty() {
        for name in ["process_environ", "process_memory", "process_root"] {
            report.nothing(name, "there is no other process");
        }
    }
    // Process 1 exists in every namespace, and the call is refused before anybody looks for it.
    let target = u64::from(others.first().copied().unwrap_or(1));
    let attach = u64::from(libc::PTRACE_SEIZE);
    report.tried("ptrace", call(libc::SYS_ptrace, [attach, target, 0, 0, 0]));
    report.tried(
        "process_vm_readv",
        call(libc::SYS_process_vm_readv, [target, 0, 0, 0, 0]),
    );
}

fn first(mut file: File) -> std::io::Result<()> {
    file.read_exact(&mut [0])
}
