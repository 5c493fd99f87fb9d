//! One artefact, from a file or a variable that the host filled: bounded, and never followed elsewhere.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Reads a file of base64. The file must be one: a link could lead to another container's data, a FIFO would never end.
pub(super) fn of_file(path: &Path, cap: u64) -> Result<Vec<u8>, Missing> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Missing::Absent,
            _ if error.raw_os_error() == Some(libc::ELOOP) => {
                Missing::Unusable("a symbolic link, expected a file".to_owned())
            }
            _ => Missing::Unusable(error.to_string()),
        })?;
    let unusable = |error: std::io::Error| Missing::Unusable(error.to_string());
    if !file.metadata().map_err(unusable)?.is_file() {
        return Err(Missing::Unusable("not a regular file".to_owned()));
    }
    let mut text = Vec::new();
    file.take(cap + 1)
        .read_to_end(&mut text)
        .map_err(unusable)?;
    of_text(&text, cap)
}

/// Reads base64. White space around it and line ends within mean nothing, as to upstream's reader.
pub(super) fn of_text(text: &[u8], cap: u64) -> Result<Vec<u8>, Missing> {
    if text.len() as u64 > cap {
        return Err(Missing::Unusable(format!("more than {cap} bytes")));
    }
    let mut text = text.trim_ascii().to_vec();
    if text.is_empty() {
        return Err(Missing::Unusable("empty".to_owned()));
    }
    text.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    STANDARD
        .decode(text)
        .map_err(|error| Missing::Unusable(format!("not base64: {error}")))
}

/// Why there is no artefact.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Missing {
    /// Nobody put it there.
    Absent,
    /// What is there is of no use.
    Unusable(String),
}
