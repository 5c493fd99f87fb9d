//! A storage service, calls to it and their answers.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use emulators::blob::{Blob, Caller};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tower::ServiceExt as _;

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|v| v.to_str().unwrap())
            .unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// Status and error code, as the tables give them.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status.as_u16(), self.header("x-ms-error-code"))
    }
}

/// Tokens are `<tenant>/<client>`.
pub(crate) fn storage() -> Blob {
    let blob = Blob::new(Arc::new(|token| {
        let (tenant, client) = token.split_once('/').ok_or("malformed token")?;
        Ok(Caller {
            tenant_id: tenant.to_owned(),
            client_id: client.to_owned(),
        })
    }));
    blob.add_account("litwarestore", "litware", &["guest".to_owned()]);
    blob
}

pub(crate) struct Call<'a> {
    pub(crate) blob: &'a Blob,
    pub(crate) request: http::request::Builder,
    pub(crate) body: Vec<u8>,
    pub(crate) length: bool,
}

pub(crate) fn call<'a>(blob: &'a Blob, method: &str, path: &str) -> Call<'a> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "litwarestore.blob.core.windows.net:4443");
    let request = request
        .header("authorization", "Bearer litware/owner")
        .header("x-ms-version", "2021-12-02");
    Call {
        blob,
        request,
        body: Vec::new(),
        length: true,
    }
}

impl Call<'_> {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let headers = self.request.headers_mut().unwrap();
        headers.insert(
            http::HeaderName::try_from(name).unwrap(),
            value.parse().unwrap(),
        );
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn key(self, key: &[u8; 32]) -> Self {
        self.with("x-ms-encryption-key", &STANDARD.encode(key))
            .with(
                "x-ms-encryption-key-sha256",
                &STANDARD.encode(Sha256::digest(key)),
            )
            .with("x-ms-encryption-algorithm", "AES256")
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// As a client that leaves out the length of nothing.
    pub(crate) fn without_length(mut self) -> Self {
        self.length = false;
        self
    }

    pub(crate) async fn send(mut self) -> Answer {
        if self.length {
            let length = self.body.len().to_string();
            self = self.with("content-length", &length);
        }
        let request = self.request.body(Body::from(self.body)).unwrap();
        let response = self.blob.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

pub(crate) async fn put(blob: &Blob, path: &str, body: &[u8]) -> Answer {
    call(blob, "PUT", path)
        .with("x-ms-blob-type", "BlockBlob")
        .body(body)
        .send()
        .await
}

pub(crate) async fn with_container() -> Blob {
    let blob = storage();
    assert_eq!(
        call(&blob, "PUT", "/data?restype=container")
            .send()
            .await
            .status,
        201
    );
    blob
}

pub(crate) fn id(n: u64) -> String {
    STANDARD
        .encode(n.to_be_bytes())
        .replace('+', "%2B")
        .replace('=', "%3D")
}

pub(crate) async fn stage(blob: &Blob, path: &str, n: u64, body: &[u8]) -> Answer {
    call(blob, "PUT", &format!("{path}?comp=block&blockid={}", id(n)))
        .body(body)
        .send()
        .await
}

pub(crate) fn list_of(ids: &[(&str, u64)]) -> String {
    let items = ids
        .iter()
        .map(|(tag, n)| format!("<{tag}>{}</{tag}>", STANDARD.encode(n.to_be_bytes())));
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{}</BlockList>",
        items.collect::<String>()
    )
}

pub(crate) async fn commit(blob: &Blob, path: &str, ids: &[(&str, u64)]) -> Answer {
    call(blob, "PUT", &format!("{path}?comp=blocklist"))
        .body(list_of(ids))
        .send()
        .await
}
