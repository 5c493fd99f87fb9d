//! The static web site: container `$web`, read by anyone. Issuers publish their keys here.
use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::fault::Reply;
use super::range::{self, Range};
use super::request::Call;
use super::store::Account;

/// One anonymous call.
pub(super) fn serve(account: Option<&Account>, call: &Call) -> Reply {
    if call.method != Method::GET && call.method != Method::HEAD {
        return Ok(page(
            StatusCode::METHOD_NOT_ALLOWED,
            "The web site is read only.",
        ));
    }
    let asked = call.blob.as_deref().unwrap_or_default();
    let name = if asked.is_empty() || asked.ends_with('/') {
        format!("{asked}index.html")
    } else {
        asked.to_owned()
    };
    let blob = account
        .and_then(|a| a.containers.get("$web"))
        .and_then(|c| c.committed(&name));
    // Anonymous readers bring no key.
    let Some(blob) = blob.filter(|blob| blob.key.is_none()) else {
        return Ok(page(
            StatusCode::NOT_FOUND,
            "The requested content does not exist.",
        ));
    };
    let parts = range::slices(
        &blob.blocks,
        Range {
            start: 0,
            end: blob.length,
        },
    );
    let mut response = Response::new(if call.method == Method::HEAD {
        Body::empty()
    } else {
        Body::from(parts.concat())
    });
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(blob.length));
    for (name, value) in [
        (header::CONTENT_TYPE, &blob.content.content_type),
        (header::ETAG, &blob.etag),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

fn page(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!(
        "<!DOCTYPE html><title>{text}</title><h1>{text}</h1>"
    )));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}
