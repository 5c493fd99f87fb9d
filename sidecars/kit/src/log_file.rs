use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::KitError;

/// Bytes after which a log file is put aside.
const CAP: u64 = 64 << 20;

/// A log file that is appended to. At its cap it is renamed to `<path>.1`, in the place of an older one, so that both
/// together never exceed twice the cap.
#[derive(Clone, Debug)]
pub(crate) struct LogFile {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    length: u64,
    cap: u64,
}

impl LogFile {
    /// Opens or makes the file, for its owner to write and its group to read; a symbolic link is not followed.
    pub(crate) fn open(path: &Path) -> Result<Self, KitError> {
        Self::with_cap(path, CAP)
    }

    fn with_cap(path: &Path, cap: u64) -> Result<Self, KitError> {
        let opened = open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|source| KitError::LogFile {
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self {
            inner: Arc::new(Mutex::new(Inner {
                path: path.to_owned(),
                length: metadata.len(),
                file,
                cap,
            })),
        })
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

impl Inner {
    fn turn(&mut self) -> io::Result<()> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        let turned = std::fs::rename(&self.path, aside).and_then(|()| open(&self.path));
        match turned {
            Ok(file) => self.file = file,
            // A directory that takes no second file: the bound holds all the same.
            Err(_) => self.file.set_len(0)?,
        }
        self.length = 0;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.length > 0 && inner.length.saturating_add(line.len() as u64) > inner.cap {
            inner.turn()?;
        }
        inner.file.write_all(line)?;
        inner.length = inner.length.saturating_add(line.len() as u64);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn lines_are_appended_and_the_files_stay_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("skr.log");
        std::fs::write(&path, "earlier\n").unwrap();
        let mut log = LogFile::with_cap(&path, 16).unwrap();
        log.write_all(b"first\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"earlier\nfirst\n");
        for _ in 0..100 {
            log.write_all(b"more\n").unwrap();
        }
        for name in ["skr.log", "skr.log.1"] {
            let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
            assert!((5..=16).contains(&text.len()), "{text}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn strangers_do_not_read_it_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("skr.log");
        LogFile::open(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "{mode:o}");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(
            LogFile::open(&link),
            Err(KitError::LogFile { .. })
        ));
    }
}
