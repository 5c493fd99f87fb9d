//! The readers of what a service says, for fuzzing.

use crate::{BlockId, Page, StoreError};

/// Reads one page of Azure's List Blobs.
///
/// # Errors
/// [`StoreError::Answer`].
pub fn azure_list(xml: &[u8]) -> Result<Page, StoreError> {
    crate::list::parse(xml)
}

/// Reads Azure's Get Block List.
///
/// # Errors
/// [`StoreError::Answer`].
pub fn azure_blocks(xml: &[u8]) -> Result<Option<Vec<(BlockId, u64)>>, StoreError> {
    crate::blocks::parse_blocks(xml)
}

/// Reads one page of S3's `ListObjectsV2`.
///
/// # Errors
/// [`StoreError::Answer`].
pub fn s3_list(xml: &[u8]) -> Result<Page, StoreError> {
    crate::s3::parse_listing(xml)
}
