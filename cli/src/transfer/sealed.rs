//! Reading one blob: its sealed form, and the manifest that speaks for all.

use std::collections::BTreeMap;

use blob_format::manifest::{self, Entry, Manifest};
use blob_format::{Params, View};
use blob_store::{BlobInfo, BlobStore, StoreError};
use bytes::Bytes;

use crate::CliError;
use crate::datastore::Open;

/// No honest manifest is longer; it is read into memory.
const LONGEST_MANIFEST: u64 = 256 << 20;

/// Opens the end of a sealed blob, which vouches for all of it.
pub(super) async fn view(from: &Open, name: &str, info: &BlobInfo) -> Result<View, CliError> {
    let tail = async |length: u64| -> Result<Bytes, CliError> {
        let start = info.length.saturating_sub(length);
        let range = start..info.length;
        Ok(from.store.get_range(name, range, &info.etag).await?)
    };
    let mut bytes = tail(View::tail_len(Params::default(), info.length)?).await?;
    let needed = View::needed_tail(info.length, &bytes)?;
    if needed > bytes.len() as u64 {
        bytes = tail(needed).await?;
    }
    Ok(View::open(&from.dek, info.length, &bytes, Some(name))?)
}

/// What the room said it wrote, and which of it has not been seen yet.
pub(super) struct Expected {
    pub(super) entries: BTreeMap<String, Entry>,
    /// Keyed root, hexadecimal.
    pub(super) root: String,
}

/// The manifest of a dataset; `None` if no room has sealed it.
pub(super) async fn manifest(from: &Open) -> Result<Option<Expected>, CliError> {
    let info = match from.store.head(manifest::PATH).await {
        Ok(info) => info,
        Err(StoreError::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if info.length > LONGEST_MANIFEST {
        return Err(CliError::Dataset {
            dataset: from.name.clone(),
            reason: format!("a manifest of {} bytes", info.length),
        });
    }
    let view = view(from, manifest::PATH, &info).await?;
    let clear = match view.plan(0..view.len()) {
        None => Vec::new(),
        Some(plan) => {
            let range = plan.sealed.clone();
            let sealed = from
                .store
                .get_range(manifest::PATH, range, &info.etag)
                .await?;
            view.decrypt(&plan, sealed.to_vec())?
        }
    };
    let read = Manifest::decode(&clear)?;
    Ok(Some(Expected {
        root: hex::encode(read.keyed_root(&from.dek)?),
        entries: read
            .entries()
            .iter()
            .map(|entry| (entry.path.clone(), entry.clone()))
            .collect(),
    }))
}
