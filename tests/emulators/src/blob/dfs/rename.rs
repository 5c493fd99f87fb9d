//! Path - Create with `x-ms-rename-source`: a file, or a directory with everything in it, gets another name.
use axum::body::Body;
use http::{HeaderValue, Response, StatusCode};

use super::super::fault::{BlobFault, Reply, bad_query};
use super::super::request::{Call, decode};
use super::super::store::Container;
use super::super::{conditions, objects, tree};
use super::paths::check_depth;

fn conflict(code: &'static str, text: &str) -> BlobFault {
    BlobFault::new(409, code, text)
}

pub(super) fn rename(
    container: &mut Container,
    file_system: &str,
    to: &str,
    page: usize,
    call: &Call,
) -> Reply {
    let from = source(call, file_system)?;
    check_depth(to)?;
    match call.query("mode") {
        // They differ where the target is a directory, which no caller here names.
        None | Some("posix" | "legacy") => {}
        _ => return Err(bad_query("mode")),
    }
    let continued = call.query("continuation").filter(|text| !text.is_empty());
    let directory = check(container, &from, to, continued.is_some(), call)?;
    if !directory {
        move_one(container, &from, to);
        return answer(container, to, None);
    }
    if container.committed(to).is_none() {
        container
            .blobs
            .insert(to.to_owned(), tree::directory_entry(&[]));
    }
    let inside: Vec<String> = tree::below(container, &from).cloned().collect();
    for name in inside.iter().take(page) {
        let rest = name.get(from.len()..).unwrap_or_default();
        move_one(container, name, &format!("{to}{rest}"));
    }
    if inside.len() > page {
        return answer(container, to, Some(inside.len() - page));
    }
    move_one(container, &from, to);
    answer(container, to, None)
}

/// `/file system/path`, percent-encoded, within the same file system.
fn source(call: &Call, file_system: &str) -> Result<String, BlobFault> {
    let bad = || {
        let text = "The source URI is invalid.";
        BlobFault::new(400, "InvalidSourceUri", text)
    };
    let given = call.header("x-ms-rename-source").unwrap_or_default();
    let path = given.split('?').next().unwrap_or_default();
    let path = decode(path.strip_prefix('/').ok_or_else(bad)?).ok_or_else(bad)?;
    let (of, path) = path.split_once('/').ok_or_else(bad)?;
    let path = path.trim_end_matches('/');
    if of != file_system || path.is_empty() {
        return Err(bad());
    }
    Ok(path.to_owned())
}

/// Whether it is a directory, if it may be renamed so.
fn check(
    container: &mut Container,
    from: &str,
    to: &str,
    continued: bool,
    call: &Call,
) -> Result<bool, BlobFault> {
    let Some(source) = container.committed(from) else {
        let text = "The source path for a rename operation was not found.";
        return Err(BlobFault::new(404, "SourcePathNotFound", text));
    };
    let wanted = call.header("x-ms-source-if-match");
    if wanted
        .is_some_and(|etag| etag != "*" && etag.trim_matches('"') != source.etag.trim_matches('"'))
    {
        let text = "The source condition specified using HTTP conditional header(s) is not met.";
        return Err(BlobFault::new(412, "SourceConditionNotMet", text));
    }
    let directory = tree::is_directory(source);
    if to == from || to.starts_with(&format!("{from}/")) {
        let text = "The specified path is invalid for a rename operation.";
        return Err(conflict("InvalidDestinationPath", text));
    }
    let above = tree::parent(to).map(|above| container.committed(above).map(tree::is_directory));
    if matches!(above, Some(None | Some(false))) {
        let text = "The parent directory of the destination path does not exist.";
        return Err(BlobFault::new(
            404,
            "RenameDestinationParentPathNotFound",
            text,
        ));
    }
    let target = container.committed(to);
    if !continued {
        conditions::for_write(call, target)?;
    }
    if let Some(target) = target {
        if tree::is_directory(target) != directory {
            let text = "The source and destination resource type must be identical.";
            return Err(conflict("InvalidSourceOrDestinationResourceType", text));
        }
        if !continued && tree::below(container, to).next().is_some() {
            let text = "The destination directory is not empty.";
            return Err(conflict("DirectoryNotEmpty", text));
        }
    }
    Ok(directory)
}

/// Identity, metadata and version go along; what is staged does not.
fn move_one(container: &mut Container, from: &str, to: &str) {
    if let Some(mut entry) = container.blobs.remove(from) {
        entry.staged.clear();
        container.blobs.insert(to.to_owned(), entry);
    }
}

fn answer(container: &Container, to: &str, left: Option<usize>) -> Reply {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    if let Some(blob) = container.committed(to) {
        objects::stamp(response.headers_mut(), blob);
    }
    if let Some(left) = left {
        let value = HeaderValue::from_str(&format!("left-{left}"));
        if let Ok(value) = value {
            response.headers_mut().insert("x-ms-continuation", value);
        }
    }
    Ok(response)
}
