//! Paths relative to the mount's root: no leading slash, the root is the empty string.

use crate::FsError;

/// Directory at the root that belongs to the mount itself.
pub(crate) const OWN: &str = ".cleanroom";

/// Bytes of a name, which `statfs` tells.
const LONGEST_NAME: usize = 255;
/// What storage takes.
const LONGEST_PATH: usize = 1024;

/// Whether POSIX can express a name from storage.
pub(crate) fn expressible(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= LONGEST_NAME
}

/// The path of a name in a directory, for reading.
pub(crate) fn join(directory: &str, name: &str) -> Result<String, FsError> {
    if name.len() > LONGEST_NAME {
        return Err(FsError::LongName);
    }
    if !expressible(name) {
        return Err(FsError::Name);
    }
    if directory.is_empty() {
        return Ok(name.to_owned());
    }
    Ok(format!("{directory}/{name}"))
}

/// The path of a name that is about to be made: it must not be the mount's own, and storage must take it.
pub(crate) fn join_new(directory: &str, name: &str) -> Result<String, FsError> {
    let path = join(directory, name)?;
    if path.len() > LONGEST_PATH {
        return Err(FsError::LongName);
    }
    if is_own(&path) {
        return Err(FsError::Name);
    }
    Ok(path)
}

pub(crate) fn is_own(path: &str) -> bool {
    path.strip_prefix(OWN)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Directory and name of a path.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The prefix that the names in a directory have in storage.
pub(crate) fn prefix(directory: &str) -> String {
    if directory.is_empty() {
        String::new()
    } else {
        format!("{directory}/")
    }
}
