//! What the utility VM asks for, since which version of the API, and what it takes a policy to mean that does not say.

use crate::Version;

/// An enforcement point.
#[derive(Debug)]
pub struct Point {
    /// Its name.
    pub name: &'static str,
    /// The version that introduced it.
    pub since: Version,
    /// What an older policy means.
    pub missing: Missing,
}

/// What an older policy means that has no rule for a point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Missing {
    /// No.
    Refuse,
    /// Yes.
    Allow,
    /// Whatever the framework answers.
    Framework,
}

const fn point(name: &'static str, since: Version, missing: Missing) -> Point {
    Point {
        name,
        since,
        missing,
    }
}

/// The points of Linux.
pub const POINTS: [Point; 23] = {
    use Missing::{Allow, Framework, Refuse};
    [
        point("mount_device", Version(0, 1, 0), Refuse),
        point("rw_mount_device", Version(0, 11, 0), Framework),
        point("mount_blockdev", Version(0, 11, 1), Refuse),
        point("unmount_blockdev", Version(0, 11, 1), Refuse),
        point("mount_overlay", Version(0, 1, 0), Refuse),
        point("create_container", Version(0, 1, 0), Refuse),
        point("unmount_device", Version(0, 2, 0), Allow),
        point("rw_unmount_device", Version(0, 11, 0), Framework),
        point("unmount_overlay", Version(0, 6, 0), Allow),
        point("exec_in_container", Version(0, 2, 0), Allow),
        point("exec_external", Version(0, 3, 0), Allow),
        point("shutdown_container", Version(0, 4, 0), Allow),
        point("signal_container_process", Version(0, 5, 0), Allow),
        point("plan9_mount", Version(0, 6, 0), Allow),
        point("plan9_unmount", Version(0, 6, 0), Allow),
        point("get_properties", Version(0, 7, 0), Allow),
        point("dump_stacks", Version(0, 7, 0), Allow),
        point("runtime_logging", Version(0, 8, 0), Allow),
        point("load_fragment", Version(0, 9, 0), Refuse),
        point("scratch_mount", Version(0, 10, 0), Allow),
        point("scratch_unmount", Version(0, 10, 0), Allow),
        point("host_network", Version(0, 12, 0), Refuse),
        point("load_transparency_trust_list", Version(0, 12, 0), Refuse),
    ]
};

/// Points of Windows; a policy may have rules for them, and nobody asks.
const WINDOWS: [&str; 3] = ["mount_cims", "registry_changes", "log_provider"];

/// The point of a name.
pub fn find(name: &str) -> Option<&'static Point> {
    POINTS.iter().find(|point| point.name == name)
}

/// Whether a policy may have a rule of this name for a point.
pub(crate) fn is_point(name: &str) -> bool {
    find(name).is_some() || WINDOWS.contains(&name)
}
