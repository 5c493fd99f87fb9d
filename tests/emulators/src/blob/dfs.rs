//! The endpoint for hierarchical names (Data Lake Storage Gen2 REST), as far as mounts and the stock SDK use it: file
//! systems, paths, renaming. Content lies where the Blob endpoint sees it.
mod paths;
mod rename;

use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::containers;
use super::fault::{BlobFault, Reply, no_container, not_implemented, renamed};
use super::request::Call;
use super::store::{Account, Container};

/// What the Blob endpoint calls otherwise.
const CODES: [(&str, u16, &str); 4] = [
    ("BlobAlreadyExists", 409, "PathAlreadyExists"),
    ("BlobNotFound", 404, "PathNotFound"),
    ("ContainerNotFound", 404, "FilesystemNotFound"),
    ("ContainerAlreadyExists", 409, "FilesystemAlreadyExists"),
];

/// One call.
pub(super) fn serve(account: &mut Account, call: &Call) -> Reply {
    let answer = match (&call.container, &call.blob) {
        (None, _) => Err(not_implemented("this operation on accounts")),
        (Some(name), None) => file_system(account, name, call),
        (Some(name), Some(path)) => {
            let page = account.rename_page;
            let container = account.containers.get_mut(name).ok_or_else(no_container);
            container.and_then(|container| path_of(container, name, path, page, call))
        }
    };
    answer.map_err(renamed(&CODES))
}

fn file_system(account: &mut Account, name: &str, call: &Call) -> Reply {
    if call.query("resource") != Some("filesystem") {
        return Err(not_implemented("this operation on file systems"));
    }
    match call.method {
        Method::PUT => containers::create(account, name, call),
        Method::DELETE => {
            account.containers.remove(name).ok_or_else(no_container)?;
            Ok(containers::status(StatusCode::ACCEPTED))
        }
        Method::HEAD => {
            let container = account.containers.get(name).ok_or_else(no_container)?;
            let mut response = containers::status(StatusCode::OK);
            containers::stamp(response.headers_mut(), container);
            let enabled = if container.hierarchical {
                "true"
            } else {
                "false"
            };
            let enabled = HeaderValue::from_static(enabled);
            response
                .headers_mut()
                .insert("x-ms-namespace-enabled", enabled);
            Ok(response)
        }
        Method::GET => {
            let container = account.containers.get(name).ok_or_else(no_container)?;
            paths::list(container, call)
        }
        _ => Err(not_implemented("this operation on file systems")),
    }
}

fn path_of(
    container: &mut Container,
    file_system: &str,
    path: &str,
    page: usize,
    call: &Call,
) -> Reply {
    if !container.hierarchical {
        let text = "This operation needs a hierarchical namespace.";
        return Err(BlobFault::new(400, "HierarchicalNamespaceNotEnabled", text));
    }
    // `dir/` is the directory, too.
    let path = path.trim_end_matches('/');
    match (&call.method, call.query("action")) {
        (&Method::PUT, _) if call.header("x-ms-rename-source").is_some() => {
            rename::rename(container, file_system, path, page, call)
        }
        (&Method::PUT, _) => paths::create(container, path, call),
        (&Method::PATCH, Some("append")) => paths::append(container, path, call),
        (&Method::PATCH, Some("flush")) => paths::flush(container, path, call),
        (&Method::HEAD, None | Some("getStatus")) => paths::status(container, path, call),
        (&Method::GET, None) => paths::read(container, path, call),
        (&Method::DELETE, _) => paths::delete(container, path, call),
        _ => Err(not_implemented("this operation on paths")),
    }
}

fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    let kind = HeaderValue::from_static("application/json;charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
