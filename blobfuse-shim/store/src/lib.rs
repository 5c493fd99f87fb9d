//! Blob storage as a mount needs it: [`BlobStore`] is the trait, [`AzureStore`] the implementation over HTTPS.
//!
//! A store knows names, ranges, conditions and blocks; it knows no files and no formats. Every write is conditional where
//! the caller can state a condition, every commit carries a token by which a lost answer is told from a lost request, and
//! under a customer-provided key every answer must prove that the key was used.

mod azure;
mod blocks;
mod cpk;
mod error;
mod list;
#[cfg(feature = "testing")]
pub mod testing;
mod token;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::future::BoxFuture;

pub use azure::{AzureConfig, AzureStore};
pub use cpk::CustomerKey;
pub use error::StoreError;
pub use token::{CachedTokens, FixedToken, Token, TokenSource};

/// What an operation of a store returns.
pub type Outcome<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Version of a blob, without quotes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Etag(pub(crate) Arc<str>);

impl Etag {
    /// Takes a header's or a listing's form: quotes are dropped.
    pub fn new(text: &str) -> Self {
        Self(text.trim_matches('"').into())
    }

    /// The version's text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// When a write may happen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Condition {
    /// Always.
    Always,
    /// Only over this version.
    Match(Etag),
    /// Only where nothing is.
    Absent,
}

/// A committed blob.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlobInfo {
    /// Version.
    pub etag: Etag,
    /// Length in bytes.
    pub length: u64,
    /// When it was committed.
    pub modified: SystemTime,
    /// It stands for a directory.
    pub directory: bool,
}

/// What a blob's writer noted beside its content: lower-case names and printable ASCII values, 8 KiB together.
pub type Metadata = BTreeMap<String, String>;

/// One page of a listing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Page {
    /// Blobs in this page with their full names.
    pub blobs: Vec<(String, BlobInfo)>,
    /// Names up to and including the delimiter that stand for several blobs.
    pub prefixes: Vec<String>,
    /// Where the next page starts; a page may be empty and still have one.
    pub next: Option<String>,
}

/// Name of a block within a blob, unique among writers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct BlockId(pub [u8; 16]);

impl BlockId {
    /// Block number `sequence` of the writer that drew `writer` at random.
    pub fn new(writer: [u8; 8], sequence: u64) -> Self {
        let mut id = [0; 16];
        let bytes = writer.into_iter().chain(sequence.to_be_bytes());
        for (to, from) in id.iter_mut().zip(bytes) {
            *to = from;
        }
        Self(id)
    }
}

/// Operations on the blobs of one container, below one prefix.
pub trait BlobStore: Send + Sync + 'static {
    /// What a name stands for.
    fn head<'a>(&'a self, name: &'a str) -> Outcome<'a, BlobInfo>;

    /// As [`BlobStore::head`], with the metadata of the version.
    fn describe<'a>(&'a self, name: &'a str) -> Outcome<'a, (BlobInfo, Metadata)> {
        Box::pin(async move { Ok((self.head(name).await?, Metadata::new())) })
    }

    /// Exactly the bytes of a range of one version.
    fn get_range<'a>(
        &'a self,
        name: &'a str,
        range: Range<u64>,
        version: &'a Etag,
    ) -> Outcome<'a, Bytes>;

    /// Writes a whole blob.
    fn put_blob<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag>;

    /// As [`BlobStore::put_blob`], with metadata.
    fn put_blob_with<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        match metadata.is_empty() {
            true => self.put_blob(name, body, condition),
            false => no_metadata(),
        }
    }

    /// Writes an empty blob that stands for a directory.
    fn put_directory<'a>(&'a self, name: &'a str) -> Outcome<'a, Etag>;

    /// Stages a block.
    fn put_block<'a>(&'a self, name: &'a str, id: BlockId, body: Bytes) -> Outcome<'a, ()>;

    /// Makes a blob of staged and earlier blocks.
    fn put_block_list<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        condition: &'a Condition,
    ) -> Outcome<'a, Etag>;

    /// As [`BlobStore::put_block_list`], with metadata.
    fn put_block_list_with<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        match metadata.is_empty() {
            true => self.put_block_list(name, blocks, condition),
            false => no_metadata(),
        }
    }

    /// The blocks of the committed version with their lengths in bytes, in order; `None` if some are not named as a
    /// [`BlockId`], so that a later commit cannot name them. A blob that was written in one piece has none.
    fn committed_blocks<'a>(&'a self, name: &'a str) -> Outcome<'a, Option<Vec<(BlockId, u64)>>>;

    /// Gives a blob, or a directory with everything below it, another name in one step; `None` where the store cannot.
    fn rename<'a>(
        &'a self,
        _from: &'a str,
        _to: &'a str,
        _source: &'a Condition,
        _target: &'a Condition,
    ) -> Outcome<'a, Option<Etag>> {
        Box::pin(async { Ok(None) })
    }

    /// One page of the names that start with `prefix`; with `directories`, names are cut behind the next `/`.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        directories: bool,
        from: Option<&'a str>,
    ) -> Outcome<'a, Page>;

    /// Removes a blob.
    fn delete<'a>(&'a self, name: &'a str, condition: &'a Condition) -> Outcome<'a, ()>;
}

/// Of a store that has no place for metadata.
fn no_metadata<'a>() -> Outcome<'a, Etag> {
    let reason = "the store keeps no metadata, which the dataset's format needs".to_owned();
    Box::pin(async { Err(StoreError::Config(reason)) })
}
