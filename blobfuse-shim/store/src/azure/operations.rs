use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
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

/// Requests at once for what a listing does not say.
const AT_ONCE: usize = 8;

impl AzureStore {
    /// Metadata under a customer-provided key is not listed: empty blobs are asked whether they stand for directories.
    async fn tell_directories(&self, page: &mut Page) -> Result<(), StoreError> {
        let unknown = |(at, (name, info)): (usize, &(String, BlobInfo))| {
            let open = info.length == 0 && !info.directory;
            let open = open && !page.prefixes.contains(&format!("{name}/"));
            open.then(|| self.tell(at, name.clone()))
        };
        let asked: Vec<_> = page.blobs.iter().enumerate().filter_map(unknown).collect();
        let mut told = stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some(told) = told.next().await {
            let (at, directory) = told?;
            if let Some((_, info)) = page.blobs.get_mut(at) {
                info.directory = directory;
            }
        }
        Ok(())
    }

    async fn tell(&self, at: usize, name: String) -> Result<(usize, bool), StoreError> {
        match self.head(&name).await {
            Ok(info) => Ok((at, info.directory)),
            // Gone meanwhile, or another's: a file as far as anybody here can tell.
            Err(StoreError::NotFound | StoreError::WrongKey) => Ok((at, false)),
            Err(error) => Err(error),
        }
    }
}

impl BlobStore for AzureStore {
    fn head<'a>(&'a self, name: &'a str) -> Outcome<'a, BlobInfo> {
        Box::pin(async move {
            match self.properties(name).await {
                // Directories are there of their own, and under no key.
                Err(StoreError::WrongKey) if self.address.is_hierarchical() => {
                    let info = self.unkeyed(name).await?;
                    info.directory.then_some(info).ok_or(StoreError::WrongKey)
                }
                properties => info_of("Get Blob Properties", &properties?),
            }
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
                .body_cap(length.max(ERROR_CAP))
                .room(self.config.room.clone());
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
            if self.address.is_hierarchical() {
                return self.make_directory(name).await;
            }
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

    fn rename<'a>(
        &'a self,
        from: &'a str,
        to: &'a str,
        source: &'a Condition,
        target: &'a Condition,
    ) -> Outcome<'a, Option<Etag>> {
        Box::pin(async move {
            if !self.address.is_hierarchical() {
                return Ok(None);
            }
            self.rename_path(from, to, source, target).await.map(Some)
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
            if self.config.key.is_some() {
                self.tell_directories(&mut page).await?;
            }
            Ok(page)
        })
    }

    fn delete<'a>(&'a self, name: &'a str, condition: &'a Condition) -> Outcome<'a, ()> {
        const OPERATION: &str = "Delete Blob";
        Box::pin(async move {
            let url = match self.address.is_hierarchical() {
                // A file or an empty directory, never more.
                true => self.address.path(name, &[("recursive", "false")])?,
                false => self.address.blob(name, &[])?,
            };
            let request = Request::new(HOP, Method::DELETE, url).budget(self.config.write_budget);
            let error = match self.exchange(conditional(request, condition)).await {
                Ok(response) if response.status.is_success() => return Ok(()),
                Ok(response) => refusal(OPERATION, &response),
                Err(error) => error,
            };
            let open = matches!(error, StoreError::Unavailable { .. } | StoreError::Https(_));
            // Where every answer was lost, what is gone is gone.
            match open && matches!(self.head(name).await, Err(StoreError::NotFound)) {
                true => Ok(()),
                false => Err(error),
            }
        })
    }
}
