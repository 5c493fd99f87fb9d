//! Making, writing, listing, reading and deleting paths.
use std::time::SystemTime;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::super::fault::{BlobFault, Reply, bad_header, bad_query, no_blob, not_implemented};
use super::super::request::Call;
use super::super::store::{Block, Committed, Container, Entry, length_of, next_etag};
use super::super::{conditions, objects, tree};
use super::json;

const LARGEST_PAGE: usize = 5000;
/// The service's limit for the depth of a path.
const DEEPEST: usize = 63;

/// Path - Create of a file or a directory.
pub(super) fn create(container: &mut Container, path: &str, call: &Call) -> Reply {
    let directory = match call.query("resource") {
        Some("directory") => true,
        Some("file") => false,
        _ => return Err(bad_query("resource")),
    };
    check_depth(path)?;
    let existing = container.committed(path);
    conditions::for_write(call, existing)?;
    let existed = existing.is_some();
    tree::make_way(container, path, directory)?;
    let metadata = properties(call)?;
    let entry = match directory {
        // An existing directory stays, with what is in it.
        true if existed => None,
        true => Some(tree::directory_entry(&metadata)),
        false => Some(Entry {
            committed: Some(Committed {
                blocks: Vec::new(),
                length: 0,
                etag: next_etag(),
                created: SystemTime::now(),
                modified: SystemTime::now(),
                metadata,
                content: objects::content_headers(call, None),
                key: None,
            }),
            staged: Vec::new(),
        }),
    };
    if let Some(entry) = entry {
        container.blobs.insert(path.to_owned(), entry);
    }
    let made = container.committed(path).ok_or_else(no_blob)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    objects::stamp(response.headers_mut(), made);
    Ok(response)
}

pub(super) fn check_depth(path: &str) -> Result<(), BlobFault> {
    if path.split('/').count() > DEEPEST {
        let text = "The path exceeds the limit on depth.";
        return Err(BlobFault::new(400, "InvalidResourceName", text));
    }
    Ok(())
}

/// `x-ms-properties`: names with base64 of their values.
fn properties(call: &Call) -> Result<Vec<(String, String)>, BlobFault> {
    let bad = || bad_header("x-ms-properties");
    let given = call.header("x-ms-properties").unwrap_or_default();
    let each = given.split(',').filter(|one| !one.trim().is_empty());
    each.map(|one| {
        let (name, value) = one.trim().split_once('=').ok_or_else(bad)?;
        let value = STANDARD.decode(value).map_err(|_| bad())?;
        let value = String::from_utf8(value).map_err(|_| bad())?;
        Ok((name.to_ascii_lowercase(), value))
    })
    .collect()
}

fn file<'a>(container: &'a mut Container, path: &str) -> Result<&'a mut Entry, BlobFault> {
    let entry = container.blobs.get_mut(path).ok_or_else(no_blob)?;
    match &entry.committed {
        None => Err(no_blob()),
        Some(committed) if tree::is_directory(committed) => {
            let text = "The path is a directory.";
            Err(BlobFault::new(409, "ResourceTypeMismatch", text))
        }
        Some(_) => Ok(entry),
    }
}

fn position(call: &Call) -> Result<u64, BlobFault> {
    let text = call.query("position").unwrap_or_default();
    text.parse().map_err(|_| bad_query("position"))
}

/// Path - Update, append: data waits behind what is there until it is flushed.
pub(super) fn append(container: &mut Container, path: &str, call: &Call) -> Reply {
    let at = position(call)?;
    let entry = file(container, path)?;
    let flushed = entry.committed.as_ref().map_or(0, |blob| blob.length);
    let waiting: u64 = entry.staged.iter().map(|one| length_of(&one.data)).sum();
    if at != flushed + waiting {
        let text = "The uploaded data is not contiguous or the position is wrong.";
        return Err(BlobFault::new(400, "InvalidFlushPosition", text));
    }
    entry.staged.push(Block {
        id: String::new(),
        data: call.body.clone(),
        key: None,
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    if call.query("flush") == Some("true") {
        commit(entry);
        *response.status_mut() = StatusCode::OK;
    }
    Ok(response)
}

/// Path - Update, flush.
pub(super) fn flush(container: &mut Container, path: &str, call: &Call) -> Reply {
    let at = position(call)?;
    conditions::for_write(call, container.committed(path))?;
    let entry = file(container, path)?;
    let flushed = entry.committed.as_ref().map_or(0, |blob| blob.length);
    let waiting: u64 = entry.staged.iter().map(|one| length_of(&one.data)).sum();
    if at != flushed + waiting {
        let text = "The uploaded data is not contiguous or the position is wrong.";
        return Err(BlobFault::new(400, "InvalidFlushPosition", text));
    }
    commit(entry);
    let mut response = Response::new(Body::empty());
    if let Some(blob) = &entry.committed {
        objects::stamp(response.headers_mut(), blob);
    }
    Ok(response)
}

fn commit(entry: &mut Entry) {
    if let Some(blob) = &mut entry.committed {
        let whole: Vec<u8> = blob
            .blocks
            .iter()
            .chain(&entry.staged)
            .flat_map(|block| block.data.to_vec())
            .collect();
        blob.replace_bytes(Bytes::from(whole));
        blob.touch();
    }
    entry.staged.clear();
}

/// Path - Get Properties, or Get Status.
pub(super) fn status(container: &Container, path: &str, call: &Call) -> Reply {
    let mut response = objects::read(container, path, call, true)?;
    describe(&mut response, container, path);
    Ok(response)
}

/// Path - Read.
pub(super) fn read(container: &Container, path: &str, call: &Call) -> Reply {
    let mut response = objects::read(container, path, call, false)?;
    describe(&mut response, container, path);
    Ok(response)
}

fn describe(response: &mut Response<Body>, container: &Container, path: &str) {
    let kind = container.committed(path).map_or("file", tree::kind);
    let headers = response.headers_mut();
    headers.insert("x-ms-resource-type", HeaderValue::from_static(kind));
    for (name, value) in [
        ("x-ms-owner", "$superuser"),
        ("x-ms-group", "$superuser"),
        ("x-ms-permissions", "rwxr-x---"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Path - Delete. A directory that is not empty only with `recursive=true`.
pub(super) fn delete(container: &mut Container, path: &str, call: &Call) -> Reply {
    conditions::for_change(call, container.committed_mut(path))?;
    let inside: Vec<String> = tree::below(container, path).cloned().collect();
    match call.query("recursive") {
        Some("true") => {}
        None | Some("false") if inside.is_empty() => {}
        None | Some("false") => {
            let text =
                "The recursive query parameter value must be true to delete a non-empty directory.";
            return Err(BlobFault::new(409, "DirectoryNotEmpty", text));
        }
        Some(_) => return Err(bad_query("recursive")),
    }
    for name in inside {
        container.blobs.remove(&name);
    }
    container.blobs.remove(path);
    Ok(Response::new(Body::empty()))
}

/// Path - List.
pub(super) fn list(container: &Container, call: &Call) -> Reply {
    let recursive = match call.query("recursive") {
        Some("true") => true,
        Some("false") => false,
        _ => return Err(bad_query("recursive")),
    };
    let page = match call.query("maxresults") {
        None => LARGEST_PAGE,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|most| *most > 0)
            .ok_or_else(|| bad_query("maxResults"))?
            .min(LARGEST_PAGE),
    };
    if !container.hierarchical {
        return Err(not_implemented("listing paths of a flat account"));
    }
    let directory = call
        .query("directory")
        .unwrap_or_default()
        .trim_matches('/');
    let prefix = match directory {
        "" => String::new(),
        directory => {
            let found = container.committed(directory).ok_or_else(no_blob)?;
            if !tree::is_directory(found) {
                return Err(bad_query("directory"));
            }
            format!("{directory}/")
        }
    };
    let from = match call.query("continuation").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let name = URL_SAFE_NO_PAD.decode(text).ok();
            let name = name.and_then(|name| String::from_utf8(name).ok());
            Some(name.ok_or_else(|| bad_query("continuation"))?)
        }
    };
    let names = container.committed_names().filter(|name| {
        let tail = name.strip_prefix(&prefix);
        tail.is_some_and(|tail| !tail.is_empty() && (recursive || !tail.contains('/')))
            && from.as_ref().is_none_or(|from| *name >= from)
    });
    let mut names = names.peekable();
    let mut listed = Vec::new();
    for name in names.by_ref().take(page) {
        if let Some(blob) = container.committed(name) {
            listed.push(described(name, blob));
        }
    }
    let mut response = json(&json!({ "paths": listed }));
    if let Some(next) = names.peek()
        && let Ok(value) = HeaderValue::from_str(&URL_SAFE_NO_PAD.encode(next))
    {
        response.headers_mut().insert("x-ms-continuation", value);
    }
    Ok(response)
}

/// As the service writes it: numbers and truth are strings.
fn described(name: &str, blob: &Committed) -> serde_json::Value {
    let mut one = json!({
        "name": name,
        "contentLength": blob.length.to_string(),
        "etag": blob.etag.trim_matches('"'),
        "lastModified": httpdate::fmt_http_date(blob.modified),
        "owner": "$superuser",
        "group": "$superuser",
        "permissions": "rwxr-x---",
    });
    if tree::is_directory(blob) {
        one["isDirectory"] = json!("true");
    }
    one
}
