//! What the kernel tells of this process's mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::DeployError;

/// A line of `/proc/self/mountinfo`, proc_pid_mountinfo(5): mount point and whether mounts below it propagate.
fn mounts() -> Result<Vec<(PathBuf, bool)>, DeployError> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(text
        .split(|byte| *byte == b'\n')
        .filter_map(mount_of)
        .collect())
}

fn mount_of(line: &[u8]) -> Option<(PathBuf, bool)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = unescaped(fields.nth(4)?);
    let shared = fields
        .skip(1)
        .take_while(|field| *field != b"-")
        .any(|field| field.starts_with(b"shared:"));
    Some((PathBuf::from(OsString::from_vec(point)), shared))
}

/// The kernel writes blanks, tabs, line ends and backslashes as three octal digits. A container may have mounted at such a
/// path.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .first_chunk::<3>()
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        rest = match octal {
            Some(byte) => {
                path.push(byte);
                after.get(3..).unwrap_or_default()
            }
            None => {
                path.push(*first);
                after
            }
        };
    }
    path
}

/// Whether mounts below a path reach other containers.
pub(super) fn on_shared_mount(path: &Path) -> Result<bool, DeployError> {
    let path = path.canonicalize()?;
    let mounts = mounts()?;
    let nearest = mounts
        .iter()
        .filter(|(point, _)| path.starts_with(point))
        // Of several at one place, the last covers the others.
        .max_by_key(|(point, _)| point.components().count());
    Ok(nearest.is_some_and(|(_, shared)| *shared))
}

/// Mounts strictly below a directory, the deepest first.
pub(super) fn mounts_below(directory: &Path) -> Result<Vec<PathBuf>, DeployError> {
    let directory = directory.canonicalize()?;
    let mut below: Vec<PathBuf> = mounts()?
        .into_iter()
        .map(|(point, _)| point)
        .filter(|point| *point != directory && point.starts_with(&directory))
        .collect();
    below.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    Ok(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_gives_its_place_and_whether_it_is_shared() {
        let shared =
            b"36 35 98:0 /mnt1 /srv/a\\040b\\134\\012c rw,noatime shared:1 - ext4 /dev/root rw";
        assert_eq!(
            mount_of(shared),
            Some((PathBuf::from("/srv/a b\\\nc"), true))
        );
        let private = b"36 35 98:0 / /srv rw,noatime - ext4 /dev/shared:1 rw,shared:1";
        assert_eq!(mount_of(private), Some((PathBuf::from("/srv"), false)));
        let slave = b"36 35 98:0 / /srv rw master:7 - ext4 /dev/root rw";
        assert_eq!(mount_of(slave), Some((PathBuf::from("/srv"), false)));
        assert_eq!(mount_of(b""), None);
    }
}
