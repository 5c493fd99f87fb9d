//! One request taken apart: account, container, blob, query, headers.
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, Version, header};

use super::fault::{BlobFault, bad_header};

/// The first version that takes bearer tokens.
const OLDEST_VERSION: &str = "2017-11-09";
/// Names longer than this, characters, are refused.
const LONGEST_NAME: usize = 1024;

/// A parsed request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) account: String,
    /// Asked of the static web host.
    pub(super) is_web: bool,
    /// Asked of the endpoint for hierarchical names.
    pub(super) is_dfs: bool,
    pub(super) container: Option<String>,
    pub(super) blob: Option<String>,
    query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// `https://<account host>/`, for listings.
    pub(super) endpoint: String,
}

impl Call {
    pub(super) fn parse(parts: Parts, body: Bytes) -> Result<Self, BlobFault> {
        let host = host_of(&parts.headers).to_owned();
        let name = host
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let account = name.split('.').next().unwrap_or_default().to_owned();
        let is_web = name.contains(".web.core.");
        let is_dfs = name.contains(".dfs.core.");
        let path =
            decode(parts.uri.path().strip_prefix('/').unwrap_or_default()).ok_or_else(|| {
                BlobFault::new(
                    400,
                    "InvalidUri",
                    "The requested URI does not represent any resource.",
                )
            })?;
        let (container, blob) = if is_web {
            (None, Some(path))
        } else {
            match path.split_once('/') {
                Some((container, blob)) => (Some(container.to_owned()), Some(blob.to_owned())),
                None => (Some(path), None),
            }
        };
        let some = |text: Option<String>| text.filter(|t| !t.is_empty());
        let blob = some(blob);
        if blob
            .as_ref()
            .is_some_and(|b| b.chars().count() > LONGEST_NAME || b.matches('/').count() > 253)
        {
            return Err(BlobFault::new(
                400,
                "InvalidResourceName",
                "The specified resource name is too long.",
            ));
        }
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self {
            method: parts.method,
            account,
            is_web,
            is_dfs,
            container: some(container),
            blob,
            query: query
                .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
                .collect(),
            headers: parts.headers,
            body,
            endpoint: format!("https://{host}/"),
        })
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header holding base64 of exactly `N` bytes.
    pub(super) fn bytes_header<const N: usize>(
        &self,
        name: &str,
    ) -> Result<Option<[u8; N]>, BlobFault> {
        let Some(text) = self.header(name) else {
            return Ok(None);
        };
        let decoded = STANDARD.decode(text).map_err(|_| bad_header(name))?;
        decoded.try_into().map(Some).map_err(|_| bad_header(name))
    }

    /// `x-ms-meta-*`, sorted, without the prefix.
    pub(super) fn metadata(&self) -> Result<Vec<(String, String)>, BlobFault> {
        let mut found = Vec::new();
        for (name, value) in &self.headers {
            if let Some(name) = name.as_str().strip_prefix("x-ms-meta-") {
                let value = value.to_str().map_err(|_| bad_header(name))?;
                let identifier = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
                    && !name.starts_with(|c: char| c.is_ascii_digit())
                    && !name.is_empty();
                if !identifier {
                    return Err(BlobFault::new(
                        400,
                        "InvalidMetadata",
                        "The metadata specified is invalid.",
                    ));
                }
                found.push((name.to_owned(), value.to_owned()));
            }
        }
        if found.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() > 8 << 10 {
            return Err(BlobFault::new(
                400,
                "MetadataTooLarge",
                "The metadata is larger than 8 KiB.",
            ));
        }
        found.sort();
        Ok(found)
    }

    /// Bearer tokens need a version, and versions are dates.
    pub(super) fn check_version(&self) -> Result<(), BlobFault> {
        let version = self.header("x-ms-version").unwrap_or_default();
        let dated = version.len() == 10
            && version.bytes().enumerate().all(|(i, b)| {
                if i == 4 || i == 7 {
                    b == b'-'
                } else {
                    b.is_ascii_digit()
                }
            });
        if dated && version >= OLDEST_VERSION {
            Ok(())
        } else {
            Err(bad_header("x-ms-version"))
        }
    }
}

/// Host and port as the client named them.
pub(super) fn host_of(headers: &HeaderMap) -> &str {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    host.unwrap_or_default()
}

/// Headers of the request that every answer repeats.
#[derive(Debug)]
pub(super) struct Echo {
    version: Option<HeaderValue>,
    client_request_id: Option<HeaderValue>,
}

impl Echo {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            version: headers.get("x-ms-version").cloned(),
            client_request_id: headers.get("x-ms-client-request-id").cloned(),
        }
    }

    pub(super) fn onto(self, mut response: Response<Body>) -> Response<Body> {
        let headers = response.headers_mut();
        let id = uuid::Uuid::new_v4().to_string();
        headers.insert(
            "x-ms-request-id",
            HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none")),
        );
        for (name, value) in [
            ("x-ms-version", self.version),
            ("x-ms-client-request-id", self.client_request_id),
        ] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// Percent-decoding of a path: `+` stays, broken escapes and bytes that are no UTF-8 are refused.
pub(super) fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: u8| char::from(b).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A write over HTTP/1.1 states its length, even of nothing.
pub(super) fn lacks_length(parts: &Parts) -> bool {
    parts.version < Version::HTTP_2
        && parts.method == Method::PUT
        && !parts.headers.contains_key(header::CONTENT_LENGTH)
        && !parts.headers.contains_key(header::TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_byte_by_byte() {
        assert_eq!(decode("c/a%20b+%C3%A9%3F").as_deref(), Some("c/a b+é?"));
        assert_eq!(decode("c/%2"), None);
        assert_eq!(decode("c/%zz"), None);
        assert_eq!(decode("c/%FF"), None);
    }
}
