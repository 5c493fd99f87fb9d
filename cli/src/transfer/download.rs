use std::path::{Path, PathBuf};

use blob_format::Plan;
use blob_format::manifest::Entry;
use blob_store::{BlobInfo, BlobStore};
use cleanroom_crypto::digest::Sha256;
use cleanroom_crypto::random;
use cleanroom_spec::EncryptionMode;
use futures::{StreamExt, TryStreamExt};
use tokio::io::AsyncWriteExt;

use super::sealed::{self, Expected};
use super::{CHUNK, FILES, Moved, OWN_PREFIX, PARTS};
use crate::CliError;
use crate::datastore::Open;

/// Downloads every file of a dataset into a folder. Nothing unauthenticated is left there: a file appears under its name
/// when all of it is verified, and compared with the manifest if there is one.
pub(crate) async fn download(from: &Open, folder: &Path) -> Result<Moved, CliError> {
    let failed = |error| CliError::io(folder.display().to_string(), error);
    tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    let mut expected = sealed::manifest(from).await?;
    let mut moved = Moved::default();
    let mut next = None;
    loop {
        let page = from.store.list("", false, next.as_deref()).await?;
        let mut wanted = Vec::new();
        for (name, info) in page.blobs {
            if info.directory || name.ends_with('/') || name.starts_with(OWN_PREFIX) {
                continue;
            }
            let entry = announced(from, expected.as_mut(), &name)?;
            let target = target(from, folder, &name)?;
            wanted.push((name, info, entry, target));
        }
        let sizes: Vec<u64> =
            futures::stream::iter(wanted.into_iter().map(|(name, info, entry, target)| {
                let file = File {
                    from,
                    name,
                    info,
                    entry,
                };
                async move { file.fetch(&target).await }
            }))
            .buffer_unordered(FILES)
            .try_collect()
            .await?;
        moved.files += sizes.len() as u64;
        moved.bytes += sizes.iter().sum::<u64>();
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    if let Some(expected) = expected {
        if let Some(name) = expected.entries.keys().next() {
            let reason = format!(
                "{} files of the manifest are missing, {name:?} first",
                expected.entries.len()
            );
            return Err(refused(from, reason));
        }
        moved.root = Some(expected.root);
    }
    Ok(moved)
}

fn refused(from: &Open, reason: String) -> CliError {
    CliError::Dataset {
        dataset: from.name.clone(),
        reason,
    }
}

/// The manifest's entry of a file, taken out of it; a file that the manifest does not know is refused.
fn announced(
    from: &Open,
    expected: Option<&mut Expected>,
    name: &str,
) -> Result<Option<Entry>, CliError> {
    let Some(expected) = expected else {
        return Ok(None);
    };
    match expected.entries.remove(name) {
        Some(entry) => Ok(Some(entry)),
        None => Err(refused(
            from,
            format!("{name:?} is not in the manifest, or is listed twice"),
        )),
    }
}

/// Where a blob goes; its name comes from the storage service.
fn target(from: &Open, folder: &Path, name: &str) -> Result<PathBuf, CliError> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if !name.split('/').all(plain) {
        let reason = format!("the blob name {name:?} is no file name");
        return Err(refused(from, reason));
    }
    Ok(folder.join(name))
}

/// One file on its way.
struct File<'a> {
    from: &'a Open,
    name: String,
    info: BlobInfo,
    entry: Option<Entry>,
}

impl File<'_> {
    async fn fetch(&self, target: &Path) -> Result<u64, CliError> {
        let failed = |error| CliError::io(target.display().to_string(), error);
        let parent = target.parent().unwrap_or(target);
        tokio::fs::create_dir_all(parent).await.map_err(failed)?;
        let (partial, mut file) = Partial::create(parent)?;
        let bytes = match self.from.mode {
            EncryptionMode::Cse => self.copy_sealed(&mut file, target).await?,
            EncryptionMode::Cpk | EncryptionMode::Sse => self.copy_plain(&mut file, target).await?,
        };
        file.flush().await.map_err(failed)?;
        partial.place(target).map_err(failed)?;
        Ok(bytes)
    }

    async fn copy_plain(&self, file: &mut tokio::fs::File, target: &Path) -> Result<u64, CliError> {
        let length = self.info.length;
        let starts = std::iter::successors(Some(0), |start| Some(start + CHUNK));
        let ranges = starts
            .take_while(|start| *start < length)
            .map(|start| start..length.min(start + CHUNK));
        let mut parts = futures::stream::iter(ranges)
            .map(|range| {
                self.from
                    .store
                    .get_range(&self.name, range, &self.info.etag)
            })
            .buffered(PARTS);
        let mut digest = Sha256::new();
        while let Some(part) = parts.try_next().await? {
            digest.update(&part);
            write(file, &part, target).await?;
        }
        drop(parts);
        let digest = digest.finish();
        if let Some(entry) = &self.entry
            && (entry.length != length || entry.authenticator != digest)
        {
            return Err(self.other_version());
        }
        Ok(length)
    }

    async fn copy_sealed(
        &self,
        file: &mut tokio::fs::File,
        target: &Path,
    ) -> Result<u64, CliError> {
        let view = sealed::view(self.from, &self.name, &self.info).await?;
        let footer = view.footer();
        if let Some(entry) = &self.entry
            && (entry.length != view.len()
                || entry.file_id != footer.header.file_id
                || entry.generation != footer.generation
                || entry.authenticator != footer.mac)
        {
            return Err(self.other_version());
        }
        let plan = |start: u64| view.plan(start..start + CHUNK);
        let plans = std::iter::successors(plan(0), |before: &Plan| plan(before.clear.end));
        let mut parts = futures::stream::iter(plans)
            .map(async |plan| {
                let range = plan.sealed.clone();
                let sealed = self
                    .from
                    .store
                    .get_range(&self.name, range, &self.info.etag)
                    .await?;
                Ok::<_, CliError>((plan, sealed))
            })
            .buffered(PARTS);
        while let Some((plan, sealed)) = parts.try_next().await? {
            write(file, &view.decrypt(&plan, sealed.to_vec())?, target).await?;
        }
        Ok(view.len())
    }

    fn other_version(&self) -> CliError {
        let reason = format!("{:?} is another version than the manifest names", self.name);
        refused(self.from, reason)
    }
}

/// A file that is not whole yet. It goes when its transfer fails, also when that is cancelled because another one failed.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn create(folder: &Path) -> Result<(Self, tokio::fs::File), CliError> {
        let own = hex::encode(random::bytes::<8>()?);
        // The name is random, so that no name in storage meets it.
        let path = folder.join(format!(".cleanroom-{own}.partial"));
        let opened = std::fs::File::create_new(&path);
        let file = opened.map_err(|error| CliError::io(path.display().to_string(), error))?;
        Ok((Self { path }, tokio::fs::File::from_std(file)))
    }

    fn place(self, target: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.path, target)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After `place` there is nothing under this name.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn write(file: &mut tokio::fs::File, chunk: &[u8], target: &Path) -> Result<(), CliError> {
    let written = file.write_all(chunk).await;
    written.map_err(|error| CliError::io(target.display().to_string(), error))
}
