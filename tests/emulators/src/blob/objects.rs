//! Operations on one blob.
use std::time::SystemTime;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use md5::{Digest as _, Md5};

use super::fault::{BlobFault, Reply, bad_header, no_blob, not_implemented};
use super::range::Range;
use super::request::Call;
use super::store::{Block, Committed, Container, ContentHeaders, Entry, length_of, next_etag};
use super::{blocks, conditions, cpk, range, tree};

/// Largest range whose checksum the service computes on a read, bytes.
const RANGE_CHECKSUM: u64 = 4 << 20;

/// One call on `name`.
pub(super) fn object(container: &mut Container, name: &str, call: &Call) -> Reply {
    let comp = call.query("comp");
    match (&call.method, comp) {
        (&Method::GET, None) => read(container, name, call, false),
        (&Method::HEAD, None) => read(container, name, call, true),
        (&Method::GET, Some("metadata")) | (&Method::HEAD, Some("metadata")) => {
            read(container, name, call, true)
        }
        (&Method::PUT, None) if call.header("x-ms-copy-source").is_some() => {
            Err(not_implemented("server-side copies"))
        }
        (&Method::PUT, None) => put_blob(container, name, call),
        (&Method::PUT, Some("block")) => blocks::put_block(container, name, call),
        (&Method::PUT, Some("blocklist")) => blocks::put_block_list(container, name, call),
        (&Method::GET, Some("blocklist")) => blocks::get_block_list(container, name, call),
        (&Method::PUT, Some("metadata")) => set_metadata(container, name, call),
        (&Method::PUT, Some("properties")) => set_properties(container, name, call),
        (&Method::DELETE, None) => delete(container, name, call),
        _ => Err(not_implemented("this operation on blobs")),
    }
}

pub(super) fn read(container: &Container, name: &str, call: &Call, head: bool) -> Reply {
    let key = cpk::of(call)?;
    let blob = container.committed(name).ok_or_else(no_blob)?;
    conditions::for_read(call, blob)?;
    cpk::require(blob.key.as_ref(), key.as_ref())?;
    let asked = if head {
        None
    } else {
        range::asked(call, blob.length)?
    };
    let range = asked.unwrap_or(Range {
        start: 0,
        end: blob.length,
    });
    let parts = if head {
        Vec::new()
    } else {
        range::slices(&blob.blocks, range)
    };

    let mut headers = HeaderMap::new();
    describe(&mut headers, blob);
    headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(range.end - range.start),
    );
    if asked.is_some() {
        set(
            &mut headers,
            "content-range",
            &format!("bytes {}-{}/{}", range.start, range.end - 1, blob.length),
        );
        if let Some(md5) = &blob.content.md5 {
            set(&mut headers, "x-ms-blob-content-md5", md5);
        }
        range_checksums(&mut headers, call, range, &parts)?;
    } else if let Some(md5) = &blob.content.md5 {
        set(&mut headers, "content-md5", md5);
    }
    let body = Body::from_stream(stream::iter(
        parts.into_iter().map(Ok::<Bytes, std::convert::Infallible>),
    ));
    let mut response = Response::new(if head { Body::empty() } else { body });
    *response.status_mut() = if asked.is_some() {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    *response.headers_mut() = headers;
    Ok(response)
}

fn range_checksums(
    headers: &mut HeaderMap,
    call: &Call,
    range: Range,
    parts: &[Bytes],
) -> Result<(), BlobFault> {
    let wants = |name| {
        call.header(name)
            .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    };
    let (md5, crc) = (
        wants("x-ms-range-get-content-md5"),
        wants("x-ms-range-get-content-crc64"),
    );
    if (md5 || crc) && range.end - range.start > RANGE_CHECKSUM {
        let text = "A checksum is computed for ranges of at most 4 MiB.";
        return Err(BlobFault::new(400, "OutOfRangeInput", text));
    }
    if md5 {
        let mut digest = Md5::new();
        parts.iter().for_each(|part| digest.update(part));
        set(headers, "content-md5", &STANDARD.encode(digest.finalize()));
    }
    if crc {
        let mut digest = crc_fast::Digest::new(Crc64Nvme);
        parts.iter().for_each(|part| digest.update(part));
        set(
            headers,
            "x-ms-content-crc64",
            &STANDARD.encode(digest.finalize().to_le_bytes()),
        );
    }
    Ok(())
}

fn put_blob(container: &mut Container, name: &str, call: &Call) -> Reply {
    match call.header("x-ms-blob-type") {
        Some("BlockBlob") => {}
        Some("AppendBlob" | "PageBlob") => return Err(not_implemented("append and page blobs")),
        Some(_) => return Err(bad_header("x-ms-blob-type")),
        None => {
            return Err(BlobFault::new(
                400,
                "MissingRequiredHeader",
                "Header x-ms-blob-type is missing.",
            ));
        }
    }
    let key = cpk::of(call)?;
    let checks = check_transport(call)?;
    let metadata = call.metadata()?;
    let existing = container.committed(name);
    conditions::for_write(call, existing)?;
    let created = existing.map_or_else(SystemTime::now, |blob| blob.created);
    tree::make_way(container, name, tree::marks_directory(&metadata))?;
    let md5 = STANDARD.encode(Md5::digest(&call.body));
    let committed = Committed {
        blocks: vec![Block {
            id: String::new(),
            data: call.body.clone(),
            key: key.clone(),
        }],
        length: length_of(&call.body),
        etag: next_etag(),
        created,
        modified: SystemTime::now(),
        metadata,
        content: content_headers(call, Some(md5.clone())),
        key,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    stamp(response.headers_mut(), &committed);
    checks.onto(response.headers_mut());
    set(response.headers_mut(), "content-md5", &md5);
    cpk::describe(
        response.headers_mut(),
        "x-ms-request-server-encrypted",
        committed.key.as_ref(),
    );
    container.blobs.insert(
        name.to_owned(),
        Entry {
            committed: Some(committed),
            staged: Vec::new(),
        },
    );
    Ok(response)
}

fn set_metadata(container: &mut Container, name: &str, call: &Call) -> Reply {
    let key = cpk::of(call)?;
    let metadata = call.metadata()?;
    let blob = conditions::for_change(call, container.committed_mut(name))?;
    cpk::require(blob.key.as_ref(), key.as_ref())?;
    blob.metadata = metadata;
    blob.touch();
    let mut response = Response::new(Body::empty());
    stamp(response.headers_mut(), blob);
    cpk::describe(
        response.headers_mut(),
        "x-ms-request-server-encrypted",
        blob.key.as_ref(),
    );
    Ok(response)
}

fn set_properties(container: &mut Container, name: &str, call: &Call) -> Reply {
    let content = content_headers(call, None);
    let blob = conditions::for_change(call, container.committed_mut(name))?;
    blob.content = content;
    blob.touch();
    let mut response = Response::new(Body::empty());
    stamp(response.headers_mut(), blob);
    Ok(response)
}

fn delete(container: &mut Container, name: &str, call: &Call) -> Reply {
    conditions::for_change(call, container.committed_mut(name))?;
    if container.hierarchical && tree::below(container, name).next().is_some() {
        let text = "This operation is not permitted on a non-empty directory.";
        return Err(BlobFault::new(409, "DirectoryIsNotEmpty", text));
    }
    container.blobs.remove(name);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    set(response.headers_mut(), "x-ms-delete-type-permanent", "true");
    Ok(response)
}

/// Checksums the caller sent and the service confirmed.
#[derive(Debug)]
pub(super) struct TransportChecks {
    md5: Option<String>,
    crc64: String,
}

impl TransportChecks {
    pub(super) fn onto(self, headers: &mut HeaderMap) {
        set(headers, "x-ms-content-crc64", &self.crc64);
        if let Some(md5) = self.md5 {
            set(headers, "content-md5", &md5);
        }
    }
}

/// Compares the body with `Content-MD5` and `x-ms-content-crc64`, and `Content-Length` with what came.
pub(super) fn check_transport(call: &Call) -> Result<TransportChecks, BlobFault> {
    let mismatch = |code, name| {
        BlobFault::new(
            400,
            code,
            format!("The {name} value specified in the request did not match the body received."),
        )
    };
    let md5 = call.bytes_header::<16>("content-md5")?;
    if md5.is_some_and(|sent| Md5::digest(&call.body).as_slice() != sent) {
        return Err(mismatch("Md5Mismatch", "MD5"));
    }
    let crc = crc_fast::checksum(Crc64Nvme, &call.body).to_le_bytes();
    if call
        .bytes_header::<8>("x-ms-content-crc64")?
        .is_some_and(|sent| sent != crc)
    {
        return Err(mismatch("Crc64Mismatch", "CRC64"));
    }
    Ok(TransportChecks {
        md5: md5.map(|md5| STANDARD.encode(md5)),
        crc64: STANDARD.encode(crc),
    })
}

/// The headers to keep with the blob; `md5` where the service has computed it.
pub(super) fn content_headers(call: &Call, md5: Option<String>) -> ContentHeaders {
    let take = |name: &str| call.header(name).map(str::to_owned);
    ContentHeaders {
        content_type: take("x-ms-blob-content-type")
            .unwrap_or_else(|| "application/octet-stream".to_owned()),
        encoding: take("x-ms-blob-content-encoding"),
        language: take("x-ms-blob-content-language"),
        cache_control: take("x-ms-blob-cache-control"),
        disposition: take("x-ms-blob-content-disposition"),
        md5: take("x-ms-blob-content-md5").or(md5),
        tier: take("x-ms-access-tier"),
    }
}

/// ETag and time of the last change.
pub(super) fn stamp(headers: &mut HeaderMap, blob: &Committed) {
    set(headers, "etag", &blob.etag);
    set(
        headers,
        "last-modified",
        &httpdate::fmt_http_date(blob.modified),
    );
}

fn describe(headers: &mut HeaderMap, blob: &Committed) {
    stamp(headers, blob);
    set(headers, "accept-ranges", "bytes");
    set(headers, "x-ms-blob-type", "BlockBlob");
    set(
        headers,
        "x-ms-creation-time",
        &httpdate::fmt_http_date(blob.created),
    );
    set(headers, "x-ms-lease-status", "unlocked");
    set(headers, "x-ms-lease-state", "available");
    set(
        headers,
        "x-ms-access-tier",
        blob.content.tier.as_deref().unwrap_or("Hot"),
    );
    set(headers, "content-type", &blob.content.content_type);
    let optional = [
        ("content-encoding", &blob.content.encoding),
        ("content-language", &blob.content.language),
        ("cache-control", &blob.content.cache_control),
        ("content-disposition", &blob.content.disposition),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            set(headers, name, value);
        }
    }
    for (name, value) in &blob.metadata {
        let name = HeaderName::try_from(format!("x-ms-meta-{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    cpk::describe(headers, "x-ms-server-encrypted", blob.key.as_ref());
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
