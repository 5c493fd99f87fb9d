//! Upload sessions: chunks in order, one after another.
use std::collections::BTreeMap;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode, header};

use super::fault::{Fault, Reply, no_upload};
use super::{Call, answer, set};

/// Sessions open at once; more are refused.
const MOST_SESSIONS: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Uploads(BTreeMap<String, Session>);

#[derive(Debug)]
struct Session {
    repository: String,
    bytes: BytesMut,
}

impl Uploads {
    pub(super) fn begin(&mut self, repository: &str) -> Reply {
        if self.0.len() >= MOST_SESSIONS {
            return Err(Fault::new(
                429,
                "TOOMANYREQUESTS",
                "too many uploads are open",
            ));
        }
        let id = uuid::Uuid::new_v4().to_string();
        self.0.insert(
            id.clone(),
            Session {
                repository: repository.to_owned(),
                bytes: BytesMut::new(),
            },
        );
        Ok(accepted(StatusCode::ACCEPTED, repository, &id, 0))
    }

    pub(super) fn append(&mut self, repository: &str, id: &str, call: &Call) -> Reply {
        let session = self.session(repository, id)?;
        let begins = call.headers.get(header::CONTENT_RANGE).map(|value| {
            let text = value.to_str().unwrap_or_default();
            text.split('-')
                .next()
                .and_then(|first| first.parse::<usize>().ok())
        });
        if begins.is_some_and(|begins| begins != Some(session.bytes.len())) {
            return Err(Fault::new(
                416,
                "BLOB_UPLOAD_INVALID",
                "the chunk does not follow the last one",
            ));
        }
        session.bytes.extend_from_slice(&call.body);
        let length = session.bytes.len();
        Ok(accepted(StatusCode::ACCEPTED, repository, id, length))
    }

    pub(super) fn status(&mut self, repository: &str, id: &str) -> Reply {
        let length = self.session(repository, id)?.bytes.len();
        Ok(accepted(StatusCode::NO_CONTENT, repository, id, length))
    }

    /// Closes the session, whatever its digest turns out to be.
    pub(super) fn finish(
        &mut self,
        repository: &str,
        id: &str,
        last: &Bytes,
    ) -> Result<Bytes, Fault> {
        self.session(repository, id)?;
        let mut session = self.0.remove(id).ok_or_else(no_upload)?;
        if session.bytes.is_empty() {
            return Ok(last.clone());
        }
        session.bytes.extend_from_slice(last);
        Ok(session.bytes.freeze())
    }

    fn session(&mut self, repository: &str, id: &str) -> Result<&mut Session, Fault> {
        self.0
            .get_mut(id)
            .filter(|session| session.repository == repository)
            .ok_or_else(no_upload)
    }
}

fn accepted(status: StatusCode, repository: &str, id: &str, length: usize) -> Response<Body> {
    let mut response = answer(status, Body::empty());
    let headers = response.headers_mut();
    set(
        headers,
        "location",
        &format!("/v2/{repository}/blobs/uploads/{id}"),
    );
    set(headers, "range", &format!("0-{}", length.saturating_sub(1)));
    set(headers, "docker-upload-uuid", id);
    response
}
