//! An OCI distribution registry: pull by anyone, push by anyone or by one account, digests verified on the way in.
//!
//! Not here: deletion, referrers, catalogue, chunked uploads out of order (refused with 416).
mod fault;
mod path;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use sha2::{Digest as _, Sha256};

use self::fault::{Fault, Reply};
use self::path::Target;
use self::uploads::Uploads;

/// Largest request body, bytes.
const BODY_CAP: usize = 2 << 30;
/// Largest manifest, bytes.
const MANIFEST_CAP: usize = 4 << 20;

/// The registry; clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    uploads: Uploads,
    corrupt: BTreeSet<String>,
    /// The value of `Authorization` that may push; none means anyone may.
    pusher: Option<String>,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeMap<String, Bytes>,
    manifests: BTreeMap<String, Manifest>,
    tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Manifest {
    media_type: String,
    bytes: Bytes,
}

/// A request with its body read.
struct Call {
    method: Method,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    body: Bytes,
}

impl Call {
    fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Registry {
    /// An empty registry that anyone may push to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on only this account may push; pulling stays anonymous.
    pub fn require_push_login(&self, user: &str, password: &str) {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        self.with(|state| state.pusher = Some(value));
    }

    /// Flips one bit of this blob or manifest whenever it is served, under its true digest.
    pub fn corrupt_blob(&self, digest: &str) {
        self.with(|state| state.corrupt.insert(digest.to_owned()));
    }

    /// Serves everything as stored again.
    pub fn heal(&self) {
        self.with(|state| state.corrupt.clear());
    }

    /// Digests of the blobs of a repository.
    #[must_use]
    pub fn blobs(&self, repository: &str) -> Vec<String> {
        self.with(|state| {
            state
                .repositories
                .get(repository)
                .map(|r| r.blobs.keys().cloned().collect())
                .unwrap_or_default()
        })
    }

    /// The manifest that `reference` (tag or digest) names.
    #[must_use]
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<Vec<u8>> {
        self.with(|state| {
            Some(
                state
                    .repositories
                    .get(repository)?
                    .find(reference)?
                    .1
                    .bytes
                    .to_vec(),
            )
        })
    }

    /// The registry's routes below `/v2/`.
    pub fn router(&self) -> Router {
        let registry = self.clone();
        Router::new().fallback(move |request: Request<Body>| {
            let registry = registry.clone();
            async move { registry.answer(request).await }
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, BODY_CAP).await else {
            return Fault::new(413, "SIZE_INVALID", "the body is too large or was cut off")
                .into_response();
        };
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let call = Call {
            query: query
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
            method: parts.method,
            headers: parts.headers,
            body,
        };
        let outcome = Target::parse(parts.uri.path())
            .and_then(|target| self.with(|state| state.route(&target, &call)));
        let mut response = outcome.unwrap_or_else(Fault::into_response);
        let version = HeaderValue::from_static("registry/2.0");
        response
            .headers_mut()
            .insert("docker-distribution-api-version", version);
        response
    }
}

impl State {
    fn route(&mut self, target: &Target<'_>, call: &Call) -> Reply {
        let read = call.method == Method::GET || call.method == Method::HEAD;
        // The ping tells a client with an account to send it; pulls without one go on regardless.
        if (!read || *target == Target::Ping)
            && let Some(pusher) = &self.pusher
            && call
                .headers
                .get(header::AUTHORIZATION)
                .is_none_or(|sent| sent != pusher.as_str())
        {
            return Err(Fault::new(401, "UNAUTHORIZED", "pushing needs a login")
                .with("www-authenticate", "Basic realm=\"registry\""));
        }
        match (&call.method, target) {
            (&Method::GET | &Method::HEAD, Target::Ping) => {
                Ok(answer(StatusCode::OK, Body::from("{}")))
            }
            (&Method::GET | &Method::HEAD, Target::Manifest(name, reference)) => {
                self.manifest(name, reference, &call.method)
            }
            (&Method::PUT, Target::Manifest(name, reference)) => {
                self.put_manifest(name, reference, call)
            }
            (&Method::GET | &Method::HEAD, Target::Blob(name, digest)) => {
                self.blob(name, digest, call)
            }
            (&Method::POST, Target::NewUpload(name)) => self.begin_upload(name, call),
            (&Method::PATCH, Target::Upload(name, id)) => self.uploads.append(name, id, call),
            (&Method::GET, Target::Upload(name, id)) => self.uploads.status(name, id),
            (&Method::PUT, Target::Upload(name, id)) => {
                let bytes = self.uploads.finish(name, id, &call.body)?;
                self.put_blob(name, call.query("digest"), bytes)
            }
            (&Method::GET, Target::Tags(name)) => {
                let repository = self
                    .repositories
                    .get(*name)
                    .ok_or_else(fault::no_repository)?;
                let tags: Vec<_> = repository.tags.keys().collect();
                Ok(json(&serde_json::json!({ "name": name, "tags": tags })))
            }
            _ => Err(Fault::new(
                405,
                "UNSUPPORTED",
                "the operation is unsupported",
            )),
        }
    }

    fn manifest(&self, name: &str, reference: &str, method: &Method) -> Reply {
        let found = self
            .repositories
            .get(name)
            .and_then(|repository| repository.find(reference));
        let (digest, manifest) = found.ok_or_else(fault::no_manifest)?;
        let bytes = self.as_served(digest, &manifest.bytes);
        let mut response = sized(StatusCode::OK, bytes, method);
        let headers = response.headers_mut();
        set(headers, "content-type", &manifest.media_type);
        set(headers, "docker-content-digest", digest);
        Ok(response)
    }

    fn put_manifest(&mut self, name: &str, reference: &str, call: &Call) -> Reply {
        let digest = digest_of(&call.body);
        if reference.contains(':') && reference != digest {
            return Err(fault::wrong_digest(reference, &digest));
        }
        let text = "the manifest is no JSON object of at most 4 MiB";
        let invalid = || Fault::new(400, "MANIFEST_INVALID", text);
        if call.body.len() > MANIFEST_CAP {
            return Err(invalid());
        }
        let parsed: serde_json::Value =
            serde_json::from_slice(&call.body).map_err(|_| invalid())?;
        let sent = call
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok());
        let media_type = sent
            .or_else(|| parsed.get("mediaType")?.as_str())
            .ok_or_else(invalid)?
            .to_owned();
        let repository = self.repositories.entry(name.to_owned()).or_default();
        let layers = parsed
            .get("layers")
            .and_then(|l| l.as_array())
            .into_iter()
            .flatten();
        for part in parsed.get("config").into_iter().chain(layers) {
            let blob = part
                .get("digest")
                .and_then(|d| d.as_str())
                .ok_or_else(invalid)?;
            if !repository.blobs.contains_key(blob) {
                return Err(Fault::new(
                    400,
                    "MANIFEST_BLOB_UNKNOWN",
                    format!("{blob} was not uploaded"),
                ));
            }
        }
        let listed = parsed
            .get("manifests")
            .and_then(|l| l.as_array())
            .into_iter()
            .flatten();
        for part in listed {
            let manifest = part
                .get("digest")
                .and_then(|d| d.as_str())
                .ok_or_else(invalid)?;
            if !repository.manifests.contains_key(manifest) {
                return Err(Fault::new(
                    400,
                    "MANIFEST_BLOB_UNKNOWN",
                    format!("{manifest} was not uploaded"),
                ));
            }
        }
        repository.manifests.insert(
            digest.clone(),
            Manifest {
                media_type,
                bytes: call.body.clone(),
            },
        );
        if !reference.contains(':') {
            repository.tags.insert(reference.to_owned(), digest.clone());
        }
        Ok(created(&format!("/v2/{name}/manifests/{digest}"), &digest))
    }

    fn blob(&self, name: &str, digest: &str, call: &Call) -> Reply {
        let repository = self
            .repositories
            .get(name)
            .ok_or_else(fault::no_repository)?;
        let stored = repository.blobs.get(digest).ok_or_else(fault::no_blob)?;
        let bytes = self.as_served(digest, stored);
        let range = call
            .headers
            .get(header::RANGE)
            .and_then(|v| v.to_str().ok());
        let mut response = match range.map(|text| path::range(text, bytes.len())) {
            None => sized(StatusCode::OK, bytes, &call.method),
            Some(None) => {
                return Err(Fault::new(
                    416,
                    "RANGE_INVALID",
                    "the range does not fit the blob",
                ));
            }
            Some(Some(range)) => {
                let says = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
                let mut response = sized(
                    StatusCode::PARTIAL_CONTENT,
                    bytes.slice(range),
                    &call.method,
                );
                set(response.headers_mut(), "content-range", &says);
                response
            }
        };
        let headers = response.headers_mut();
        set(headers, "content-type", "application/octet-stream");
        set(headers, "docker-content-digest", digest);
        set(headers, "accept-ranges", "bytes");
        Ok(response)
    }

    /// POST: a mount from another repository, a whole blob in one request, or a session.
    fn begin_upload(&mut self, name: &str, call: &Call) -> Reply {
        if let (Some(digest), Some(from)) = (call.query("mount"), call.query("from"))
            && let Some(bytes) = self
                .repositories
                .get(from)
                .and_then(|r| r.blobs.get(digest))
                .cloned()
        {
            return self.put_blob(name, Some(digest), bytes);
        }
        if call.query("digest").is_some() {
            return self.put_blob(name, call.query("digest"), call.body.clone());
        }
        self.uploads.begin(name)
    }

    fn put_blob(&mut self, name: &str, digest: Option<&str>, bytes: Bytes) -> Reply {
        let actual = digest_of(&bytes);
        let stated = digest.unwrap_or("no digest");
        if stated != actual {
            return Err(fault::wrong_digest(stated, &actual));
        }
        self.repositories
            .entry(name.to_owned())
            .or_default()
            .blobs
            .insert(actual.clone(), bytes);
        Ok(created(&format!("/v2/{name}/blobs/{actual}"), &actual))
    }

    fn as_served(&self, digest: &str, stored: &Bytes) -> Bytes {
        if !self.corrupt.contains(digest) {
            return stored.clone();
        }
        let mut changed = stored.to_vec();
        let middle = changed.len() / 2;
        if let Some(byte) = changed.get_mut(middle) {
            *byte ^= 1;
        }
        changed.into()
    }
}

impl Repository {
    fn find(&self, reference: &str) -> Option<(&str, &Manifest)> {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        self.manifests
            .get_key_value(digest)
            .map(|(digest, manifest)| (digest.as_str(), manifest))
    }
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn answer(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn sized(status: StatusCode, bytes: Bytes, method: &Method) -> Response<Body> {
    let length = HeaderValue::from(bytes.len());
    let mut response = answer(
        status,
        if method == Method::HEAD {
            Body::empty()
        } else {
            Body::from(bytes)
        },
    );
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    response
}

fn created(location: &str, digest: &str) -> Response<Body> {
    let mut response = answer(StatusCode::CREATED, Body::empty());
    set(response.headers_mut(), "location", location);
    set(response.headers_mut(), "docker-content-digest", digest);
    response
}

fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = answer(StatusCode::OK, Body::from(value.to_string()));
    set(response.headers_mut(), "content-type", "application/json");
    response
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
