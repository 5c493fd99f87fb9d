use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde_json::Value;
use zeroize::Zeroizing;

use super::GovCliError;

/// Larger files are not what these commands take.
const MAX: u64 = 4 << 20;

/// Reads a file of at most 4 MiB.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, GovCliError> {
    let failed = |source| GovCliError::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(failed)?;
    file.take(MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX {
        return Err(content(path, "is larger than 4 MiB"));
    }
    Ok(bytes)
}

pub(crate) fn read_text(path: &Path) -> Result<Zeroizing<String>, GovCliError> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| content(path, "is not UTF-8 text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

pub(crate) fn read_json(path: &Path) -> Result<Value, GovCliError> {
    let bytes = read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| content(path, &error.to_string()))
}

/// Makes a folder that only its owner may enter, unless it exists.
pub(crate) fn private_folder(path: &Path) -> Result<(), GovCliError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| GovCliError::File {
        path: path.to_owned(),
        source,
    })
}

/// Makes a file that does not exist yet, readable by its owner only if it is secret.
pub(crate) fn create(path: &Path, bytes: &[u8], secret: bool) -> Result<(), GovCliError> {
    let mode = if secret { 0o600 } else { 0o644 };
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::AlreadyExists => GovCliError::Exists {
            path: path.to_owned(),
        },
        _ => GovCliError::File {
            path: path.to_owned(),
            source,
        },
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(failed)
}

/// What an argument means that is text or the name of a file: `@file`, an existing file, or the text itself. A word that
/// looks like a file name and is none is a mistake, not a text.
pub(crate) fn text_or_file(
    argument: &'static str,
    value: &str,
) -> Result<Zeroizing<String>, GovCliError> {
    if let Some(path) = value.strip_prefix('@') {
        return read_text(Path::new(path));
    }
    let path = Path::new(value);
    if path.is_file() {
        return read_text(path);
    }
    if value.is_empty() || !value.contains([' ', ':', '{', '\n']) {
        return Err(GovCliError::Argument {
            argument,
            reason: "is neither a file nor a text".to_owned(),
        });
    }
    Ok(Zeroizing::new(value.to_owned()))
}

fn content(path: &Path, reason: &str) -> GovCliError {
    GovCliError::Content {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_file_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        create(&path, b"one", true).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(
            create(&path, b"two", true),
            Err(GovCliError::Exists { .. })
        ));
        assert_eq!(read(&path).unwrap().as_slice(), b"one");
    }

    #[test]
    fn a_mistyped_file_name_is_not_taken_as_text() {
        assert!(text_or_file("--data", "contract.yaml").is_err());
        assert_eq!(
            text_or_file("--data", "name: x").unwrap().as_str(),
            "name: x"
        );
    }
}
