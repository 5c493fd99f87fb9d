//! Files that somebody else wrote.

use std::io::Read;
use std::path::Path;

use crate::CliError;

/// A whole file of at most `cap` bytes; `-` is standard input.
pub(crate) fn read(path: &Path, cap: u64) -> Result<Vec<u8>, CliError> {
    let io = |error| CliError::io(path.display().to_string(), error);
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        let standard_input = std::io::stdin().lock();
        standard_input.take(cap + 1).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).map_err(io)?;
        file.take(cap + 1).read_to_end(&mut bytes)
    }
    .map_err(io)?;
    if bytes.len() as u64 > cap {
        return Err(bad(path, format!("more than {cap} bytes")));
    }
    Ok(bytes)
}

/// As [`read`], as text without the white space around it.
pub(crate) fn text(path: &Path, cap: u64) -> Result<String, CliError> {
    let text =
        String::from_utf8(read(path, cap)?).map_err(|_| bad(path, "not UTF-8".to_owned()))?;
    Ok(text.trim().to_owned())
}

pub(crate) fn bad(path: &Path, reason: String) -> CliError {
    CliError::File {
        path: path.to_owned(),
        reason,
    }
}
