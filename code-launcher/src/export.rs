//! Gathered files into the sink of the party that owns it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Copies the files of a folder into a sink and returns how many there were. Every file is durable then.
///
/// # Errors
/// The first file that cannot be read or written durably.
pub(crate) fn copy(from: &Path, sink: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        // The folder is flat; a link could name anything.
        if !entry.file_type()?.is_file() {
            continue;
        }
        let mut source = OpenOptions::new()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
            .open(entry.path())?;
        let mut target = File::create(sink.join(entry.file_name()))?;
        io::copy(&mut source, &mut target)?;
        // The mount reports a lost write here.
        target.sync_all()?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_files_are_copied_and_links_are_not_followed() {
        let (from, sink) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("identity.traces.jsonl"), "{}\n").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.path().join("link")).unwrap();
        assert_eq!(copy(from.path(), sink.path()).unwrap(), 1);
        let copied = std::fs::read(sink.path().join("identity.traces.jsonl")).unwrap();
        assert_eq!(copied, b"{}\n");
        assert!(!sink.path().join("link").exists());
    }

    #[test]
    fn a_sink_that_takes_no_file_is_an_error() {
        let from = tempfile::tempdir().unwrap();
        std::fs::write(from.path().join("app.log"), "x").unwrap();
        assert!(copy(from.path(), Path::new("/nonexistent-sink")).is_err());
    }
}
