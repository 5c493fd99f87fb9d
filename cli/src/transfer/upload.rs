use std::path::{Path, PathBuf};

use blob_format::{Attributes, Params, Writer, manifest};
use blob_store::{BlobStore, BlockId, Condition, Outcome, StoreError};
use bytes::Bytes;
use cleanroom_crypto::random;
use cleanroom_spec::EncryptionMode;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;

use super::{CHUNK, FILES, Moved, OWN_PREFIX, PARTS};
use crate::CliError;
use crate::datastore::Open;

/// Uploads every file below a folder, replacing what is there. A manifest of an earlier run of a room does not speak for
/// these files and is removed first.
pub(crate) async fn upload(to: &Open, folder: &Path) -> Result<Moved, CliError> {
    let files = files(folder)?;
    match to.store.delete(manifest::PATH, &Condition::Always).await {
        Ok(()) | Err(StoreError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    futures::stream::iter(files.into_iter().map(|(name, path)| async move {
        match to.mode {
            EncryptionMode::Cse => sealed(to, &name, &path).await,
            EncryptionMode::Cpk | EncryptionMode::Sse => plain(to, &name, &path).await,
        }
    }))
    .buffer_unordered(FILES)
    .try_fold(Moved::default(), async |mut moved, bytes| {
        moved.files += 1;
        moved.bytes += bytes;
        Ok(moved)
    })
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
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            if !kind.is_file() {
                return Err(CliError::file(&path, "is neither a file nor a folder"));
            }
            let name = path
                .strip_prefix(folder)
                .ok()
                .and_then(Path::to_str)
                .ok_or_else(|| CliError::file(&path, "the name is not UTF-8"))?
                .to_owned();
            if name.starts_with(OWN_PREFIX) {
                return Err(CliError::file(
                    &path,
                    "the folder .cleanroom belongs to the dataset itself",
                ));
            }
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

async fn plain(to: &Open, name: &str, path: &Path) -> Result<u64, CliError> {
    let mut file = Source::open(path).await?;
    let mut blocks = Blocks::new(to, name)?;
    while let Some(chunk) = file.chunk().await? {
        blocks.push(chunk).await?;
    }
    blocks.commit().await?;
    Ok(file.read)
}

async fn sealed(to: &Open, name: &str, path: &Path) -> Result<u64, CliError> {
    let mut file = Source::open(path).await?;
    let mut writer = Writer::create(&to.dek, Params::default(), Some(name))?;
    let mut blocks = Blocks::new(to, name)?;
    let mut offset = 0;
    while let Some(chunk) = file.chunk().await? {
        for part in writer.write(offset, &chunk)? {
            blocks.push(part).await?;
        }
        offset = file.read;
    }
    blocks
        .push(writer.commit(Attributes::default())?.tail)
        .await?;
    blocks.commit().await?;
    Ok(file.read)
}

/// A file read in chunks.
struct Source<'a> {
    file: tokio::fs::File,
    path: &'a Path,
    read: u64,
}

impl<'a> Source<'a> {
    async fn open(path: &'a Path) -> Result<Self, CliError> {
        let file = tokio::fs::File::open(path)
            .await
            .map_err(|error| CliError::io(path.display().to_string(), error))?;
        Ok(Self {
            file,
            path,
            read: 0,
        })
    }

    /// The next whole chunk, a shorter one at the end of the file, then nothing.
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, CliError> {
        let mut chunk = Vec::new();
        let read = (&mut self.file).take(CHUNK).read_to_end(&mut chunk).await;
        let read = read.map_err(|error| CliError::io(self.path.display().to_string(), error))?;
        self.read += read as u64;
        Ok((read > 0).then_some(chunk))
    }
}

/// The blocks of one blob on their way.
struct Blocks<'a> {
    to: &'a Open,
    name: &'a str,
    writer: [u8; 8],
    ids: Vec<BlockId>,
    staging: FuturesUnordered<Outcome<'a, ()>>,
}

impl<'a> Blocks<'a> {
    fn new(to: &'a Open, name: &'a str) -> Result<Self, CliError> {
        Ok(Self {
            to,
            name,
            writer: random::bytes()?,
            ids: Vec::new(),
            staging: FuturesUnordered::new(),
        })
    }

    async fn push(&mut self, block: Vec<u8>) -> Result<(), CliError> {
        if self.staging.len() >= PARTS {
            self.staging.next().await.transpose()?;
        }
        let id = BlockId::new(self.writer, self.ids.len() as u64);
        let staged = self.to.store.put_block(self.name, id, Bytes::from(block));
        self.staging.push(staged);
        self.ids.push(id);
        Ok(())
    }

    async fn commit(mut self) -> Result<(), CliError> {
        while self.staging.next().await.transpose()?.is_some() {}
        self.to
            .store
            .put_block_list(self.name, &self.ids, &Condition::Always)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_sorted_and_what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for name in ["z", "b/c/d", "b/a"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let names = |folder: &Path| {
            files(folder).map(|files| files.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        assert_eq!(names(folder.path()).unwrap(), ["b/a", "b/c/d", "z"]);
        let link = folder.path().join("b/link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(matches!(names(folder.path()), Err(CliError::File { path, .. }) if path == link));
        std::fs::remove_file(link).unwrap();
        std::fs::create_dir(folder.path().join(".cleanroom")).unwrap();
        std::fs::write(folder.path().join(".cleanroom/manifest"), "x").unwrap();
        assert!(matches!(names(folder.path()), Err(CliError::File { .. })));
    }
}
