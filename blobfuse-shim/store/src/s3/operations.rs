use std::ops::Range;

use bytes::Bytes;
use http::{Method, StatusCode};
use sidecar_http::Request;

use super::blocks::{self, staging_key};
use super::xml::{self, Listing};
use super::{
    BLOCKS, COMMIT, HOP, LIST_CAP, S3Store, STAGING, conditional, info_of, pairs, refusal,
};
use crate::{BlobInfo, BlobStore, BlockId, Condition, Etag, Outcome, Page, StoreError};

impl S3Store {
    pub(super) async fn page(
        &self,
        prefix: &str,
        directories: bool,
        from: Option<&str>,
    ) -> Result<Listing, StoreError> {
        let prefix = format!("{}{prefix}", self.prefix);
        let mut query = vec![
            ("encoding-type", "url"),
            ("list-type", "2"),
            ("max-keys", "1000"),
        ];
        if !prefix.is_empty() {
            query.push(("prefix", &prefix));
        }
        if directories {
            query.push(("delimiter", "/"));
        }
        query.extend(from.map(|token| ("continuation-token", token)));
        let mut url = self.bucket.clone();
        url.set_query(Some(&pairs(&query)));
        let request = Request::get(HOP, url)
            .budget(self.config.read_budget)
            .body_cap(LIST_CAP);
        let response = self.exchange(request).await?;
        if response.status != StatusCode::OK {
            return Err(refusal("ListObjectsV2", &response));
        }
        let mut listing = xml::listing(&response.body)?;
        let date = response.header("date");
        listing.date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        Ok(listing)
    }

    pub(super) async fn remove(&self, name: &str, condition: &Condition) -> Result<(), StoreError> {
        let request = self.write(Method::DELETE, self.object(name, &[])?);
        let response = self.exchange(conditional(request, condition)).await?;
        match response.status {
            StatusCode::NO_CONTENT | StatusCode::OK => Ok(()),
            _ => Err(refusal("DeleteObject", &response)),
        }
    }
}

impl BlobStore for S3Store {
    fn head<'a>(&'a self, name: &'a str) -> Outcome<'a, BlobInfo> {
        Box::pin(async move {
            if let Some(found) = self.properties(name).await? {
                return info_of(&found, false);
            }
            match self.properties(&format!("{name}/")).await? {
                Some(found) => info_of(&found, true),
                None => Err(StoreError::NotFound),
            }
        })
    }

    fn get_range<'a>(
        &'a self,
        name: &'a str,
        range: Range<u64>,
        version: &'a Etag,
    ) -> Outcome<'a, Bytes> {
        Box::pin(self.read(name, range, Some(version)))
    }

    fn put_blob<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move {
            let token = uuid::Uuid::new_v4().simple().to_string();
            let put = self.write(Method::PUT, self.object(name, &[])?).body(body);
            let put = put.header(COMMIT, &token);
            self.commit("PutObject", name, put, condition, &token).await
        })
    }

    fn put_directory<'a>(&'a self, name: &'a str) -> Outcome<'a, Etag> {
        Box::pin(async move {
            let name = format!("{name}/");
            let token = uuid::Uuid::new_v4().simple().to_string();
            let put = self.write(Method::PUT, self.object(&name, &[])?);
            let put = put.header(COMMIT, &token);
            self.commit("PutObject", &name, put, &Condition::Absent, &token)
                .await
        })
    }

    fn put_block<'a>(&'a self, name: &'a str, id: BlockId, body: Bytes) -> Outcome<'a, ()> {
        Box::pin(async move {
            let length = body.len() as u64;
            let url = self.object(&staging_key(id), &[])?;
            let response = self
                .exchange(self.write(Method::PUT, url).body(body))
                .await?;
            if response.status != StatusCode::OK {
                return Err(refusal("PutObject", &response));
            }
            self.blocks.staged(name, id, length);
            Ok(())
        })
    }

    fn put_block_list<'a>(
        &'a self,
        name: &'a str,
        ids: &'a [BlockId],
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move {
            let version = match condition {
                Condition::Match(version) => Some(version),
                Condition::Always | Condition::Absent => None,
            };
            self.recall(name, self.blocks.missing(name, ids, version))
                .await?;
            let found = self.blocks.find(name, ids, version)?;
            let lengths: Vec<_> = found.iter().map(|(id, piece)| (*id, piece.len())).collect();
            let pieces = found.into_iter().map(|(_, piece)| piece).collect();
            let text = blocks::written(&lengths);
            let etag = self.assemble(name, pieces, text.as_deref(), condition);
            let etag = etag.await?;
            let staged = self.blocks.committed(name, &etag, lengths);
            self.unstage(staged).await;
            Ok(etag)
        })
    }

    fn committed_blocks<'a>(&'a self, name: &'a str) -> Outcome<'a, Option<Vec<(BlockId, u64)>>> {
        Box::pin(async move {
            let found = self.properties(name).await?.ok_or(StoreError::NotFound)?;
            let info = info_of(&found, false)?;
            if let Some(layout) = self.blocks.layout(name)
                && layout.version == info.etag
            {
                return Ok(Some(layout.blocks));
            }
            let text = found.header(BLOCKS.as_str()).unwrap_or_default();
            let layout = blocks::read(text, &info.etag, info.length);
            Ok(Some(layout.map_or_else(Vec::new, |layout| {
                let blocks = layout.blocks.clone();
                self.blocks.remember(name, layout);
                blocks
            })))
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        directories: bool,
        from: Option<&'a str>,
    ) -> Outcome<'a, Page> {
        Box::pin(async move {
            let listing = self.page(prefix, directories, from).await?;
            let mut page = Page {
                next: listing.next,
                ..Page::default()
            };
            for (key, mut info) in listing.objects {
                let Some(name) = key.strip_prefix(&self.prefix) else {
                    continue;
                };
                // The mark of the directory that is listed.
                if name.starts_with(STAGING) || name.is_empty() || name == prefix {
                    let is_mark = name.ends_with('/') || name.is_empty();
                    if name.starts_with(STAGING) || is_mark {
                        continue;
                    }
                }
                let (name, directory) = match name.strip_suffix('/') {
                    Some(directory) => (directory, true),
                    None => (name, false),
                };
                info.directory = directory;
                page.blobs.push((name.to_owned(), info));
            }
            for key in listing.prefixes {
                match key.strip_prefix(&self.prefix) {
                    Some(name) if name != STAGING => page.prefixes.push(name.to_owned()),
                    _ => {}
                }
            }
            Ok(page)
        })
    }

    fn delete<'a>(&'a self, name: &'a str, condition: &'a Condition) -> Outcome<'a, ()> {
        Box::pin(async move {
            // A deletion of nothing succeeds, and not every service knows conditions of one.
            let info = self.head(name).await?;
            match condition {
                Condition::Match(version) if *version != info.etag => {
                    return Err(StoreError::Changed);
                }
                Condition::Absent => return Err(StoreError::Exists),
                Condition::Always | Condition::Match(_) => {}
            }
            let key = match info.directory {
                true => format!("{name}/"),
                false => name.to_owned(),
            };
            self.remove(&key, condition).await
        })
    }
}
