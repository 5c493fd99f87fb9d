//! Operations on the account and on containers.
use std::fmt::Write as _;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::fault::{BlobFault, Reply, no_container, not_implemented};
use super::list;
use super::request::Call;
use super::store::{Account, Container};

/// One call on the account.
pub(super) fn account(account: &Account, call: &Call) -> Reply {
    match (&call.method, call.query("restype"), call.query("comp")) {
        (&Method::GET | &Method::HEAD, Some("account"), Some("properties")) => {
            let mut response = Response::new(Body::empty());
            let headers = response.headers_mut();
            headers.insert("x-ms-sku-name", HeaderValue::from_static("Standard_LRS"));
            headers.insert("x-ms-account-kind", HeaderValue::from_static("StorageV2"));
            let hierarchical = if account.hierarchical {
                "true"
            } else {
                "false"
            };
            headers.insert(
                "x-ms-is-hns-enabled",
                HeaderValue::from_static(hierarchical),
            );
            Ok(response)
        }
        (&Method::GET, None, Some("list")) => {
            let prefix = call.query("prefix").unwrap_or_default();
            let listed = account
                .containers
                .iter()
                .filter(|(name, _)| name.starts_with(prefix));
            let listed = listed.fold(String::new(), |mut xml, (name, container)| {
                let modified = httpdate::fmt_http_date(container.modified);
                let etag = &container.etag;
                let _ = write!(
                    xml,
                    "<Container><Name>{name}</Name><Properties><Last-Modified>{modified}</Last-Modified>\
                     <Etag>{etag}</Etag></Properties></Container>"
                );
                xml
            });
            let endpoint = &call.endpoint;
            Ok(xml(format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"{endpoint}\">\
                 <Containers>{listed}</Containers><NextMarker/></EnumerationResults>"
            )))
        }
        _ => Err(not_implemented("this operation on accounts")),
    }
}

/// One call on a container.
pub(super) fn container(account: &mut Account, name: &str, call: &Call) -> Reply {
    if call.query("restype") != Some("container") {
        return Err(not_implemented("blobs of the root container"));
    }
    match (&call.method, call.query("comp")) {
        (&Method::PUT, None) => create(account, name, call),
        (&Method::DELETE, None) => {
            account.containers.remove(name).ok_or_else(no_container)?;
            Ok(status(StatusCode::ACCEPTED))
        }
        (&Method::GET | &Method::HEAD, None | Some("metadata")) => {
            let container = account.containers.get(name).ok_or_else(no_container)?;
            let mut response = status(StatusCode::OK);
            stamp(response.headers_mut(), container);
            for (name, value) in &container.metadata {
                let name = HeaderName::try_from(format!("x-ms-meta-{name}"));
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                    response.headers_mut().insert(name, value);
                }
            }
            Ok(response)
        }
        (&Method::GET, Some("list")) => {
            let container = account.containers.get(name).ok_or_else(no_container)?;
            list::blobs(name, container, call, account.empty_first_page).map(xml)
        }
        _ => Err(not_implemented("this operation on containers")),
    }
}

pub(super) fn create(account: &mut Account, name: &str, call: &Call) -> Reply {
    let plain = (3..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if !plain && name != "$web" {
        let text = "The specified resource name contains invalid characters.";
        return Err(BlobFault::new(400, "InvalidResourceName", text));
    }
    if account.containers.contains_key(name) {
        return Err(BlobFault::new(
            409,
            "ContainerAlreadyExists",
            "The specified container already exists.",
        ));
    }
    let container = Container::new(call.metadata()?, account.hierarchical);
    let mut response = status(StatusCode::CREATED);
    stamp(response.headers_mut(), &container);
    account.containers.insert(name.to_owned(), container);
    Ok(response)
}

pub(super) fn stamp(headers: &mut HeaderMap, container: &Container) {
    if let Ok(etag) = HeaderValue::from_str(&container.etag) {
        headers.insert(header::ETAG, etag);
    }
    if let Ok(modified) = HeaderValue::from_str(&httpdate::fmt_http_date(container.modified)) {
        headers.insert(header::LAST_MODIFIED, modified);
    }
}

pub(super) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn xml(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    response
}
