use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use blob_format::FormatError;
use blob_format::manifest::{Entry, Manifest};
use blob_store::BlobInfo;
use futures::StreamExt;

use super::digest::{Content, ContentKey};
use super::engine::Engine;
use super::failure::Failures;
use super::journal::{Done, Journal};
use super::partial::{Partial, path_of};
use super::place::blocking;
use super::read::{Stored, Verdict};
use super::target::Target;
use super::{Dataset, Known, Moved, PART, STRETCH, list, refusal};
use crate::CliError;

/// Opens every file of a dataset into a folder.
///
/// Nothing unauthenticated is left there: a file appears under its name when all of it is verified, and compared with the
/// manifest if there is one.
pub(crate) struct Download<'a> {
    pub(crate) from: &'a Arc<Dataset>,
    pub(crate) engine: &'a Engine,
    pub(crate) journal: &'a Arc<Journal>,
    /// What the manifest must be.
    pub(crate) pinned: &'a Known,
}

/// One file to come.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) info: BlobInfo,
    pub(super) entry: Option<Entry>,
}

impl Download<'_> {
    /// Files that fail do not stop the others.
    pub(crate) async fn run(&self, folder: &Path) -> Result<Moved, CliError> {
        let listed = list::pinned(self.from, self.pinned).await?;
        let hmac = listed.as_ref().map(|(_, hmac)| hmac.to_string());
        let (target, journal) = (folder.to_owned(), Arc::clone(self.journal));
        let target = blocking(move || Target::open(&target, Some(&journal)));
        let target = Arc::new(target.await?);
        let mut failures = Failures::default();
        let listed = listed.map(|(manifest, _)| manifest);
        let wanted = wanted(self.from, listed.as_ref(), &mut failures).await?;
        let total = wanted.iter().map(|one| one.info.length).sum();
        self.engine.begin("downloading", total);
        let fetching = Fetching {
            download: self,
            target,
            key: ContentKey::of(&self.from.dek)?,
        };
        fetching.tidy(&wanted).await?;
        let mut moved = Moved::default();
        let outcome = futures::stream::iter(&wanted)
            .map(|one| async { (one.name.clone(), fetching.one(one).await) })
            .buffer_unordered(self.engine.parallel())
            .boxed();
        let collected = failures
            .collect(outcome, |_, (bytes, unchanged)| {
                moved.count(bytes, unchanged);
                Ok(())
            })
            .await;
        self.engine.end();
        collected?;
        failures.finish(self.from)?;
        moved.root = hmac;
        moved.pinned = Some(!self.pinned.is_any());
        Ok(moved)
    }
}

/// What the manifest lists and storage has; without a manifest, what storage has.
pub(super) async fn wanted(
    from: &Dataset,
    manifest: Option<&Manifest>,
    failures: &mut Failures,
) -> Result<Vec<Wanted>, CliError> {
    let refused = |reason: String| CliError::Dataset {
        dataset: from.name.clone(),
        reason,
    };
    let mut listed = manifest.map(list::by_path);
    let mut wanted = Vec::new();
    for (name, info) in from.place.list().await? {
        if let Some(reason) = refusal(&name) {
            let reason = format!("the blob's name cannot be a file's: {reason}");
            failures.add(&name, &refused(reason));
            continue;
        }
        let entry = listed.as_mut().map(|listed| listed.remove(name.as_str()));
        match entry {
            Some(None) => failures.add(&name, &FormatError::NotListed.into()),
            None | Some(Some(_)) => wanted.push(Wanted {
                entry: entry.flatten().cloned(),
                name,
                info,
            }),
        }
    }
    for name in listed.unwrap_or_default().keys() {
        let reason = "the manifest lists it, and storage does not have it".to_owned();
        failures.add(name, &refused(reason));
    }
    Ok(wanted)
}

impl Wanted {
    /// What counts as its version: what the manifest says; without one, what storage calls it.
    pub(super) fn version(&self, key: &ContentKey) -> String {
        match &self.entry {
            // Not as it is: under some layouts it is the digest of the content.
            Some(entry) => hex::encode(key.version(&["listed", &hex::encode(entry.authenticator)])),
            None => self.info.etag.as_str().to_owned(),
        }
    }
}

struct Fetching<'a> {
    download: &'a Download<'a>,
    target: Arc<Target>,
    key: ContentKey,
}

impl Fetching<'_> {
    /// Removes what earlier commands left of files that are not wanted any more in the version that was coming.
    async fn tidy(&self, wanted: &[Wanted]) -> Result<(), CliError> {
        let left: HashSet<&str> = self.download.journal.left().collect();
        let keep = wanted.iter().filter(|_| !left.is_empty());
        let keep = keep.map(|one| path_of(&one.name, &self.coming(one)));
        let keep: HashSet<String> = keep.filter(|path| left.contains(path.as_str())).collect();
        let target = Arc::clone(&self.target);
        blocking(move || target.tidy(|path| keep.contains(path))).await
    }

    /// Names what comes of a version of a file, while it is not whole.
    fn coming(&self, wanted: &Wanted) -> [u8; 32] {
        let (version, etag) = (wanted.version(&self.key), wanted.info.etag.as_str());
        self.key.version(&[&wanted.name, &version, etag])
    }

    /// One file: its bytes, and `true` if it was there already.
    async fn one(&self, wanted: &Wanted) -> Result<(u64, bool), CliError> {
        let Download {
            from,
            engine,
            journal,
            ..
        } = self.download;
        let version = wanted.version(&self.key);
        if let Some(done) = journal.done(&wanted.name)
            && done.etag == version
            && self.is_there(&wanted.name, done).await?
        {
            engine.advance(wanted.info.length);
            return Ok((done.length, true));
        }
        let stored = Stored::open(from, &wanted.name, &wanted.info, wanted.entry.clone()).await?;
        let coming = self.coming(wanted);
        let (content, length) = self.fetch(&stored, &wanted.name, coming).await?;
        let entry = Entry {
            path: wanted.name.clone(),
            length,
            file_id: [0; 16],
            generation: 0,
            authenticator: [0; 32],
        };
        journal.note(Done::new(&self.key, &entry, content, &version)?)?;
        Ok((length, false))
    }

    async fn fetch(
        &self,
        stored: &Stored,
        name: &str,
        version: [u8; 32],
    ) -> Result<([u8; 32], u64), CliError> {
        let (target, whole) = (Arc::clone(&self.target), name.to_owned());
        let resumable = stored.can_resume();
        let opened = blocking(move || {
            if resumable {
                Partial::resume(&target, &whole, &version)
            } else {
                Ok((Partial::create(&target, &whole)?, 0))
            }
        });
        let (partial, at) = opened.await?;
        let mut file = Arriving {
            stored,
            partial: Arc::new(partial),
            verdict: stored.verdict(),
            content: self.key.content(stored.len()),
            at: 0,
            log: resumable.then_some(Log {
                journal: self.download.journal,
                key: &self.key,
                path: name,
                coming: version,
                stretch: 0,
                pieces: Vec::new(),
            }),
        };
        match file.fill(self.download.engine, at).await {
            Ok(()) => file.place().await,
            Err(error) => {
                // Otherwise what was verified before need not come again, whichever file the error is of.
                if is_for_ever(&error) {
                    discard(file.partial);
                }
                Err(error)
            }
        }
    }

    /// Whether the file under its name still has the content that was downloaded.
    async fn is_there(&self, name: &str, done: &Done) -> Result<bool, CliError> {
        let (target, name) = (Arc::clone(&self.target), name.to_owned());
        let (mut content, length) = (self.key.content(done.length), done.length);
        let digest = blocking(move || {
            let failed = |error| CliError::io(target.shown(&name).display().to_string(), error);
            let Some(mut file) = target.read(&name)? else {
                return Ok(None);
            };
            if file.metadata().map_err(failed)?.len() != length {
                return Ok(None);
            }
            let mut buffer = vec![0; 1 << 20];
            loop {
                let read = file.read(&mut buffer).map_err(failed)?;
                if read == 0 {
                    return Ok(Some(content.finish()));
                }
                content.update(buffer.get(..read).unwrap_or_default());
            }
        });
        Ok(digest.await? == Some(done.content()))
    }
}

/// A file while it comes.
struct Arriving<'a> {
    stored: &'a Stored,
    partial: Arc<Partial>,
    verdict: Verdict<'a>,
    content: Content,
    at: u64,
    /// Of a file that can be resumed.
    log: Option<Log<'a>>,
}

/// What names the pieces that came, so that nothing on the disk is believed.
struct Log<'a> {
    journal: &'a Journal,
    key: &'a ContentKey,
    path: &'a str,
    /// Names what is coming.
    coming: [u8; 32],
    stretch: u64,
    pieces: Vec<[u8; 32]>,
}

impl Log<'_> {
    /// Whether a piece on the disk is the one that came.
    fn has(&self, at: u64, piece: &[u8; 32]) -> bool {
        let came = self.journal.arrived(self.path, &self.coming, at / PART);
        came.as_ref() == Some(piece)
    }

    fn take(&mut self, pieces: Vec<[u8; 32]>) -> Result<(), CliError> {
        for piece in pieces {
            self.pieces.push(piece);
            if self.pieces.len() as u64 == STRETCH {
                let pieces = std::mem::take(&mut self.pieces);
                let (path, coming) = (self.path, &self.coming);
                self.journal
                    .note_arrived(path, coming, self.stretch, pieces)?;
                self.stretch += 1;
            }
        }
        Ok(())
    }
}

impl Arriving<'_> {
    /// Takes from the disk what came earlier, of `kept` bytes, and the rest from storage.
    async fn fill(&mut self, engine: &Engine, kept: u64) -> Result<(), CliError> {
        while let Some(log) = &self.log
            && self.at < kept
        {
            let bytes = PART.min(kept - self.at);
            let (partial, at, key) = (Arc::clone(&self.partial), self.at, log.key.clone());
            let read = blocking(move || {
                let mut clear = vec![0; usize::try_from(bytes).unwrap_or_default()];
                partial.read(at, &mut clear)?;
                let piece = key.of_piece(at / PART, &clear);
                Ok((clear, piece))
            });
            let (clear, piece) = read.await?;
            if !log.has(at, &piece) {
                let partial = Arc::clone(&self.partial);
                blocking(move || partial.cut(at)).await?;
                break;
            }
            self.take(&clear)?;
            if self.stored.is_by_digest() {
                self.verdict.take_plain(&clear);
            }
            self.at += bytes;
            engine.advance(bytes);
        }
        let mut chunks = self.stored.chunks(engine, self.at);
        while let Some(mut chunk) = chunks.next().await? {
            // Units need not begin where the kept bytes end.
            let skip = usize::try_from(self.at - chunk.plan.clear.start).unwrap_or(usize::MAX);
            self.verdict.take(&chunk);
            let clear = chunk.clear.split_off(skip.min(chunk.clear.len()));
            self.take(&clear)?;
            let (partial, at, length) = (Arc::clone(&self.partial), self.at, clear.len() as u64);
            blocking(move || {
                partial.append(at, &clear)?;
                drop(chunk);
                Ok(())
            })
            .await?;
            self.at += length;
            engine.advance(length);
        }
        Ok(())
    }

    fn take(&mut self, clear: &[u8]) -> Result<(), CliError> {
        self.content.update(clear);
        let pieces = self.content.pieces();
        match &mut self.log {
            Some(log) => log.take(pieces),
            None => Ok(()),
        }
    }

    async fn place(self) -> Result<([u8; 32], u64), CliError> {
        if let Err(error) = self.verdict.finish() {
            discard(self.partial);
            return Err(error.into());
        }
        let partial = Arc::into_inner(self.partial)
            .ok_or_else(|| CliError::io("a partial file", ErrorKind::ResourceBusy.into()))?;
        blocking(move || partial.place()).await?;
        Ok((self.content.finish(), self.at))
    }
}

/// Whether an error is of the content itself, or of a disk that needs the room.
fn is_for_ever(error: &CliError) -> bool {
    match error {
        CliError::Format(_) => true,
        CliError::Io { source, .. } => matches!(
            source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        ),
        _ => false,
    }
}

fn discard(partial: Arc<Partial>) {
    if let Some(partial) = Arc::into_inner(partial) {
        partial.discard();
    }
}
