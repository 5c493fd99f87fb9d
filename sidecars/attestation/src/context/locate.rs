use std::path::{Path, PathBuf};

use crate::AttestError;

const PREFIX: &str = "security-context-";

/// Finds the directory that the utility VM gives to every container: `configured` (the value of
/// `UVM_SECURITY_CONTEXT_DIR`), else the only `security-context-*` directory below `root`.
///
/// # Errors
/// [`AttestError::NoContext`] if there is none, or more than one to choose from.
pub fn locate_context(configured: Option<&Path>, root: &Path) -> Result<PathBuf, AttestError> {
    if let Some(directory) = configured {
        return Ok(directory.to_owned());
    }
    let none = |reason| AttestError::NoContext { reason };
    let entries =
        std::fs::read_dir(root).map_err(|error| none(format!("{}: {error}", root.display())))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        // The utility VM makes a directory; whatever else bears the name is not its.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(none(format!(
            "UVM_SECURITY_CONTEXT_DIR is not set and {} has no {PREFIX}* directory",
            root.display()
        ))),
        (Some(_), false) => Err(none(format!(
            "{} has several {PREFIX}* directories",
            root.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_found_only_when_there_is_no_choice() {
        let root = tempfile::tempdir().unwrap();
        assert!(locate_context(None, root.path()).is_err());
        let one = root.path().join("security-context-17");
        std::fs::create_dir(&one).unwrap();
        assert_eq!(locate_context(None, root.path()).unwrap(), one);
        let link = root.path().join("security-context-link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert_eq!(locate_context(None, root.path()).unwrap(), one);
        std::fs::create_dir(root.path().join("security-context-18")).unwrap();
        assert!(locate_context(None, root.path()).is_err());
        assert_eq!(locate_context(Some(&one), root.path()).unwrap(), one);
    }
}
