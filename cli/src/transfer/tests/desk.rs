#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use blob_format::Format;
use blob_format::manifest::ManifestHmac;
use blob_store::testing::MemoryStore;
use blob_store::{
    BlobInfo, BlobStore, BlockId, Condition, Etag, Metadata, Outcome, Page, StoreError,
};
use bytes::Bytes;
use cleanroom_crypto::Dek;
use futures::future::BoxFuture;

use crate::CliError;
use crate::transfer::{
    Dataset, Download, Engine, Expect, Folder, Journal, Known, Layout, Limits, Moved, Place, Upload,
};

/// What a request does: its kind, the blob, and how many bytes go or come.
pub(super) type Request = (&'static str, String, u64);
type Hook = Box<dyn Fn(&Request) -> Option<StoreError> + Send + Sync>;

type Pause = Box<dyn Fn(&Request) -> BoxFuture<'static, ()> + Send + Sync>;

/// A container that tells what is asked of it, and whose requests somebody may meet.
#[derive(Clone)]
pub(super) struct Meddled {
    inner: MemoryStore,
    log: Arc<Mutex<Vec<Request>>>,
    hook: Arc<Mutex<Option<Hook>>>,
    pause: Arc<Mutex<Option<Pause>>>,
    /// Names that a listing claims besides.
    claimed: Arc<Mutex<Vec<String>>>,
}

impl Meddled {
    fn meet(&self, kind: &'static str, name: &str, bytes: u64) -> Result<(), StoreError> {
        let request = (kind, name.to_owned(), bytes);
        let met = self
            .hook
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|hook| hook(&request));
        match met {
            Some(error) => Err(error),
            None => {
                self.log.lock().unwrap().push(request);
                Ok(())
            }
        }
    }
}

impl BlobStore for Meddled {
    fn head<'a>(&'a self, name: &'a str) -> Outcome<'a, BlobInfo> {
        self.inner.head(name)
    }

    fn get_range<'a>(
        &'a self,
        name: &'a str,
        range: Range<u64>,
        version: &'a Etag,
    ) -> Outcome<'a, Bytes> {
        Box::pin(async move {
            let request = ("get", name.to_owned(), range.start);
            let pause = self
                .pause
                .lock()
                .unwrap()
                .as_ref()
                .map(|pause| pause(&request));
            if let Some(pause) = pause {
                pause.await;
            }
            self.meet("get", name, range.start)?;
            self.inner.get_range(name, range, version).await
        })
    }

    fn put_blob<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move { self.inner.put_blob(name, body, condition).await })
    }

    fn describe<'a>(&'a self, name: &'a str) -> Outcome<'a, (BlobInfo, Metadata)> {
        self.inner.describe(name)
    }

    fn put_blob_with<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move {
            self.meet("put", name, body.len() as u64)?;
            self.inner
                .put_blob_with(name, body, metadata, condition)
                .await
        })
    }

    fn put_block_list_with<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        metadata: &'a Metadata,
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move {
            self.meet("list", name, 0)?;
            self.inner
                .put_block_list_with(name, blocks, metadata, condition)
                .await
        })
    }

    fn put_directory<'a>(&'a self, name: &'a str) -> Outcome<'a, Etag> {
        self.inner.put_directory(name)
    }

    fn put_block<'a>(&'a self, name: &'a str, id: BlockId, body: Bytes) -> Outcome<'a, ()> {
        Box::pin(async move {
            self.meet("block", name, body.len() as u64)?;
            self.inner.put_block(name, id, body).await
        })
    }

    fn put_block_list<'a>(
        &'a self,
        name: &'a str,
        blocks: &'a [BlockId],
        condition: &'a Condition,
    ) -> Outcome<'a, Etag> {
        Box::pin(async move { self.inner.put_block_list(name, blocks, condition).await })
    }

    fn committed_blocks<'a>(&'a self, name: &'a str) -> Outcome<'a, Option<Vec<(BlockId, u64)>>> {
        self.inner.committed_blocks(name)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        directories: bool,
        from: Option<&'a str>,
    ) -> Outcome<'a, Page> {
        Box::pin(async move {
            let mut page = self.inner.list(prefix, directories, from).await?;
            let claimed = self.claimed.lock().unwrap().clone();
            for name in claimed.into_iter().filter(|_| from.is_none()) {
                page.blobs.push((name, self.inner.head("a").await?));
            }
            Ok(page)
        })
    }

    fn delete<'a>(&'a self, name: &'a str, condition: &'a Condition) -> Outcome<'a, ()> {
        Box::pin(async move {
            self.meet("delete", name, 0)?;
            self.inner.delete(name, condition).await
        })
    }
}

/// An owner with a folder, a key and a container.
pub(super) struct Desk {
    home: tempfile::TempDir,
    pub(super) memory: MemoryStore,
    pub(super) store: Meddled,
    pub(super) dataset: Arc<Dataset>,
    pub(super) limits: Limits,
}

impl Desk {
    pub(super) fn new(format: &str) -> Self {
        let memory = MemoryStore::default();
        let store = Meddled {
            inner: memory.clone(),
            log: Arc::default(),
            hook: Arc::default(),
            pause: Arc::default(),
            claimed: Arc::default(),
        };
        let place = Place::Container(Arc::new(store.clone()));
        Self {
            home: tempfile::tempdir().unwrap(),
            memory,
            store,
            dataset: dataset(format, 7, place),
            limits: Limits::default(),
        }
    }

    /// Another owner of the same container: the same key, another machine.
    pub(super) fn beside(&self, format: &str) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            memory: self.memory.clone(),
            store: self.store.clone(),
            dataset: dataset(format, 7, self.dataset.place.clone()),
            limits: self.limits,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(super) fn write(&self, folder: &str, files: &[(&str, &[u8])]) {
        for (name, content) in files {
            let path = self.path(folder).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }

    pub(super) fn folder(&self, name: &str) -> Arc<Dataset> {
        self.folder_of(name, None)
    }

    /// A folder of sealed files, and the journal of the command that writes it.
    pub(super) fn folder_of(&self, name: &str, journal: Option<Arc<Journal>>) -> Arc<Dataset> {
        std::fs::create_dir_all(self.path(name)).unwrap();
        let path = self.path(name);
        let place = Place::Folder(Folder { path, journal });
        let Layout::Sealed { format, .. } = &self.dataset.layout else {
            panic!("no layout for a folder");
        };
        sealed(*format, 7, place)
    }

    pub(super) fn journal(&self, name: &str) -> Journal {
        Journal::open(&self.path("state"), name).unwrap()
    }

    pub(super) async fn upload(&self, folder: &str) -> Result<Moved, CliError> {
        self.upload_as(folder, None, false).await
    }

    pub(super) async fn upload_as(
        &self,
        folder: &str,
        known: Option<ManifestHmac>,
        mirror: bool,
    ) -> Result<Moved, CliError> {
        let known = known.map(Known::only).unwrap_or_default();
        self.upload_with(folder, &known, &|_| Ok(()), mirror).await
    }

    pub(super) async fn upload_with(
        &self,
        folder: &str,
        known: &Known,
        expect: &Expect<'_>,
        mirror: bool,
    ) -> Result<Moved, CliError> {
        let upload = Upload {
            to: &self.dataset,
            engine: &Engine::new(&self.limits),
            journal: &Arc::new(self.journal("upload")),
            known,
            expect,
            mirror,
        };
        upload.run(&self.path(folder)).await
    }

    pub(super) async fn upload_to(
        &self,
        to: &Arc<Dataset>,
        folder: &str,
    ) -> Result<Moved, CliError> {
        let journal = match &to.place {
            Place::Folder(Folder {
                journal: Some(journal),
                ..
            }) => Arc::clone(journal),
            _ => Arc::new(self.journal("encrypt")),
        };
        let upload = Upload {
            to,
            engine: &Engine::new(&self.limits),
            journal: &journal,
            known: &Known::default(),
            expect: &|_| Ok(()),
            mirror: false,
        };
        upload.run(&self.path(folder)).await
    }

    pub(super) async fn download(&self, folder: &str) -> Result<Moved, CliError> {
        self.download_from(&self.dataset, folder).await
    }

    pub(super) async fn download_from(
        &self,
        from: &Arc<Dataset>,
        folder: &str,
    ) -> Result<Moved, CliError> {
        let download = Download {
            from,
            engine: &Engine::new(&self.limits),
            journal: &Arc::new(self.journal(&format!("download-{folder}"))),
            pinned: &Known::default(),
        };
        download.run(&self.path(folder)).await
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.memory.names()
    }

    /// Lets somebody meet every request from now on.
    pub(super) fn meddle(
        &self,
        hook: impl Fn(&Request) -> Option<StoreError> + Send + Sync + 'static,
    ) {
        *self.store.hook.lock().unwrap() = Some(Box::new(hook));
    }

    /// Lets reads wait before they are served.
    pub(super) fn pause(
        &self,
        pause: impl Fn(&Request) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) {
        *self.store.pause.lock().unwrap() = Some(Box::new(pause));
    }

    pub(super) fn calm(&self) {
        *self.store.pause.lock().unwrap() = None;
        *self.store.hook.lock().unwrap() = None;
    }

    pub(super) fn claim(&self, names: &[&str]) {
        *self.store.claimed.lock().unwrap() = names.iter().map(|n| (*n).to_owned()).collect();
    }

    /// The requests that were served since the last call.
    pub(super) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.store.log.lock().unwrap())
    }

    /// The blobs that were written since the last call of [`Desk::requests`].
    pub(super) fn written(&self) -> Vec<String> {
        let written = self.requests().into_iter();
        let mut names: Vec<String> = written
            .filter(|(kind, ..)| *kind != "get")
            .map(|(_, name, _)| name)
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

pub(super) fn dataset(format: &str, key: u8, place: Place) -> Arc<Dataset> {
    if format == "plain" {
        return Arc::new(Dataset {
            name: format.to_owned(),
            layout: Layout::Plain,
            dek: Arc::new(Dek::from_slice(&[key; 32]).unwrap()),
            place,
        });
    }
    sealed(Format::from_contract(format).unwrap(), key, place)
}

fn sealed(format: Format, key: u8, place: Place) -> Arc<Dataset> {
    let dek = Arc::new(Dek::from_slice(&[key; 32]).unwrap());
    Arc::new(Dataset {
        name: "data".to_owned(),
        layout: Layout::sealed(format, &dek, "wrapped-dek").unwrap(),
        dek,
        place,
    })
}

/// Paths of the files that a transfer failed for, with their codes.
pub(super) fn failed(error: &CliError) -> Vec<(&str, &str)> {
    let files = error.files().iter();
    files
        .map(|one| (one.path.as_str(), one.code.as_str()))
        .collect()
}

/// Every file below a folder, by relative name.
pub(super) fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    crate::tests::tree(folder)
}
