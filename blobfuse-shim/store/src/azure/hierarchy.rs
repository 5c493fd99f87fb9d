//! Hierarchical names (ADLS Gen2): what only the account's second endpoint does. Content goes through the Blob endpoint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, Method, StatusCode, header};
use sidecar_http::{Request, Response};

use super::{
    AzureStore, HOP, LIST_CAP, X_MS_COMMIT, conditional, etag_of, info_of, is_ambiguous, quoted,
    refusal,
};
use crate::{BlobInfo, Condition, Etag, StoreError};

const X_MS_SOURCE: HeaderName = HeaderName::from_static("x-ms-rename-source");
const X_MS_SOURCE_MATCH: HeaderName = HeaderName::from_static("x-ms-source-if-match");
const X_MS_PROPERTIES: HeaderName = HeaderName::from_static("x-ms-properties");
const CONTINUATION: &str = "x-ms-continuation";
/// Requests that one directory may take to rename; a service that never ends must not hold anybody up.
const MOST_REQUESTS: usize = 10_000;

/// What a path keeps when it gets another name: the token of the commit that wrote it, when it was made, its length.
#[derive(Debug, Eq, PartialEq)]
struct Identity {
    commit: Option<String>,
    created: Option<String>,
    length: Option<String>,
}

impl Identity {
    fn of(response: &Response) -> Self {
        let take = |name: &str| response.header(name).map(str::to_owned);
        Self {
            commit: take(X_MS_COMMIT.as_str()),
            created: take("x-ms-creation-time"),
            length: take("content-length"),
        }
    }

    fn is(&self, other: &Self) -> bool {
        (self.commit.is_some() || self.created.is_some()) && self == other
    }
}

impl AzureStore {
    /// Whether the account's names are hierarchical, by a request that every mount may make: a listing that asks for
    /// permissions, which flat accounts refuse as a bad parameter. Everything else is no answer to the question.
    ///
    /// # Errors
    /// As any request.
    pub async fn is_hierarchical(&self) -> Result<bool, StoreError> {
        const OPERATION: &str = "List Blobs";
        let url = self.address.container(&[
            ("restype", "container"),
            ("comp", "list"),
            ("maxresults", "1"),
            ("include", "permissions"),
        ]);
        let request = Request::get(HOP, url)
            .budget(self.config.read_budget)
            .body_cap(LIST_CAP);
        let response = self.exchange(request).await?;
        let code = response.header("x-ms-error-code");
        match (response.status, code) {
            (StatusCode::OK, _) => Ok(true),
            (StatusCode::BAD_REQUEST, Some("InvalidQueryParameterValue")) => Ok(false),
            _ => Err(refusal(OPERATION, &response)),
        }
    }

    /// Properties without the customer-provided key.
    pub(super) async fn unkeyed(&self, name: &str) -> Result<BlobInfo, StoreError> {
        info_of("Get Blob Properties", &self.unkeyed_response(name).await?)
    }

    async fn unkeyed_response(&self, name: &str) -> Result<Response, StoreError> {
        let url = self.address.blob(name, &[])?;
        let request = Request::new(HOP, Method::HEAD, url).budget(self.config.read_budget);
        let response = self.exchange(request).await?;
        match response.status {
            StatusCode::OK => Ok(response),
            _ => Err(refusal("Get Blob Properties", &response)),
        }
    }

    async fn identity(&self, name: &str) -> Result<Identity, StoreError> {
        let response = match self.properties(name).await {
            Err(StoreError::WrongKey) => self.unkeyed_response(name).await,
            properties => properties,
        };
        response.map(|response| Identity::of(&response))
    }

    /// Path - Create, of a directory.
    pub(super) async fn make_directory(&self, name: &str) -> Result<Etag, StoreError> {
        const OPERATION: &str = "Create Directory";
        let token = uuid::Uuid::new_v4().simple().to_string();
        let url = self.address.path(name, &[("resource", "directory")])?;
        let properties = format!("cleanroomcommit={}", STANDARD.encode(&token));
        let request = Request::put(HOP, url)
            .header(X_MS_PROPERTIES, &properties)
            .header(header::IF_NONE_MATCH, "*")
            .budget(self.config.write_budget);
        let error = match self.exchange(request).await {
            Ok(response) if response.status == StatusCode::CREATED => {
                return etag_of(OPERATION, &response);
            }
            Ok(response) => refusal(OPERATION, &response),
            Err(error) => error,
        };
        if !is_ambiguous(&error) {
            return Err(error);
        }
        match self.unkeyed_response(name).await {
            Ok(response) if response.header(X_MS_COMMIT.as_str()) == Some(&token) => {
                etag_of(OPERATION, &response)
            }
            _ => Err(error),
        }
    }

    /// Path - Delete, of a file or an empty directory.
    pub(super) async fn delete_path(
        &self,
        name: &str,
        condition: &Condition,
    ) -> Result<(), StoreError> {
        let url = self.address.path(name, &[("recursive", "false")])?;
        let request = Request::new(HOP, Method::DELETE, url).budget(self.config.write_budget);
        let response = self.exchange(conditional(request, condition)).await?;
        match response.status {
            StatusCode::OK | StatusCode::ACCEPTED => Ok(()),
            _ => Err(refusal("Delete Path", &response)),
        }
    }

    /// Path - Create with a source: the service moves a file or a whole directory in one step. A very large directory may
    /// take several requests, of which the last one makes the step.
    pub(super) async fn rename_path(
        &self,
        from: &str,
        to: &str,
        source: &Condition,
        target: &Condition,
    ) -> Result<Etag, StoreError> {
        const OPERATION: &str = "Rename Path";
        let before = self.identity(from).await?;
        let mut next: Option<String> = None;
        for _ in 0..MOST_REQUESTS {
            let mut query = vec![("mode", "posix")];
            query.extend(next.as_deref().map(|next| ("continuation", next)));
            let at = self.address.path(from, &[])?;
            let mut request = Request::put(HOP, self.address.path(to, &query)?)
                .header(X_MS_SOURCE, at.path())
                .budget(self.config.write_budget);
            if let Condition::Match(etag) = source {
                request = request.header(X_MS_SOURCE_MATCH, &quoted(etag));
            }
            if next.is_none() {
                request = conditional(request, target);
            }
            let error = match self.exchange(request).await {
                Ok(response) if response.status == StatusCode::CREATED => {
                    let more = response
                        .header(CONTINUATION)
                        .filter(|more| !more.is_empty());
                    match more {
                        Some(more) => next = Some(more.to_owned()),
                        // Not every answer names the version.
                        None => {
                            return match etag_of(OPERATION, &response) {
                                Ok(etag) => Ok(etag),
                                Err(_) => self.version(to).await,
                            };
                        }
                    }
                    continue;
                }
                Ok(response) => refusal(OPERATION, &response),
                Err(error) => error,
            };
            // A repeated request may have met its own first, applied try.
            let is_open = is_ambiguous(&error) || matches!(error, StoreError::NotFound);
            if is_open && self.has_moved(&before, from, to).await {
                tracing::info!(
                    operation = OPERATION,
                    "an answer was lost, the rename was not"
                );
                return self.version(to).await;
            }
            return Err(error);
        }
        Err(StoreError::Answer {
            operation: OPERATION,
            reason: "no end",
        })
    }

    async fn has_moved(&self, before: &Identity, from: &str, to: &str) -> bool {
        matches!(self.identity(from).await, Err(StoreError::NotFound))
            && matches!(self.identity(to).await, Ok(now) if now.is(before))
    }

    async fn version(&self, name: &str) -> Result<Etag, StoreError> {
        match self.properties(name).await {
            Err(StoreError::WrongKey) => Ok(self.unkeyed(name).await?.etag),
            properties => etag_of("Get Blob Properties", &properties?),
        }
    }
}
