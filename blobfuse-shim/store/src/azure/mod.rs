//! Blob storage over HTTPS (Blob service REST, version 2021-12-02).

mod address;
mod hierarchy;
mod operations;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use http::{HeaderName, Method, StatusCode, header};
use sidecar_http::{HttpsClient, Request, Response, Room};
use url::Url;

use self::address::Address;
use crate::{BlobInfo, Condition, CustomerKey, Etag, Metadata, StoreError, TokenSource};

const HOP: &str = "Blob storage";
const VERSION: &str = "2021-12-02";
/// A page of 5000 long names with all properties stays below.
const LIST_CAP: usize = 64 << 20;
/// Room for an error body beside the data that was asked for.
const ERROR_CAP: usize = 64 << 10;

const X_MS_VERSION: HeaderName = HeaderName::from_static("x-ms-version");
const X_MS_DATE: HeaderName = HeaderName::from_static("x-ms-date");
const X_MS_REQUEST: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const X_MS_RANGE: HeaderName = HeaderName::from_static("x-ms-range");
const X_MS_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
const X_MS_CRC64: HeaderName = HeaderName::from_static("x-ms-content-crc64");
/// Names the commit that wrote a blob, so that a lost answer can be told from a lost request.
const X_MS_COMMIT: HeaderName = HeaderName::from_static("x-ms-meta-cleanroomcommit");
const X_MS_FOLDER: HeaderName = HeaderName::from_static("x-ms-meta-hdi_isfolder");

/// Where a store is and what it shows.
#[derive(Clone)]
pub struct AzureConfig {
    /// The account's blob endpoint: `https://<account>.blob.core.windows.net`.
    pub endpoint: Url,
    /// Container.
    pub container: String,
    /// The account's endpoint for hierarchical names, if it has them: `https://<account>.dfs.core.windows.net`.
    pub dfs_endpoint: Option<Url>,
    /// Prefix inside the container that all names are relative to; may be empty.
    pub prefix: String,
    /// Bearer tokens.
    pub tokens: Arc<dyn TokenSource>,
    /// A customer-provided key for every data request.
    pub key: Option<Arc<CustomerKey>>,
    /// Time for one read, its repetitions included.
    pub read_budget: Duration,
    /// Time for one write, its repetitions included.
    pub write_budget: Duration,
    /// Where content is received, if not in the allocator's memory.
    pub room: Option<Room>,
}

impl AzureConfig {
    /// A container without prefix and customer-provided key; reads give up after 60 s, writes after 5 min.
    pub fn new(endpoint: Url, container: &str, tokens: Arc<dyn TokenSource>) -> Self {
        Self {
            endpoint,
            container: container.to_owned(),
            dfs_endpoint: None,
            prefix: String::new(),
            tokens,
            key: None,
            read_budget: Duration::from_secs(60),
            write_budget: Duration::from_secs(300),
            room: None,
        }
    }
}

impl fmt::Debug for AzureConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureConfig")
            .field("endpoint", &self.endpoint.as_str())
            .field("container", &self.container)
            .field("hierarchical", &self.dfs_endpoint.is_some())
            .field("prefix", &self.prefix)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// One container of an Azure storage account.
#[derive(Clone, Debug)]
pub struct AzureStore {
    config: AzureConfig,
    address: Address,
    client: HttpsClient,
}

impl AzureStore {
    /// A store; nothing is asked yet.
    ///
    /// # Errors
    /// [`StoreError::Config`]: the endpoint is not `https`, a name is not possible, or the service is known to ignore
    /// customer-provided keys.
    pub fn new(config: AzureConfig, client: HttpsClient) -> Result<Self, StoreError> {
        let address = Address::new(&config)?;
        Ok(Self {
            config,
            address,
            client,
        })
    }

    /// Makes the container; `false` if it existed.
    ///
    /// # Errors
    /// As any request.
    pub async fn create_container(&self) -> Result<bool, StoreError> {
        const OPERATION: &str = "Create Container";
        let url = self.address.container(&[("restype", "container")]);
        let request = Request::put(HOP, url).budget(self.config.write_budget);
        let response = self.exchange(request).await?;
        match (
            response.status,
            response.header("x-ms-error-code").unwrap_or_default(),
        ) {
            (StatusCode::CREATED, _) => Ok(true),
            (StatusCode::CONFLICT, "ContainerAlreadyExists") => Ok(false),
            _ => Err(refusal(OPERATION, &response)),
        }
    }

    /// Sends with a token; once more with a fresh one if it was not accepted.
    async fn exchange(&self, request: Request) -> Result<Response, StoreError> {
        let response = self.send(&request, false).await?;
        // Services differ: 401, or 403 with the code that speaks of authentication and not of rights.
        if response.status == StatusCode::UNAUTHORIZED
            || response.header("x-ms-error-code") == Some("AuthenticationFailed")
        {
            return self.send(&request, true).await;
        }
        Ok(response)
    }

    async fn send(&self, request: &Request, renew: bool) -> Result<Response, StoreError> {
        let token = self.config.tokens.token(renew).await;
        let token = token.map_err(StoreError::Token)?;
        let size = request.body.len().max(request.body_cap) as u64 >> 20;
        let request = request
            .clone()
            .header(X_MS_VERSION, VERSION)
            .header(X_MS_DATE, &httpdate::fmt_http_date(SystemTime::now()))
            .header(X_MS_REQUEST, &uuid::Uuid::new_v4().to_string())
            .bearer(token.expose())
            .deadline(Duration::from_secs(10 + size).min(request.budget))
            .until_budget();
        Ok(self.client.send_retrying(&request).await?)
    }

    /// A request for a blob's data or properties, under the key if there is one.
    fn data(&self, method: Method, url: Url, budget: Duration) -> Request {
        let request = Request::new(HOP, method, url).budget(budget);
        match &self.config.key {
            Some(key) => key.put_on(request),
            None => request,
        }
    }

    fn check_key(&self, response: &Response) -> Result<(), StoreError> {
        match &self.config.key {
            Some(key) => key.check_used(response),
            None => Ok(()),
        }
    }

    /// A write that makes a blob: conditional, and certain about what happened even when the answer was lost.
    async fn commit(
        &self,
        operation: &'static str,
        name: &str,
        request: Request,
        condition: &Condition,
    ) -> Result<Etag, StoreError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let request = conditional(request.header(X_MS_COMMIT, &token), condition);
        let outcome = match self.exchange(request).await {
            Ok(response) if response.status == StatusCode::CREATED => {
                self.check_key(&response)?;
                return etag_of(operation, &response);
            }
            Ok(response) => Err(refusal(operation, &response)),
            Err(error) => Err(error),
        };
        let Err(error) = outcome else { return outcome };
        if !is_ambiguous(&error) {
            return Err(error);
        }
        // A repeated request may have met its own first, applied try; a broken connection may have been the answer's.
        match self.properties(name).await {
            Ok(response) if response.header(X_MS_COMMIT.as_str()) == Some(&token) => {
                tracing::info!(operation, "an answer was lost, the write was not");
                self.check_key(&response)?;
                etag_of(operation, &response)
            }
            _ => Err(error),
        }
    }

    async fn properties(&self, name: &str) -> Result<Response, StoreError> {
        const OPERATION: &str = "Get Blob Properties";
        let url = self.address.blob(name, &[])?;
        let request = self.data(Method::HEAD, url, self.config.read_budget);
        let response = self.exchange(request).await?;
        if response.status != StatusCode::OK {
            return Err(refusal(OPERATION, &response));
        }
        self.check_key(&response)?;
        Ok(response)
    }
}

const fn is_ambiguous(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Changed
            | StoreError::Exists
            | StoreError::BlocksGone
            | StoreError::Unavailable { .. }
            | StoreError::Https(_)
    )
}

fn conditional(request: Request, condition: &Condition) -> Request {
    match condition {
        Condition::Always => request,
        Condition::Match(etag) => request.header(header::IF_MATCH, &quoted(etag)),
        Condition::Absent => request.header(header::IF_NONE_MATCH, "*"),
    }
}

fn quoted(etag: &Etag) -> String {
    format!("\"{}\"", etag.0)
}

fn refusal(operation: &'static str, response: &Response) -> StoreError {
    // HEAD has no body, and the header is always there; the body's message may quote names.
    let code = response.header("x-ms-error-code").unwrap_or("no code");
    let code: String = code.chars().take(80).collect();
    StoreError::of(operation, response.status.as_u16(), &code)
}

fn etag_of(operation: &'static str, response: &Response) -> Result<Etag, StoreError> {
    match response.header("etag") {
        Some(etag) => Ok(Etag::new(etag)),
        None => Err(StoreError::Answer {
            operation,
            reason: "no ETag",
        }),
    }
}

fn info_of(operation: &'static str, response: &Response) -> Result<BlobInfo, StoreError> {
    let length = response.header("content-length");
    let modified = response.header("last-modified");
    let marked = response.header(X_MS_FOLDER.as_str());
    let kind = response.header("x-ms-resource-type");
    Ok(BlobInfo {
        etag: etag_of(operation, response)?,
        length: length
            .and_then(|length| length.parse().ok())
            .ok_or(StoreError::Answer {
                operation,
                reason: "no length",
            })?,
        modified: modified
            .and_then(|time| httpdate::parse_http_date(time).ok())
            .unwrap_or(SystemTime::UNIX_EPOCH),
        directory: marked.is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || kind == Some("directory"),
    })
}

const META: &str = "x-ms-meta-";

/// The metadata that a caller gave; names are compared without regard to case.
fn metadata_of(response: &Response) -> Metadata {
    let headers = response.headers.iter();
    let pairs = headers.filter(|(name, _)| **name != X_MS_COMMIT && **name != X_MS_FOLDER);
    let pairs = pairs.filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(META)?;
        Some((name.to_owned(), value.to_str().ok()?.to_owned()))
    });
    pairs.collect()
}

fn with_metadata(mut request: Request, metadata: &Metadata) -> Result<Request, StoreError> {
    for (name, value) in metadata {
        let header = HeaderName::from_bytes(format!("{META}{name}").as_bytes());
        let header = header.map_err(|_| StoreError::Config(format!("metadata {name:?}")))?;
        request = request.header(header, value);
    }
    Ok(request)
}

/// CRC-64/NVME as the service takes it: base64 of the little-endian bytes.
fn crc64(body: &Bytes) -> String {
    STANDARD.encode(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, body).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_services() {
        assert_eq!(crc64(&Bytes::from_static(b"123456789")), "iJh5CoYUi64=");
    }
}
