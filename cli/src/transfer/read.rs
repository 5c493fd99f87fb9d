use std::sync::Arc;

use blob_format::manifest::Entry;
use blob_format::{Admission, FormatError, Plan};
use blob_store::{BlobInfo, Metadata};
use bytes::Bytes;
use cleanroom_crypto::digest::Sha256;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::engine::{Engine, Part};
use super::layout::File;
use super::place::blocking;
use super::{Dataset, PART};
use crate::CliError;

/// One version of one sealed file, opened.
pub(super) struct Stored {
    from: Arc<Dataset>,
    name: String,
    info: BlobInfo,
    file: Arc<File>,
    tail: Bytes,
    /// What the content must be, if a manifest says so.
    entry: Option<Entry>,
}

/// Clear bytes with what held them.
pub(super) struct Chunk {
    pub(super) plan: Plan,
    pub(super) clear: Vec<u8>,
    stored: Bytes,
    _part: Part,
}

impl Stored {
    /// Opens the end of a sealed file, and compares with the manifest's entry as far as the end tells.
    pub(super) async fn open(
        from: &Arc<Dataset>,
        name: &str,
        info: &BlobInfo,
        entry: Option<Entry>,
    ) -> Result<Self, CliError> {
        let tail = async |length: u64| -> Result<Bytes, CliError> {
            if length == 0 {
                return Ok(Bytes::new());
            }
            let start = info.length.saturating_sub(length);
            from.place.get(name, start..info.length, &info.etag).await
        };
        let mut bytes = tail(from.layout.tail_len(info.length, None)?).await?;
        let needed = from.layout.tail_len(info.length, Some(&bytes))?;
        if needed > bytes.len() as u64 {
            bytes = tail(needed).await?;
        }
        let metadata = match from.layout.has_metadata() {
            true => from.place.metadata(name, &info.etag).await?,
            false => Metadata::new(),
        };
        let file = from.layout.open(name, info.length, &bytes, &metadata)?;
        let mut by_digest = None;
        if let Some(entry) = entry {
            match file.admit(&entry)? {
                Admission::Listed => {}
                Admission::ByDigest => by_digest = Some(entry),
            }
        }
        Ok(Self {
            from: Arc::clone(from),
            name: name.to_owned(),
            info: info.clone(),
            file: Arc::new(file),
            tail: bytes,
            entry: by_digest,
        })
    }

    /// Clear length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.file.len()
    }

    /// Whether reading can begin in the middle: where a digest covers stored bytes that differ from the clear ones, it
    /// cannot.
    pub(super) fn can_resume(&self) -> bool {
        self.entry.is_none() || self.file.is_plain()
    }

    /// Whether only the digest of all content can tell that it is the listed version.
    pub(super) fn is_by_digest(&self) -> bool {
        self.entry.is_some()
    }

    /// Reads from a clear offset on, several parts at once, in order.
    pub(super) fn chunks(&self, engine: &Engine, start: u64) -> Chunks {
        let (sender, receiver) = mpsc::channel(engine.parallel());
        let fetching = Fetching {
            engine: engine.clone(),
            from: Arc::clone(&self.from),
            file: Arc::clone(&self.file),
            name: self.name.clone(),
            info: self.info.clone(),
        };
        Chunks {
            receiver,
            _feeder: AbortOnDropHandle::new(tokio::spawn(fetching.all(start, sender))),
        }
    }

    /// Checks the digest of everything, where nothing else tells the version.
    pub(super) fn verdict(&self) -> Verdict<'_> {
        Verdict {
            of: self,
            digest: Sha256::new(),
            seen: 0,
        }
    }
}

struct Fetching {
    engine: Engine,
    from: Arc<Dataset>,
    file: Arc<File>,
    name: String,
    info: BlobInfo,
}

type Fetched = Result<Chunk, CliError>;

impl Fetching {
    async fn all(self, start: u64, to: mpsc::Sender<Result<AbortOnDropHandle<Fetched>, CliError>>) {
        let this = Arc::new(self);
        let mut at = start;
        while let Some(plan) = this.file.plan(at, PART) {
            at = plan.clear.end;
            let stored = plan.sealed.end - plan.sealed.start;
            let part = this.engine.part(stored + plan.clear.end - plan.clear.start);
            let next = match part.await {
                Ok(part) => {
                    let one = Arc::clone(&this).one(plan, part);
                    Ok(AbortOnDropHandle::new(tokio::spawn(one)))
                }
                Err(error) => Err(error),
            };
            // Nobody wants the rest.
            if to.send(next).await.is_err() {
                return;
            }
        }
    }

    async fn one(self: Arc<Self>, plan: Plan, mut part: Part) -> Fetched {
        let range = plan.sealed.clone();
        let stored = self.from.place.get(&self.name, range, &self.info.etag);
        let stored = stored.await?;
        part.arrived();
        blocking(move || {
            let clear = self.file.decrypt(&plan, &stored)?;
            Ok(Chunk {
                plan,
                clear,
                stored,
                _part: part,
            })
        })
        .await
    }
}

/// The clear content of a file, in order.
pub(super) struct Chunks {
    receiver: mpsc::Receiver<Result<AbortOnDropHandle<Fetched>, CliError>>,
    _feeder: AbortOnDropHandle<()>,
}

impl Chunks {
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, CliError> {
        let Some(next) = self.receiver.recv().await else {
            return Ok(None);
        };
        match next?.await {
            Ok(chunk) => Ok(Some(chunk?)),
            Err(error) => Err(CliError::io(
                "a transfer task",
                std::io::Error::other(error),
            )),
        }
    }
}

/// The comparison of everything that was read with a manifest's digest.
pub(super) struct Verdict<'a> {
    of: &'a Stored,
    digest: Sha256,
    /// Stored bytes.
    seen: u64,
}

impl Verdict<'_> {
    /// Takes what was read, in order.
    pub(super) fn take(&mut self, chunk: &Chunk) {
        if self.of.entry.is_some() {
            self.digest.update(&chunk.stored);
        }
        self.seen = chunk.plan.sealed.end;
    }

    /// Takes clear bytes of an earlier transfer; only where they are what is stored.
    pub(super) fn take_plain(&mut self, clear: &[u8]) {
        self.digest.update(clear);
        self.seen += clear.len() as u64;
    }

    /// The end: whether it was the listed version.
    pub(super) fn finish(mut self) -> Result<(), FormatError> {
        let Some(entry) = &self.of.entry else {
            return Ok(());
        };
        let length = self.of.info.length;
        let rest = usize::try_from(length.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        let rest = self.of.tail.len().checked_sub(rest);
        let rest = rest.and_then(|start| self.of.tail.get(start..));
        self.digest
            .update(rest.ok_or(FormatError::Length { blob: length })?);
        entry.admit_plain(self.of.len(), &self.digest.finish())
    }
}
