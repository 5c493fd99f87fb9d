//! The manifest of a dataset, where the dataset lies.

use std::collections::BTreeMap;

use blob_format::manifest::{self, Entry, Manifest, ManifestHmac};
use blob_store::{BlobInfo, Condition, Etag, Metadata};

use super::{Dataset, Known};
use crate::CliError;

/// No honest manifest is longer; it is read into memory.
const LONGEST: u64 = 1 << 30;

/// The manifest and the version of its blob; `None` if nobody has written one.
pub(super) async fn read(of: &Dataset) -> Result<Option<(Manifest, BlobInfo)>, CliError> {
    let Some(info) = of.place.head(manifest::PATH).await? else {
        return Ok(None);
    };
    if info.length > LONGEST {
        return Err(CliError::Dataset {
            dataset: of.name.clone(),
            reason: format!("a manifest of {} bytes", info.length),
        });
    }
    let blob = of.place.get(manifest::PATH, 0..info.length, &info.etag);
    let blob = blob.await?;
    Ok(Some((Manifest::unseal(&of.dek, &blob)?, info)))
}

/// The manifest and its keyed root, which is a pinned one.
pub(super) async fn pinned(
    of: &Dataset,
    pinned: &Known,
) -> Result<Option<(Manifest, ManifestHmac)>, CliError> {
    let refused = |reason: String| {
        Err(CliError::Dataset {
            dataset: of.name.clone(),
            reason,
        })
    };
    let Some((manifest, _)) = read(of).await? else {
        return match pinned.is_any() {
            true => Ok(None),
            false => refused("a manifest is pinned, and there is none".to_owned()),
        };
    };
    let found = manifest.hmac(&of.dek)?;
    if !pinned.is_any() && !pinned.has(found) {
        return refused(format!(
            "the manifest in storage is {found}, pinned is {pinned}"
        ));
    }
    Ok(Some((manifest, found)))
}

/// The entries of a manifest by their paths.
pub(super) fn by_path(manifest: &Manifest) -> BTreeMap<&str, &Entry> {
    let entries = manifest.entries().iter();
    entries.map(|entry| (entry.path.as_str(), entry)).collect()
}

/// Writes the manifest over the version that was read, if any.
pub(super) async fn write(
    of: &Dataset,
    list: &Manifest,
    over: Option<&Etag>,
) -> Result<(), CliError> {
    let condition = match over {
        Some(etag) => Condition::Match(etag.clone()),
        None => Condition::Absent,
    };
    let blob = list.seal(&of.dek)?;
    let none = Metadata::new();
    of.place
        .put(manifest::PATH, blob, &none, &condition)
        .await?;
    Ok(())
}
