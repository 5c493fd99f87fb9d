//! Files: devices, the platform's controls, the input, the image, other parties' data.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::Path;

use crate::report::Report;

pub(crate) fn devices(report: &mut Report) {
    for name in [
        "sev",
        "sev-guest",
        "fuse",
        "kmsg",
        "mem",
        "vsock",
        "net/tun",
    ] {
        let path = Path::new("/dev").join(name);
        report.tried_io(format!("device_{name}"), File::open(path));
    }
}

pub(crate) fn writes(report: &mut Report, input: Option<&OsStr>) {
    match input {
        Some(input) => {
            report.tried_io("write_input", File::create(Path::new(input).join("attack")));
        }
        None => report.nothing("write_input", "INPUT_LOCATION is not set"),
    }
    report.tried_io("write_root", File::create("/attack"));
    let controls = [
        ("write_core_pattern", "/proc/sys/kernel/core_pattern"),
        ("write_sysrq", "/proc/sysrq-trigger"),
        ("write_cgroup", "/sys/fs/cgroup/cgroup.procs"),
    ];
    // Opening is enough to know; nothing is written, in case it works.
    for (name, path) in controls {
        report.tried_io(name, OpenOptions::new().write(true).open(path));
    }
    report.tried_io(
        "kernel_memory",
        File::open("/proc/kcore").and_then(first_byte),
    );
}

fn first_byte(mut file: File) -> std::io::Result<()> {
    let mut byte = [0];
    std::io::Read::read_exact(&mut file, &mut byte)
}

/// Whether anything can be seen where the room keeps every party's data.
pub(crate) fn datasets(report: &mut Report, datasets: &Path) {
    match std::fs::read_dir(datasets) {
        Ok(entries) => {
            // An empty mount point on the way to our own data shows nothing.
            let own = std::env::vars_os().map(|(_, value)| value);
            let own: Vec<_> = own.collect();
            let foreign = entries.flatten().find(|entry| {
                let path = entry.path();
                !own.iter().any(|value| Path::new(value).starts_with(&path))
            });
            match foreign {
                Some(_) => report.tried_io("other_datasets", Ok(())),
                None => report.nothing("other_datasets", "ENOENT"),
            }
        }
        Err(error) => report.tried_io("other_datasets", Err::<(), _>(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_of_another_party_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::default();
        datasets(&mut report, folder.path());
        assert!(report.all_stopped());
        std::fs::create_dir(folder.path().join("fabrikam-input")).unwrap();
        datasets(&mut report, folder.path());
        assert!(report.worked("other_datasets"));
    }

    #[test]
    fn a_writable_input_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::default();
        writes(&mut report, Some(folder.path().as_os_str()));
        assert!(report.worked("write_input"));
        let _ = std::fs::remove_file("/attack");
    }
}
