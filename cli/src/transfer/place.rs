//! Where sealed files lie: a container, or a folder that is about to be copied into one.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use blob_store::{BlobInfo, BlobStore, Condition, Etag, Metadata, StoreError};
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::partial::Partial;
use super::target::Target;
use super::tree::{ClearFile, Tree};
use super::{Journal, MOST_FILES, is_own};
use crate::CliError;

/// Sealed files.
#[derive(Clone)]
pub(crate) enum Place {
    Container(Arc<dyn BlobStore>),
    Folder(Folder),
}

/// A folder of sealed files.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// Of the command that writes it, if one does.
    pub(crate) journal: Option<Arc<Journal>>,
}

/// What a place holds, by name; what belongs to the dataset itself and stands for directories left out.
pub(super) type Listing = BTreeMap<String, BlobInfo>;

impl Place {
    /// Everything that is there. Names are as storage gives them: hostile.
    pub(super) async fn list(&self) -> Result<Listing, CliError> {
        let store = match self {
            Self::Container(store) => store,
            Self::Folder(folder) => {
                let folder = folder.clone();
                return blocking(move || folder.list()).await;
            }
        };
        let mut found = Listing::new();
        let mut next: Option<String> = None;
        loop {
            let page = store.list("", false, next.as_deref()).await?;
            for (name, info) in page.blobs {
                if !info.directory && !name.ends_with('/') && !is_own(&name) {
                    found.insert(name, info);
                }
            }
            if found.len() > MOST_FILES {
                return Err(StoreError::Config("more than 10 000 000 blobs".to_owned()).into());
            }
            // A marker that leads nowhere would never end.
            if page.next.is_none() {
                return Ok(found);
            }
            if page.next == next {
                return Err(StoreError::Config("the listing does not go on".to_owned()).into());
            }
            next = page.next;
        }
    }

    /// Removes what the commands before this one left of files that were not whole.
    pub(super) async fn tidy(&self) -> Result<(), CliError> {
        match self {
            Self::Container(_) => Ok(()),
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.target()?.tidy(|_| false)).await
            }
        }
    }

    /// What is at a name.
    pub(super) async fn head(&self, name: &str) -> Result<Option<BlobInfo>, CliError> {
        match self {
            Self::Container(store) => match store.head(name).await {
                Ok(info) => Ok(Some(info)),
                Err(StoreError::NotFound) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                blocking(move || folder.head(&name)).await
            }
        }
    }

    /// What is noted beside the content of one version.
    pub(super) async fn metadata(&self, name: &str, version: &Etag) -> Result<Metadata, CliError> {
        match self {
            Self::Container(store) => {
                let (info, metadata) = store.describe(name).await?;
                if info.etag != *version {
                    return Err(StoreError::Changed.into());
                }
                Ok(metadata)
            }
            Self::Folder(_) => Ok(Metadata::new()),
        }
    }

    /// Exactly the bytes of a range of one version.
    pub(super) async fn get(
        &self,
        name: &str,
        range: Range<u64>,
        version: &Etag,
    ) -> Result<Bytes, CliError> {
        match self {
            Self::Container(store) => Ok(store.get_range(name, range, version).await?),
            Self::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                let version = version.clone();
                blocking(move || folder.get(&name, range, &version)).await
            }
        }
    }

    /// Writes a small file whole.
    pub(super) async fn put(
        &self,
        name: &str,
        body: Vec<u8>,
        metadata: &Metadata,
        condition: &Condition,
    ) -> Result<Etag, CliError> {
        match self {
            Self::Container(store) => {
                let put = store.put_blob_with(name, body.into(), metadata, condition);
                Ok(put.await?)
            }
            Self::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                blocking(move || {
                    let partial = folder.create(&name)?;
                    partial.write(0, &body)?;
                    folder.place(partial, &name)
                })
                .await
            }
        }
    }

    /// Removes a file of one version.
    pub(super) async fn delete(&self, name: &str, version: &Etag) -> Result<(), CliError> {
        match self {
            Self::Container(store) => {
                match store.delete(name, &Condition::Match(version.clone())).await {
                    Ok(()) | Err(StoreError::NotFound) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                blocking(move || folder.target()?.remove(&name)).await
            }
        }
    }
}

impl Folder {
    fn list(&self) -> Result<Listing, CliError> {
        let tree = Tree::open(&self.path)?;
        let mut found = Listing::new();
        for file in tree.sealed_files()? {
            let info = info(&tree.clear(&file.name)?);
            found.insert(file.name, info);
        }
        Ok(found)
    }

    fn head(&self, name: &str) -> Result<Option<BlobInfo>, CliError> {
        match Tree::open(&self.path).and_then(|tree| tree.clear(name)) {
            Ok(file) => Ok(Some(info(&file))),
            Err(CliError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn get(&self, name: &str, range: Range<u64>, version: &Etag) -> Result<Bytes, CliError> {
        let file = Tree::open(&self.path)?.clear(name)?;
        if info(&file).etag != *version {
            return Err(CliError::Changing {
                path: self.path.join(name),
            });
        }
        let length = usize::try_from(range.end.saturating_sub(range.start));
        let mut bytes = vec![0; length.unwrap_or_default()];
        file.read(range.start, &mut bytes)?;
        Ok(bytes.into())
    }

    fn target(&self) -> Result<Target, CliError> {
        Target::open(&self.path, self.journal.as_ref())
    }

    /// Starts a file that is not there before it is whole.
    pub(super) fn create(&self, name: &str) -> Result<Partial, CliError> {
        Partial::create(&self.target()?, name)
    }

    /// Gives a whole file its name.
    pub(super) fn place(&self, partial: Partial, name: &str) -> Result<Etag, CliError> {
        partial.place()?;
        Ok(info(&Tree::open(&self.path)?.clear(name)?).etag)
    }
}

fn info(file: &ClearFile) -> BlobInfo {
    BlobInfo {
        etag: Etag::new(&file.version()),
        length: file.len(),
        modified: SystemTime::UNIX_EPOCH,
        directory: false,
    }
}

/// Runs what waits for a disk or a processor off the threads that wait for the network.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CliError> + Send + 'static,
) -> Result<T, CliError> {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(CliError::io(
            "a worker thread",
            std::io::Error::other(error),
        )),
    }
}
