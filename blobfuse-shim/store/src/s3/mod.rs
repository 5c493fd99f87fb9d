//! S3-compatible object storage (path-style REST, Signature Version 4).
//!
//! Objects have no staged blocks that could be committed in another order or kept from one version to the next. So a block
//! is staged as an object of its own below [`STAGING`], invisible in listings, and a commit lets the service copy what it
//! has already into the parts of one conditional multipart upload.

mod assembly;
mod blocks;
mod operations;
mod plan;
mod sealed;
mod sign;
mod staged;
mod xml;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, Method, StatusCode, header};
use sidecar_http::{HttpsClient, Request, Response, Room};
use url::Url;

use self::blocks::Blocks;
pub use self::sealed::AccessKey;
pub use self::sign::S3Credentials;
use crate::names::{check, encode};
use crate::{BlobInfo, Condition, Etag, StoreError};

const HOP: &str = "S3";
/// Staged blocks, below the prefix of the store.
const STAGING: &str = ".cleanroom/staged/";
/// A page of 1000 long keys stays below.
const LIST_CAP: usize = 16 << 20;
/// Room for an error body beside the data that was asked for.
const ERROR_CAP: usize = 64 << 10;
/// Requests of one operation at once.
const AT_ONCE: usize = 8;

/// Names the commit that wrote an object, so that a lost answer can be told from a lost request.
const COMMIT: HeaderName = HeaderName::from_static("x-amz-meta-cleanroomcommit");
/// The lengths of the blocks that an object was made of.
const BLOCKS: HeaderName = HeaderName::from_static("x-amz-meta-cleanroomblocks");

/// Where a store is and what it shows.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The service: `https://s3.<region>.amazonaws.com`, or any compatible one.
    pub endpoint: Url,
    /// Bucket.
    pub bucket: String,
    /// Region, as signatures name it.
    pub region: String,
    /// Prefix inside the bucket that all names are relative to; may be empty.
    pub prefix: String,
    /// Whose requests they are.
    pub credentials: S3Credentials,
    /// Time for one read, its repetitions included.
    pub read_budget: Duration,
    /// Time for one write, its repetitions included.
    pub write_budget: Duration,
    /// Where content is received, if not in the allocator's memory.
    pub room: Option<Room>,
}

impl S3Config {
    /// A bucket without prefix; reads give up after 60 s, writes after 5 min.
    pub fn new(endpoint: Url, bucket: &str, region: &str, credentials: S3Credentials) -> Self {
        Self {
            endpoint,
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            prefix: String::new(),
            credentials,
            read_budget: Duration::from_secs(60),
            write_budget: Duration::from_secs(300),
            room: None,
        }
    }
}

/// One bucket of an S3-compatible service.
#[derive(Clone)]
pub struct S3Store {
    config: S3Config,
    bucket: Url,
    prefix: String,
    client: HttpsClient,
    blocks: Arc<Blocks>,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl S3Store {
    /// A store; nothing is asked yet.
    ///
    /// # Errors
    /// [`StoreError::Config`]: the endpoint is not `https`, or a name is not possible.
    pub fn new(config: S3Config, client: HttpsClient) -> Result<Self, StoreError> {
        let bad = |reason: &str| Err(StoreError::Config(reason.to_owned()));
        if config.endpoint.scheme() != "https" {
            return bad("the endpoint is not https");
        }
        let possible = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let name = config.bucket.as_str();
        if !(3..=63).contains(&name.len()) || !name.chars().all(possible) || name.contains("..") {
            return bad("the bucket's name is not possible");
        }
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if config.region.is_empty() || !config.region.chars().all(named) {
            return bad("the region's name is not possible");
        }
        let mut prefix = config.prefix.trim_matches('/').to_owned();
        if !prefix.is_empty() {
            check(&prefix)?;
            prefix.push('/');
        }
        let mut bucket = config.endpoint.clone();
        bucket.set_query(None);
        bucket.set_fragment(None);
        let path = format!("{}/{name}", bucket.path().trim_end_matches('/'));
        bucket.set_path(&path);
        Ok(Self {
            config,
            bucket,
            prefix,
            client,
            blocks: Arc::default(),
        })
    }

    /// Makes the bucket; `false` if it existed.
    ///
    /// # Errors
    /// As any request.
    pub async fn create_bucket(&self) -> Result<bool, StoreError> {
        let request = Request::put(HOP, self.bucket.clone()).budget(self.config.write_budget);
        let response = self.exchange(request).await?;
        match (response.status, xml::error_code(&response.body).as_str()) {
            (StatusCode::OK, _) => Ok(true),
            (StatusCode::CONFLICT, "BucketAlreadyOwnedByYou" | "BucketAlreadyExists") => Ok(false),
            _ => Err(refusal("CreateBucket", &response)),
        }
    }

    /// The URL of an object.
    fn object(&self, name: &str, query: &[(&str, &str)]) -> Result<Url, StoreError> {
        check(name.trim_end_matches('/'))?;
        let mut url = self.bucket.clone();
        let path = format!("{}/{}{}", url.path(), encode(&self.prefix), encode(name));
        url.set_path(&path);
        if !query.is_empty() {
            url.set_query(Some(&pairs(query)));
        }
        Ok(url)
    }

    /// `/bucket/key`, as a copy names its source.
    fn source(&self, name: &str) -> String {
        format!(
            "/{}/{}{}",
            self.config.bucket,
            encode(&self.prefix),
            encode(name)
        )
    }

    async fn exchange(&self, request: Request) -> Result<Response, StoreError> {
        let size = request.body.len().max(request.body_cap) as u64 >> 20;
        let deadline = Duration::from_secs(10 + size).max(request.deadline);
        let budget = request.budget;
        let request = sign::signed(request, &self.config.credentials, &self.config.region)?;
        let request = request.deadline(deadline.min(budget)).until_budget();
        Ok(self.client.send_retrying(&request).await?)
    }

    fn write(&self, method: Method, url: Url) -> Request {
        Request::new(HOP, method, url).budget(self.config.write_budget)
    }

    /// What an object's answer says of it, headers only; `None` where there is none.
    async fn properties(&self, name: &str) -> Result<Option<Response>, StoreError> {
        let url = self.object(name, &[])?;
        let request = Request::new(HOP, Method::HEAD, url).budget(self.config.read_budget);
        let response = self.exchange(request).await?;
        match response.status {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal("HeadObject", &response)),
        }
    }

    /// Sends what makes an object: certain about what happened even when the answer was lost.
    async fn commit(
        &self,
        operation: &'static str,
        name: &str,
        request: Request,
        condition: &Condition,
        token: &str,
    ) -> Result<Etag, StoreError> {
        let outcome = match self.exchange(conditional(request, condition)).await {
            Ok(response) => committed(operation, &response),
            Err(error) => Err(error),
        };
        let Err(error) = outcome else { return outcome };
        let open = matches!(
            error,
            StoreError::Changed
                | StoreError::NotFound
                | StoreError::Unavailable { .. }
                | StoreError::Https(_)
        );
        if !open {
            return Err(error);
        }
        // A repeated request may have met its own first, applied try; a broken connection may have been the answer's.
        if let Ok(Some(found)) = self.properties(name).await
            && found.header(COMMIT.as_str()) == Some(token)
        {
            tracing::info!(operation, "an answer was lost, the write was not");
            return etag_of(operation, &found);
        }
        Err(match (error, condition) {
            (StoreError::Changed, Condition::Absent) => StoreError::Exists,
            // A version that is gone altogether.
            (StoreError::NotFound, Condition::Match(_)) => StoreError::Changed,
            (error, _) => error,
        })
    }
}

#[cfg(feature = "testing")]
pub(crate) fn parse_listing(xml: &[u8]) -> Result<crate::Page, StoreError> {
    let listing = xml::listing(xml)?;
    Ok(crate::Page {
        blobs: listing.objects,
        prefixes: listing.prefixes,
        next: listing.next,
    })
}

/// The version in the answer to a write: in the header, or of a completed upload in the body, where an error may stand
/// below a good status.
fn committed(operation: &'static str, response: &Response) -> Result<Etag, StoreError> {
    if response.status != StatusCode::OK {
        return Err(refusal(operation, response));
    }
    if response.header("etag").is_some() {
        return etag_of(operation, response);
    }
    let code = xml::error_code(&response.body);
    if !code.is_empty() {
        return Err(meaning(operation, 500, &code));
    }
    xml::leaf(operation, &response.body, "ETag").map(|etag| Etag::new(&etag))
}

/// Every character but the unreserved ones is encoded, as signatures want it.
fn pairs(query: &[(&str, &str)]) -> String {
    let encoded = |text: &str| encode(text).replace('/', "%2F");
    let each = query
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    each.collect::<Vec<_>>().join("&")
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
    meaning(
        operation,
        response.status.as_u16(),
        &xml::error_code(&response.body),
    )
}

/// The meaning of a refusal: HTTP status and error code (S3 API reference, error responses).
fn meaning(operation: &'static str, status: u16, code: &str) -> StoreError {
    let text = || match code {
        "" => "no code".to_owned(),
        code => code.to_owned(),
    };
    match (status, code) {
        (_, "NoSuchBucket") => StoreError::NoContainer,
        (404, _) => StoreError::NotFound,
        (412, _) | (_, "PreconditionFailed" | "ConditionalRequestConflict") => StoreError::Changed,
        (507, _) | (_, "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage") => {
            StoreError::Full
        }
        (401, _)
        | (
            _,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "RequestTimeTooSkewed",
        ) => StoreError::Unauthenticated { code: text() },
        (403, _) => StoreError::Forbidden { code: text() },
        (408 | 429 | 500.., _) => StoreError::Unavailable {
            operation,
            status,
            code: text(),
        },
        _ => StoreError::Refused {
            operation,
            status,
            code: text(),
        },
    }
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

fn info_of(response: &Response, directory: bool) -> Result<BlobInfo, StoreError> {
    const OPERATION: &str = "HeadObject";
    let length = response.header("content-length");
    let modified = response.header("last-modified");
    Ok(BlobInfo {
        etag: etag_of(OPERATION, response)?,
        length: length
            .and_then(|length| length.parse().ok())
            .ok_or(StoreError::Answer {
                operation: OPERATION,
                reason: "no length",
            })?,
        modified: modified
            .and_then(|time| httpdate::parse_http_date(time).ok())
            .unwrap_or(SystemTime::UNIX_EPOCH),
        directory,
    })
}
