//! The mounts of a container.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::candidate::Candidate;
use crate::input::{Create, Mount};
use crate::pattern;

/// A mount of the platform's own: destination, type, source, options.
type Fixed = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// What containerd gives every container.
const DEFAULT: [Fixed; 9] = [
    ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
    (
        "/dev",
        "tmpfs",
        "tmpfs",
        &["nosuid", "strictatime", "mode=755", "size=65536k"],
    ),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        &[
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ],
    ),
    (
        "/dev/shm",
        "tmpfs",
        "shm",
        &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    ),
    (
        "/dev/mqueue",
        "mqueue",
        "mqueue",
        &["nosuid", "noexec", "nodev"],
    ),
    (
        "/sys",
        "sysfs",
        "sysfs",
        &["nosuid", "noexec", "nodev", "ro"],
    ),
    (
        "/run",
        "tmpfs",
        "tmpfs",
        &["nosuid", "strictatime", "mode=755", "size=65536k"],
    ),
    (
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", "ro"],
    ),
    (
        "/sys/fs/cgroup",
        "cgroup2",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", "ro"],
    ),
];
const SYSFS_RW: Fixed = (
    "/sys",
    "sysfs",
    "sysfs",
    &["nosuid", "noexec", "nodev", "rw"],
);
/// What a privileged container gets besides.
const PRIVILEGED: [Fixed; 3] = [
    (
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", "rw"],
    ),
    (
        "/sys/fs/cgroup",
        "cgroup2",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", "rw"],
    ),
    SYSFS_RW,
];

/// The mounts of a container that its template does not name.
pub(crate) fn of_the_platform(privileged: bool) -> impl Iterator<Item = Value> {
    let writable = move |fixed: &&Fixed| !privileged || fixed.0 != SYSFS_RW.0;
    let fixed = DEFAULT.iter().filter(|fixed| fixed.1 != "cgroup2");
    let fixed = fixed
        .filter(writable)
        .chain(privileged.then_some(&SYSFS_RW));
    fixed.map(|(destination, kind, source, options)| {
        json!({"destination": destination, "type": kind, "source": source, "options": options})
    })
}

/// The mounts of a request that a container does not have.
pub(crate) fn unknown<'m>(
    candidate: &Candidate,
    input: &'m Create,
    plan9: &BTreeMap<String, String>,
) -> Vec<&'m Mount> {
    let mounts = input.mounts.iter();
    mounts
        .filter(|mount| !allowed(candidate, input, mount, plan9))
        .collect()
}

fn allowed(
    candidate: &Candidate,
    input: &Create,
    mount: &Mount,
    plan9: &BTreeMap<String, String>,
) -> bool {
    if mount.destination.is_empty() {
        return false;
    }
    let elevated = candidate.container.allow_elevated;
    let fixed = DEFAULT
        .iter()
        .chain(PRIVILEGED.iter().filter(|_| elevated))
        .chain(input.is_sandbox_container.then_some(&SYSFS_RW));
    let mut fixed = fixed.map(|(destination, kind, source, options)| {
        mount.destination == *destination
            && mount.kind == *kind
            && mount.source == *source
            && same(options.iter().copied(), mount)
    });
    let mut rules = candidate.container.mounts.iter().map(|rule| {
        mount.destination == rule.destination
            && mount.kind == rule.kind
            && same(rule.options.iter().map(String::as_str), mount)
            && from(&rule.source, mount, input, plan9)
    });
    fixed.any(|one| one) || rules.any(|one| one)
}

fn same<'o>(options: impl ExactSizeIterator<Item = &'o str>, mount: &Mount) -> bool {
    options.len() == mount.options.len()
        && options.collect::<BTreeSet<_>>() == mount.options.iter().map(String::as_str).collect()
}

fn from(source: &str, mount: &Mount, input: &Create, plan9: &BTreeMap<String, String>) -> bool {
    if source == mount.source {
        return true;
    }
    if source.starts_with("plan9://") {
        return plan9.get(&mount.source) == Some(&input.process.container_id);
    }
    let pattern = if let Some(rest) = source.strip_prefix("sandbox://") {
        format!("{}{rest}", input.sandbox_dir)
    } else if let Some(rest) = source.strip_prefix("hugepages://") {
        format!("{}{rest}", input.huge_pages_dir)
    } else {
        source.to_owned()
    };
    pattern::matches(&pattern, &mount.source)
}
