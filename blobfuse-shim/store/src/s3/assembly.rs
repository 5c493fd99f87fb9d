//! Makes one object of pieces that the service has: a single put, or a multipart upload.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use http::{HeaderName, Method, StatusCode, header};
use sidecar_http::{Request, Response};

use super::plan::{MOST, Part, Piece, parts};
use super::{
    AT_ONCE, BLOCKS, COMMIT, ERROR_CAP, HOP, S3Store, committed, meaning, quoted, refusal, xml,
};
use crate::{Condition, Etag, StoreError};

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const COPY_RANGE: HeaderName = HeaderName::from_static("x-amz-copy-source-range");
const COPY_MATCH: HeaderName = HeaderName::from_static("x-amz-copy-source-if-match");
/// The service copies up to 517 MiB before it answers, and joins thousands of parts.
const PATIENCE: Duration = Duration::from_secs(120);

impl S3Store {
    /// Writes `name` with the content of `pieces`, and `blocks` as metadata.
    pub(super) async fn assemble(
        &self,
        name: &str,
        pieces: Vec<Piece>,
        blocks: Option<&str>,
        condition: &Condition,
    ) -> Result<Etag, StoreError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let described = |request: Request| {
            let request = request.header(COMMIT, &token);
            match blocks {
                Some(blocks) => request.header(BLOCKS, blocks),
                None => request,
            }
        };
        let parts = parts(pieces);
        let single = match parts.as_slice() {
            [] => Some(Bytes::new()),
            [Part::Gather(pieces)] => Some(self.gather(pieces).await?),
            _ => None,
        };
        if let Some(body) = single {
            let put = self.write(Method::PUT, self.object(name, &[])?).body(body);
            let put = described(put);
            return self.commit("PutObject", name, put, condition, &token).await;
        }
        if parts.len() > MOST {
            return Err(StoreError::Refused {
                operation: "CompleteMultipartUpload",
                status: 400,
                code: "EntityTooLarge".to_owned(),
            });
        }
        let start = self.write(Method::POST, self.object(name, &[("uploads", "")])?);
        let response = self.exchange(described(start)).await?;
        if response.status != StatusCode::OK {
            return Err(refusal("CreateMultipartUpload", &response));
        }
        let upload = xml::leaf("CreateMultipartUpload", &response.body, "UploadId")?;
        let open = OpenUpload::new(self, name, upload);
        let etag = self
            .complete(name, &open.id, &parts, condition, &token)
            .await?;
        open.completed();
        Ok(etag)
    }

    async fn complete(
        &self,
        name: &str,
        upload: &str,
        parts: &[Part],
        condition: &Condition,
        token: &str,
    ) -> Result<Etag, StoreError> {
        let sent: Vec<_> = (1_usize..)
            .zip(parts)
            .map(|(number, part)| self.send_part(name, upload, number, part))
            .collect();
        // In order, whatever the order in which they end.
        let mut sent = stream::iter(sent).buffered(AT_ONCE);
        let mut body = String::with_capacity(64 + 128 * parts.len());
        body.push_str("<CompleteMultipartUpload>");
        let mut number = 0;
        while let Some(etag) = sent.next().await {
            number += 1;
            let _ = write!(
                body,
                "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{}&quot;</ETag></Part>",
                quick_xml::escape::escape(&*etag?.0)
            );
        }
        body.push_str("</CompleteMultipartUpload>");
        let url = self.object(name, &[("uploadId", upload)])?;
        let request = self
            .write(Method::POST, url)
            .header(header::CONTENT_TYPE, "application/xml")
            .repeating(is_unfinished)
            .deadline(PATIENCE)
            .body(body);
        self.commit("CompleteMultipartUpload", name, request, condition, token)
            .await
    }

    async fn send_part(
        &self,
        name: &str,
        upload: &str,
        number: usize,
        part: &Part,
    ) -> Result<Etag, StoreError> {
        let number = number.to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", upload)];
        let url = self.object(name, &query)?;
        let piece = match part {
            Part::Gather(pieces) => {
                let body = self.gather(pieces).await?;
                let request = self.write(Method::PUT, url).body(body);
                return committed("UploadPart", &self.exchange(request).await?);
            }
            Part::Copy(piece) => piece,
        };
        const OPERATION: &str = "UploadPartCopy";
        let range = format!("bytes={}-{}", piece.range.start, piece.range.end - 1);
        let mut request = self
            .write(Method::PUT, url)
            .header(COPY_SOURCE, &self.source(&piece.key))
            .header(COPY_RANGE, &range)
            .repeating(is_unfinished)
            .deadline(PATIENCE);
        if let Some(version) = &piece.version {
            request = request.header(COPY_MATCH, &quoted(version));
        }
        match self.exchange(request).await?.into_copy(OPERATION) {
            // The source, not the target: a kept version or a staged block that is no longer there.
            Err(StoreError::Changed | StoreError::NotFound) => Err(StoreError::BlocksGone),
            outcome => outcome,
        }
    }

    /// The bytes of pieces that are too small to be parts.
    async fn gather(&self, pieces: &[Piece]) -> Result<Bytes, StoreError> {
        let mut whole = BytesMut::new();
        for piece in pieces {
            let read = self.read(&piece.key, piece.range.clone(), piece.version.as_ref());
            match read.await {
                Ok(bytes) => whole.extend_from_slice(&bytes),
                Err(StoreError::Changed | StoreError::NotFound) => {
                    return Err(StoreError::BlocksGone);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(whole.freeze())
    }

    /// Best effort: what stays behind is the bucket's lifecycle rule's to remove.
    async fn abort(&self, name: &str, upload: &str) {
        let aborted = async {
            let url = self.object(name, &[("uploadId", upload)])?;
            self.exchange(self.write(Method::DELETE, url)).await
        };
        if let Err(error) = aborted.await {
            tracing::debug!(%error, "a multipart upload stays behind");
        }
    }

    /// The bytes of a range; of one version if it is named.
    pub(super) async fn read(
        &self,
        key: &str,
        range: std::ops::Range<u64>,
        version: Option<&Etag>,
    ) -> Result<Bytes, StoreError> {
        const OPERATION: &str = "GetObject";
        let wrong = |reason| StoreError::Answer {
            operation: OPERATION,
            reason,
        };
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            return Ok(Bytes::new());
        };
        let length = usize::try_from(range.end - range.start)
            .map_err(|_| wrong("a range larger than memory"))?;
        let mut request = Request::get(HOP, self.object(key, &[])?)
            .header(header::RANGE, &format!("bytes={}-{last}", range.start))
            .budget(self.config.read_budget)
            .body_cap(length.max(ERROR_CAP))
            .room(self.config.room.clone());
        if let Some(version) = version {
            request = request.header(header::IF_MATCH, &quoted(version));
        }
        let response = self.exchange(request).await?;
        if !response.status.is_success() {
            return Err(refusal(OPERATION, &response));
        }
        // Some services ignore the condition.
        let found = response.header("etag").map(Etag::new);
        if version.is_some() && found.as_ref() != version {
            return Err(StoreError::Changed);
        }
        let expected = format!("bytes {}-{last}/", range.start);
        let placed = response.header("content-range");
        if response.status != StatusCode::PARTIAL_CONTENT
            || !placed.is_some_and(|placed| placed.starts_with(&expected))
        {
            return Err(wrong("another range"));
        }
        if response.body.len() != length {
            return Err(wrong("another length"));
        }
        Ok(response.body)
    }
}

/// A multipart upload that is aborted unless it is completed: also when the commit is cut off by its deadline.
struct OpenUpload {
    store: S3Store,
    name: String,
    id: String,
    is_completed: bool,
}

impl OpenUpload {
    fn new(store: &S3Store, name: &str, id: String) -> Self {
        Self {
            store: store.clone(),
            name: name.to_owned(),
            id,
            is_completed: false,
        }
    }

    fn completed(mut self) {
        self.is_completed = true;
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.is_completed {
            let (store, name, id) = (self.store.clone(), self.name.clone(), self.id.clone());
            runtime.spawn(async move { store.abort(&name, &id).await });
        }
    }
}

/// Copies and completions answer 200 before their work is done: an error that passes may then only stand in the body.
fn is_unfinished(response: &Response) -> bool {
    let code = xml::error_code(&response.body);
    matches!(
        code.as_str(),
        "InternalError" | "ServiceUnavailable" | "SlowDown" | "RequestTimeout"
    )
}

/// The answer to a copy has its version in the body alone.
trait IntoCopy {
    fn into_copy(self, operation: &'static str) -> Result<Etag, StoreError>;
}

impl IntoCopy for Response {
    fn into_copy(self, operation: &'static str) -> Result<Etag, StoreError> {
        if self.status != StatusCode::OK {
            return Err(refusal(operation, &self));
        }
        let code = xml::error_code(&self.body);
        if !code.is_empty() {
            return Err(meaning(operation, 500, &code));
        }
        xml::leaf(operation, &self.body, "ETag").map(|etag| Etag::new(&etag))
    }
}
