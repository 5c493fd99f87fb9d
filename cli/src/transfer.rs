//! Files to blobs and back, in constant memory, a few at a time.

use std::path::{Component, Path, PathBuf};

use blob_format::{Attributes, Params, View, Writer};
use blob_store::{BlobInfo, BlobStore, BlockId, Condition};
use bytes::Bytes;
use cleanroom_crypto::random;
use cleanroom_spec::EncryptionMode;
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::CliError;
use crate::datastore::Open;

/// Files under way at once.
const PARALLEL: usize = 4;
/// Bytes per block and per read.
const CHUNK: usize = 4 << 20;
/// Names that a dataset keeps for itself.
const OWN_PREFIX: &str = ".cleanroom/";

/// Uploads every file below a folder, replacing what is there.
pub(crate) async fn upload(to: &Open, folder: &Path) -> Result<(), CliError> {
    let files = files(folder)?;
    futures::stream::iter(files.into_iter().map(|(name, path)| async move {
        match to.mode {
            EncryptionMode::Cse => upload_sealed(to, &name, &path).await,
            EncryptionMode::Cpk | EncryptionMode::Sse => upload_plain(to, &name, &path).await,
        }
    }))
    .buffer_unordered(PARALLEL)
    .try_collect()
    .await
}

/// The files below a folder with their blob names, sorted.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, CliError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let unreadable = |error| CliError::io(current.display().to_string(), error);
        for entry in std::fs::read_dir(&current).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let name = path
                    .strip_prefix(folder)
                    .ok()
                    .and_then(Path::to_str)
                    .ok_or_else(|| CliError::file(&path, "the name is not UTF-8"))?;
                found.push((name.to_owned(), path.clone()));
            } else {
                return Err(CliError::file(
                    &entry.path(),
                    "is neither a file nor a folder",
                ));
            }
        }
    }
    found.sort();
    Ok(found)
}

async fn upload_plain(to: &Open, name: &str, path: &Path) -> Result<(), CliError> {
    let mut file = open(path).await?;
    let mut blocks = Blocks::new(to, name)?;
    loop {
        let chunk = read_chunk(&mut file, path).await?;
        let last = chunk.len() < CHUNK;
        if !chunk.is_empty() {
            blocks.push(chunk).await?;
        }
        if last {
            return blocks.commit().await;
        }
    }
}

async fn upload_sealed(to: &Open, name: &str, path: &Path) -> Result<(), CliError> {
    let mut file = open(path).await?;
    let mut writer = Writer::create(&to.dek, Params::default(), Some(name))?;
    let mut blocks = Blocks::new(to, name)?;
    let mut offset = 0;
    loop {
        let chunk = read_chunk(&mut file, path).await?;
        for sealed in writer.write(offset, &chunk)? {
            blocks.push(sealed).await?;
        }
        offset += chunk.len() as u64;
        if chunk.len() < CHUNK {
            break;
        }
    }
    blocks
        .push(writer.commit(Attributes::default())?.tail)
        .await?;
    blocks.commit().await
}

async fn open(path: &Path) -> Result<tokio::fs::File, CliError> {
    let opened = tokio::fs::File::open(path).await;
    opened.map_err(|error| CliError::io(path.display().to_string(), error))
}

async fn read_chunk(file: &mut tokio::fs::File, path: &Path) -> Result<Vec<u8>, CliError> {
    let mut chunk = Vec::with_capacity(CHUNK);
    let read = file.take(CHUNK as u64).read_to_end(&mut chunk).await;
    read.map_err(|error| CliError::io(path.display().to_string(), error))?;
    Ok(chunk)
}

/// The blocks of one blob on their way.
struct Blocks<'a> {
    to: &'a Open,
    name: &'a str,
    writer: [u8; 8],
    ids: Vec<BlockId>,
}

impl<'a> Blocks<'a> {
    fn new(to: &'a Open, name: &'a str) -> Result<Self, CliError> {
        Ok(Self {
            to,
            name,
            writer: random::bytes()?,
            ids: Vec::new(),
        })
    }

    async fn push(&mut self, block: Vec<u8>) -> Result<(), CliError> {
        let id = BlockId::new(self.writer, self.ids.len() as u64);
        self.to
            .store
            .put_block(self.name, id, Bytes::from(block))
            .await?;
        self.ids.push(id);
        Ok(())
    }

    async fn commit(self) -> Result<(), CliError> {
        self.to
            .store
            .put_block_list(self.name, &self.ids, &Condition::Always)
            .await?;
        Ok(())
    }
}

/// Downloads every file of a dataset into a folder. Nothing unauthenticated is left there: a file appears under its name
/// when all of it is verified.
pub(crate) async fn download(from: &Open, folder: &Path) -> Result<(), CliError> {
    tokio::fs::create_dir_all(folder)
        .await
        .map_err(|error| CliError::io(folder.display().to_string(), error))?;
    let mut next = None;
    loop {
        let page = from.store.list("", false, next.as_deref()).await?;
        futures::stream::iter(page.blobs.into_iter().map(|(name, info)| async move {
            if info.directory || name.starts_with(OWN_PREFIX) {
                return Ok(());
            }
            let target = target(from, folder, &name)?;
            download_file(from, &name, &info, &target).await
        }))
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await?;
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// Where a blob goes; its name comes from the storage service.
fn target(from: &Open, folder: &Path, name: &str) -> Result<PathBuf, CliError> {
    let relative = Path::new(name);
    let inside = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !inside || name.is_empty() || name.contains('\0') || name.ends_with('/') {
        return Err(CliError::Dataset {
            dataset: from.name.clone(),
            reason: format!("the blob name {name:?} is no file name"),
        });
    }
    Ok(folder.join(relative))
}

async fn download_file(
    from: &Open,
    name: &str,
    info: &BlobInfo,
    target: &Path,
) -> Result<(), CliError> {
    let failed = |error| CliError::io(target.display().to_string(), error);
    if let Some(parent) = target.parent() {
        tokio::fs::create_dir_all(parent).await.map_err(failed)?;
    }
    let mut partial = target.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = tokio::fs::File::create(&partial).await.map_err(failed)?;
    let copied = match from.mode {
        EncryptionMode::Cse => copy_sealed(from, name, info, &mut file, target).await,
        EncryptionMode::Cpk | EncryptionMode::Sse => {
            copy_plain(from, name, info, &mut file, target).await
        }
    };
    if let Err(error) = copied {
        drop(file);
        let _ = tokio::fs::remove_file(&partial).await;
        return Err(error);
    }
    file.flush().await.map_err(failed)?;
    tokio::fs::rename(&partial, target).await.map_err(failed)
}

async fn copy_plain(
    from: &Open,
    name: &str,
    info: &BlobInfo,
    file: &mut tokio::fs::File,
    target: &Path,
) -> Result<(), CliError> {
    let mut offset = 0;
    while offset < info.length {
        let end = info.length.min(offset + CHUNK as u64);
        let chunk = from.store.get_range(name, offset..end, &info.etag).await?;
        write(file, &chunk, target).await?;
        offset = end;
    }
    Ok(())
}

async fn copy_sealed(
    from: &Open,
    name: &str,
    info: &BlobInfo,
    file: &mut tokio::fs::File,
    target: &Path,
) -> Result<(), CliError> {
    let tail_of = async |length: u64| -> Result<Bytes, CliError> {
        let start = info.length.saturating_sub(length);
        Ok(from
            .store
            .get_range(name, start..info.length, &info.etag)
            .await?)
    };
    let mut tail = tail_of(View::tail_len(Params::default(), info.length)?).await?;
    let needed = View::needed_tail(info.length, &tail)?;
    if needed > tail.len() as u64 {
        tail = tail_of(needed).await?;
    }
    let view = View::open(&from.dek, info.length, &tail, Some(name))?;
    let mut offset = 0;
    while let Some(plan) = view.plan(offset..offset + CHUNK as u64) {
        let sealed = from
            .store
            .get_range(name, plan.sealed.clone(), &info.etag)
            .await?;
        write(file, &view.decrypt(&plan, sealed.to_vec())?, target).await?;
        offset = plan.clear.end;
    }
    Ok(())
}

async fn write(file: &mut tokio::fs::File, chunk: &[u8], target: &Path) -> Result<(), CliError> {
    let written = file.write_all(chunk).await;
    written.map_err(|error| CliError::io(target.display().to_string(), error))
}
