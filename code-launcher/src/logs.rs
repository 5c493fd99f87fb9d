use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Mutex;

/// Longest text of one line; a longer one comes as several partial lines.
const LONGEST: usize = 16 << 10;

/// Standard output and error of an application in the CRI log format: `<time> <stream> <F|P> <text>`.
///
/// Keeps at most `limit` bytes in each of two files: the newest, and `<path>.1` before it. Where older lines were
/// dropped, the newest file begins with a line that says how many bytes they had.
#[derive(Debug)]
pub struct CriLog {
    path: PathBuf,
    file: File,
    written: u64,
    /// Bytes of the file before.
    before: u64,
    /// Bytes that are in neither file any more.
    dropped: u64,
    limit: u64,
}

impl CriLog {
    /// Opens a log of at most twice `limit` bytes.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: PathBuf, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        let written = file.metadata()?.len();
        let before = std::fs::metadata(older(&path)).map_or(0, |before| before.len());
        Ok(Self {
            path,
            file,
            written,
            before,
            dropped: 0,
            limit,
        })
    }

    fn line(&mut self, stream: &str, full: bool, text: &[u8]) -> io::Result<()> {
        let time = OffsetDateTime::now_utc()
            .format(&Rfc3339)
            .map_err(io::Error::other)?;
        let mut line = format!("{time} {stream} {} ", if full { 'F' } else { 'P' }).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        if self.written + line.len() as u64 > self.limit && self.written > 0 {
            self.turn(&time)?;
        }
        self.append(&line)
    }

    /// Begins a new file; what was in the one before the last is dropped.
    fn turn(&mut self, time: &str) -> io::Result<()> {
        std::fs::rename(&self.path, older(&self.path))?;
        self.file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)?;
        self.dropped += std::mem::replace(&mut self.before, self.written);
        self.written = 0;
        if self.dropped > 0 {
            let note = format!(
                "{time} stderr F [code-launcher: {} bytes of older lines were dropped; two files of {} bytes are kept]\n",
                self.dropped, self.limit
            );
            self.append(note.as_bytes())?;
        }
        Ok(())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.written += line.len() as u64;
        Ok(())
    }
}

/// The file before the newest.
fn older(path: &Path) -> PathBuf {
    let mut old = path.to_owned().into_os_string();
    old.push(".1");
    old.into()
}

/// Copies one stream of the application until it ends. A log that takes no more does not stop the application: the rest of
/// the stream is read and dropped.
///
/// # Errors
/// The stream cannot be read, or (at its end) some of it could not be written.
pub(crate) async fn copy(
    mut from: impl AsyncRead + Unpin,
    stream: &str,
    log: &Mutex<CriLog>,
) -> io::Result<()> {
    let mut lost = Ok(());
    let mut line = Vec::new();
    let mut chunk = vec![0; 8 << 10];
    loop {
        let count = from.read(&mut chunk).await?;
        let read = chunk.get(..count).unwrap_or_default();
        for byte in read {
            let full = *byte == b'\n';
            if !full {
                line.push(*byte);
            }
            if full || line.len() == LONGEST {
                if lost.is_ok() {
                    lost = log.lock().await.line(stream, full, &line);
                }
                line.clear();
            }
        }
        if count == 0 {
            if !line.is_empty() && lost.is_ok() {
                lost = log.lock().await.line(stream, true, &line);
            }
            return lost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn logged(input: &[u8], limit: u64) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let log = Mutex::new(CriLog::open(path.clone(), limit).unwrap());
        copy(input, "stdout", &log).await.unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        (folder, text)
    }

    #[tokio::test]
    async fn lines_are_stamped_and_the_last_needs_no_newline() {
        let (_folder, text) = logged(b"one\n\ntwo", 1 << 20).await;
        let rest: Vec<&str> = text
            .lines()
            .map(|line| line.split_once(' ').unwrap().1)
            .collect();
        assert_eq!(rest, ["stdout F one", "stdout F ", "stdout F two"]);
        for line in text.lines() {
            OffsetDateTime::parse(line.split(' ').next().unwrap(), &Rfc3339).unwrap();
        }
    }

    #[tokio::test]
    async fn a_long_line_comes_in_parts_that_join_again() {
        let long = vec![b'x'; LONGEST + 5];
        let (_folder, text) = logged(&[&long[..], b"\n"].concat(), 1 << 20).await;
        let parts: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.splitn(4, ' ').collect())
            .collect();
        assert_eq!((parts[0][2], parts[0][3].len()), ("P", LONGEST));
        assert_eq!((parts[1][2], parts[1][3].len()), ("F", 5));
    }

    #[tokio::test]
    async fn a_flood_stays_within_two_files_and_the_newest_says_what_is_missing() {
        let input = b"a line of some length\n".repeat(1000);
        let (folder, text) = logged(&input, 4096).await;
        assert!(text.len() <= 4096);
        let old = std::fs::read_to_string(folder.path().join("app.log.1")).unwrap();
        assert!(old.len() <= 4096);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        // Every line has as many bytes as the last, and none is neither kept nor counted.
        let note = text.lines().next().unwrap();
        let (_, rest) = note.split_once(" stderr F [code-launcher: ").unwrap();
        let dropped: usize = rest.split_once(' ').unwrap().0.parse().unwrap();
        assert!(dropped > 0);
        let kept = |text: &str| text.lines().filter(|line| line.ends_with("length")).count();
        let length = text.lines().last().unwrap().len() + 1;
        let noted = dropped % length;
        let lines = (dropped - noted) / length;
        assert!(lines + kept(&text) + kept(&old) >= 1000, "{note}");
    }

    #[tokio::test]
    async fn a_log_that_fits_in_two_files_says_nothing_of_its_own() {
        let input = b"a line of some length\n".repeat(100);
        let (folder, text) = logged(&input, 4096).await;
        let old = std::fs::read_to_string(folder.path().join("app.log.1")).unwrap();
        assert_eq!(old.lines().count() + text.lines().count(), 100);
        assert!(!text.contains("code-launcher"));
    }
}
