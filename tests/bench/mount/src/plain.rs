//! Reading emulated storage without TLS. The product has no such client; this one can do no more than what is measured.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use blob_store::{BlobInfo, BlobStore, BlockId, Condition, Etag, Outcome, Page, StoreError};
use bytes::Bytes;
use http::{HeaderName, Method, StatusCode, header};
use sidecar_http::{HttpsError, PlainClient, PlainEndpoint, Request, Response, Room};
use url::Url;

const HOP: &str = "Blob storage";
const VERSION: HeaderName = HeaderName::from_static("x-ms-version");
const RANGE: HeaderName = HeaderName::from_static("x-ms-range");

/// One container over plain HTTP, for reading.
#[derive(Debug)]
pub(crate) struct PlainStore {
    client: PlainClient,
    host: String,
    container: String,
    token: String,
    room: Option<Room>,
}

impl PlainStore {
    pub(crate) fn new(
        address: SocketAddr,
        account: &str,
        container: &str,
        token: &str,
        room: Option<Room>,
    ) -> Result<Self, HttpsError> {
        let client = PlainClient::new(PlainEndpoint::explicit(&address.to_string())?)?;
        Ok(Self {
            client,
            host: format!("{account}.blob.core.windows.net"),
            container: container.to_owned(),
            token: token.to_owned(),
            room,
        })
    }

    async fn ask(
        &self,
        method: Method,
        name: &str,
        range: Option<Range<u64>>,
    ) -> Result<Response, StoreError> {
        let mut url: Url = self.client.endpoint().url().clone();
        url.set_path(&format!("{}/{name}", self.container));
        let mut request = Request::new(HOP, method, url)
            .budget(Duration::from_secs(60))
            .bearer(&self.token)
            .header(header::HOST, &self.host)
            .header(VERSION, "2021-12-02");
        if let Some(range) = range {
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            request = request
                .header(RANGE, &format!("bytes={}-{}", range.start, range.end - 1))
                .body_cap(length.max(64 << 10))
                .room(self.room.clone());
        }
        let response = self.client.send_retrying(&request).await?;
        match response.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            StatusCode::NOT_FOUND => Err(StoreError::NotFound),
            _ => Err(wrong("status")),
        }
    }
}

fn wrong(reason: &'static str) -> StoreError {
    StoreError::Answer {
        operation: "plain HTTP",
        reason,
    }
}

fn refuse<'a, T>() -> Outcome<'a, T> {
    Box::pin(async { Err(wrong("this store only reads")) })
}

impl BlobStore for PlainStore {
    fn head<'a>(&'a self, name: &'a str) -> Outcome<'a, BlobInfo> {
        Box::pin(async move {
            let response = self.ask(Method::HEAD, name, None).await?;
            let length = response.header("content-length");
            Ok(BlobInfo {
                etag: Etag::new(response.header("etag").ok_or_else(|| wrong("no ETag"))?),
                length: length
                    .and_then(|length| length.parse().ok())
                    .ok_or_else(|| wrong("no length"))?,
                modified: SystemTime::UNIX_EPOCH,
                directory: false,
            })
        })
    }

    fn get_range<'a>(
        &'a self,
        name: &'a str,
        range: Range<u64>,
        version: &'a Etag,
    ) -> Outcome<'a, Bytes> {
        Box::pin(async move {
            let response = self.ask(Method::GET, name, Some(range)).await?;
            match response.header("etag").map(Etag::new) {
                Some(etag) if etag == *version => Ok(response.body),
                _ => Err(StoreError::Changed),
            }
        })
    }

    fn put_blob<'a>(&'a self, _: &'a str, _: Bytes, _: &'a Condition) -> Outcome<'a, Etag> {
        refuse()
    }

    fn put_directory<'a>(&'a self, _: &'a str) -> Outcome<'a, Etag> {
        refuse()
    }

    fn put_block<'a>(&'a self, _: &'a str, _: BlockId, _: Bytes) -> Outcome<'a, ()> {
        refuse()
    }

    fn put_block_list<'a>(
        &'a self,
        _: &'a str,
        _: &'a [BlockId],
        _: &'a Condition,
    ) -> Outcome<'a, Etag> {
        refuse()
    }

    fn committed_blocks<'a>(&'a self, _: &'a str) -> Outcome<'a, Option<Vec<(BlockId, u64)>>> {
        refuse()
    }

    fn list<'a>(&'a self, _: &'a str, _: bool, _: Option<&'a str>) -> Outcome<'a, Page> {
        Box::pin(async move {
            let name = crate::rows::FILE.to_owned();
            let info = self.head(&name).await?;
            Ok(Page {
                blobs: vec![(name, info)],
                ..Page::default()
            })
        })
    }

    fn delete<'a>(&'a self, _: &'a str, _: &'a Condition) -> Outcome<'a, ()> {
        refuse()
    }
}
