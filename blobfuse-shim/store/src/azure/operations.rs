use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use sidecar_http::Request;

use super::{
    AzureStore, ERROR_CAP, HOP, LIST_CAP, X_MS_CRC64, X_MS_FOLDER, X_MS_RANGE, X_MS_TYPE,
    conditional, crc64, info_of, metadata_of, quoted, refusal, with_metadata,
};
use crate::blocks::parse_blocks;
use crate::list::parse;
use crate::{BlobInfo, BlobStore, BlockId, Condition, Etag, Metadata, Outcome, Page, StoreError};

static NONE: Metadata = Metadata::new();

impl BlobStore for AzureStore {
    fn head<'a>(&'a self, name: &'a str) -> Outcome<'a, BlobInfo> {
        Box::pin(async move {
            let response = self.properties(name).await?;
            info_of("Get Blob Properties", &response)
        })
    }

    fn describe<'a>(&'a self, name: &'a str) -> Outcome<'a, (BlobInfo, Metadata)> {
        Box::pin(async move {
            let response = self.properties(name).await?;
            let info = info_of("Get Blob Properties", &response)?;
            Ok((info, metadata_of(&response)))
        })
    }

    fn get_range<'a>(
        &'a self,
        name: &'a str,
        range: Range<u64>,
        version: &'a Etag,
    ) -> Outcome<'a, Bytes> {
        const OPERATION: &str = "Get Blob";
        let wrong = |reason| StoreError::Answer {
            operation: OPERATION,
            reason,
        };
        Box::pin(async move {
            let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
                return Ok(Bytes::new());
            };
            let length = usize::try_from(range.end - range.start)
                .map_err(|_| wrong("a range larger than memory"))?;
            let request = self
                .data(
                    Method::GET,
                    self.address.blob(name, &[])?,
                    self.config.read_budget,
                )
                .header(X_MS_RANGE, &format!("bytes={}-{last}", range.start))
                .header(header::IF_MATCH, &quoted(version))
                .body_cap(length.max(ERROR_CAP));
            let response = self.exchange(request).await?;
            if !response.status.is_success() {
                return Err(refusal(OPERATION, &response));
            }
            self.check_key(&response)?;
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
        })
    }

    fn put_blob<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        self.put_blob_with(name, body, &NONE, condition)
    }

    fn put_blob_with<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move {
            let url = self.address.blob(name, &[])?;
            let request = self
                .data(Method::PUT, url, self.config.write_budget)
                .header(X_MS_TYPE, "BlockBlob")
                .header(X_MS_CRC64, &crc64(&body))
                .body(body);
            let request = with_metadata(request, metadata)?;
            self.commit("Put Blob", name, request, condition).await
        })
    }

    fn put_directory<'a>(&'a self, name: &'a str) -> Outcome<'a, Etag> {
        Box::pin(async move {
            let url = self.address.blob(name, &[])?;
            let request = self
                .data(Method::PUT, url, self.config.write_budget)
                .header(X_MS_TYPE, "BlockBlob")
                .header(X_MS_FOLDER, "true");
            self.commit("Put Blob", name, request, &Condition::Absent)
                .await
        })
    }

    fn put_block<'a>(&'a self, name: &'a str, id: BlockId, body: Bytes) -> Outcome<'a, ()> {
        const OPERATION: &str = "Put Block";
        Box::pin(async move {
            let id = STANDARD.encode(id.0);
            let url = self
                .address
                .blob(name, &[("comp", "block"), ("blockid", &id)])?;
            let request = self
                .data(Method::PUT, url, self.config.write_budget)
                .header(X_MS_CRC64, &crc64(&body))
                .body(body);
            let response = self.exchange(request).await?;
            if response.status != StatusCode::CREATED {
                return Err(refusal(OPERATION, &response));
            }
            self.check_key(&response)
        })
    }

    fn put_block_list<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        self.put_block_list_with(name, blocks, &NONE, condition)
    }

    fn put_block_list_with<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move {
            let mut body = String::with_capacity(64 + 48 * blocks.len());
            body.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
            for block in blocks {
                body.push_str("<Latest>");
                STANDARD.encode_string(block.0, &mut body);
                body.push_str("</Latest>");
            }
            body.push_str("</BlockList>");
            let url = self.address.blob(name, &[("comp", "blocklist")])?;
            let request = self
                .data(Method::PUT, url, self.config.write_budget)
                .header(header::CONTENT_TYPE, "application/xml")
                .body(body);
            let request = with_metadata(request, metadata)?;
            self.commit("Put Block List", name, request, condition)
                .await
        })
    }

    fn committed_blocks<'a>(&'a self, name: &'a str) -> Outcome<'a, Option<Vec<(BlockId, u64)>>> {
        const OPERATION: &str = "Get Block List";
        Box::pin(async move {
            let query = [("comp", "blocklist"), ("blocklisttype", "committed")];
            let request = Request::get(HOP, self.address.blob(name, &query)?)
                .budget(self.config.read_budget)
                .body_cap(LIST_CAP);
            let response = self.exchange(request).await?;
            if response.status != StatusCode::OK {
                return Err(refusal(OPERATION, &response));
            }
            parse_blocks(&response.body)
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        directories: bool,
        from: Option<&'a str>,
    ) -> Outcome<'a, Page> {
        const OPERATION: &str = "List Blobs";
        Box::pin(async move {
            let own = self.address.prefix();
            let prefix = format!("{own}{prefix}");
            let mut query = vec![
                ("restype", "container"),
                ("comp", "list"),
                ("maxresults", "5000"),
                ("include", "metadata"),
            ];
            if !prefix.is_empty() {
                query.push(("prefix", &prefix));
            }
            if directories {
                query.push(("delimiter", "/"));
            }
            query.extend(from.map(|marker| ("marker", marker)));
            let request = Request::get(HOP, self.address.container(&query))
                .budget(self.config.read_budget)
                .body_cap(LIST_CAP);
            let response = self.exchange(request).await?;
            if response.status != StatusCode::OK {
                return Err(refusal(OPERATION, &response));
            }
            let mut page = parse(&response.body)?;
            let relative = |name: &mut String| {
                let inside = name.strip_prefix(own).map(str::to_owned);
                inside.map(|inside| *name = inside).is_some()
            };
            page.blobs.retain_mut(|(name, _)| relative(name));
            page.prefixes.retain_mut(relative);
            Ok(page)
        })
    }

    fn delete<'a>(&'a self, name: &'a str, condition: &'a Condition) -> Outcome<'a, ()> {
        const OPERATION: &str = "Delete Blob";
        Box::pin(async move {
            let url = self.address.blob(name, &[])?;
            let request = Request::new(HOP, Method::DELETE, url).budget(self.config.write_budget);
            let response = self.exchange(conditional(request, condition)).await?;
            if response.status != StatusCode::ACCEPTED {
                return Err(refusal(OPERATION, &response));
            }
            Ok(())
        })
    }
}
