//! How far the kernel reads ahead on a mount: 128 KiB unless told otherwise, which also bounds one request.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Enough that a sequential reader always finds the next request under way.
const KIB: u32 = 2048;

/// The kernel's setting for one mount. It belongs to root and takes effect only after the FUSE handshake, when root has
/// been given up: so it is opened before.
#[derive(Debug)]
pub struct ReadAhead(File);

impl ReadAhead {
    /// Opens the setting of the mount at `path`. Asks the mount nothing: nobody serves it yet.
    ///
    /// # Errors
    /// The kernel does not show the setting, or `/sys` is not writable, as in an unprivileged container.
    pub fn of(path: &Path) -> io::Result<Self> {
        let root = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path)?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", root.as_raw_fd()))?;
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let device =
            device(&mounts, id.unwrap_or_default().trim()).ok_or(io::ErrorKind::NotFound)?;
        let setting = format!("/sys/class/bdi/{device}/read_ahead_kb");
        Ok(Self(OpenOptions::new().write(true).open(setting)?))
    }

    /// Sets it. Must be called after the handshake, which sets the kernel's own value.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn raise(mut self) -> io::Result<()> {
        self.0.write_all(KIB.to_string().as_bytes())
    }
}

/// `major:minor` of a mount in the form of `/proc/self/mountinfo`.
fn device<'a>(mounts: &'a str, id: &str) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(id)).then(|| words.nth(1)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_number_alone() {
        let mounts =
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n122 22 0:45 / /mnt/a rw - fuse cleanroom rw\n";
        assert_eq!(device(mounts, "122"), Some("0:45"));
        assert_eq!(device(mounts, "2"), None);
        assert_eq!(device(mounts, ""), None);
    }
}
