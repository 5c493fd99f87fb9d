//! Hierarchical names: a directory is there of its own, and everything above a path is a directory.
use std::ops::Bound;
use std::time::SystemTime;

use super::fault::BlobFault;
use super::store::{Committed, Container, ContentHeaders, Entry, next_etag};

const MARK: &str = "hdi_isfolder";

/// Whether the metadata of a blob says that it stands for a directory.
pub(super) fn marks_directory(metadata: &[(String, String)]) -> bool {
    metadata
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case(MARK) && value.eq_ignore_ascii_case("true"))
}

pub(super) fn is_directory(blob: &Committed) -> bool {
    marks_directory(&blob.metadata)
}

/// As listings say it.
pub(super) fn kind(blob: &Committed) -> &'static str {
    if is_directory(blob) {
        "directory"
    } else {
        "file"
    }
}

/// The names below a directory, at every depth.
pub(super) fn below<'a>(container: &'a Container, name: &str) -> impl Iterator<Item = &'a String> {
    let prefix = format!("{name}/");
    let range = (Bound::Included(prefix.clone()), Bound::Unbounded);
    container
        .blobs
        .range::<String, _>(range)
        .take_while(move |(name, _)| name.starts_with(&prefix))
        .filter(|(_, entry)| entry.committed.is_some())
        .map(|(name, _)| name)
}

/// The directory that a path is in; `None` for a path at the root.
pub(super) fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(parent, _)| parent)
}

/// Makes the directories above a path that are not there. Refuses a path below a file, and one that is of the other
/// kind already. Does nothing where names are flat.
pub(super) fn make_way(
    container: &mut Container,
    name: &str,
    directory: bool,
) -> Result<(), BlobFault> {
    if !container.hierarchical {
        return Ok(());
    }
    let existing = container.committed(name).map(is_directory);
    if existing.is_some_and(|existing| existing != directory) {
        let text = "The specified resource type is invalid for this operation.";
        return Err(BlobFault::new(409, "ResourceTypeMismatch", text));
    }
    let mut missing = Vec::new();
    let mut above = parent(name);
    while let Some(path) = above {
        match container.committed(path).map(is_directory) {
            None => missing.push(path.to_owned()),
            Some(true) => break,
            Some(false) => {
                let text = "An element of the path exists and its resource type is invalid for this operation.";
                return Err(BlobFault::new(409, "PathConflict", text));
            }
        }
        above = parent(path);
    }
    for path in missing {
        container.blobs.insert(path, directory_entry(&[]));
    }
    Ok(())
}

/// A directory with metadata of its own.
pub(super) fn directory_entry(metadata: &[(String, String)]) -> Entry {
    let mark = (MARK.to_owned(), "true".to_owned());
    let mut metadata: Vec<_> = metadata.iter().cloned().chain([mark]).collect();
    metadata.sort();
    metadata.dedup();
    Entry {
        committed: Some(Committed {
            blocks: Vec::new(),
            length: 0,
            etag: next_etag(),
            created: SystemTime::now(),
            modified: SystemTime::now(),
            metadata,
            content: ContentHeaders {
                content_type: "application/octet-stream".to_owned(),
                ..ContentHeaders::default()
            },
            key: None,
        }),
        staged: Vec::new(),
    }
}
