use std::ops::Range;
use std::sync::Arc;

use blob_format::manifest::Entry;
use blob_store::{BlobStore, BlockId, Condition, Etag, Metadata, StoreError};
use bytes::Bytes;
use cleanroom_crypto::random;
use tokio::task::JoinSet;

use super::clear::Clear;
use super::digest::{Content, ContentKey};
use super::engine::{Engine, Part};
use super::journal::{Begun, File, Journal, Staged};
use super::layout::Sealer;
use super::partial::Partial;
use super::place::{Folder, Place, blocking};
use super::{Dataset, PART};
use crate::CliError;

/// A file that was sealed and committed.
pub(super) struct Written {
    pub(super) entry: Entry,
    /// Names the clear content.
    pub(super) content: [u8; 32],
    pub(super) etag: Etag,
}

/// Seals one file into its place, where it appears when all of it is there.
pub(super) struct Writer<'a> {
    pub(super) to: &'a Dataset,
    pub(super) engine: &'a Engine,
    pub(super) key: &'a ContentKey,
    pub(super) name: &'a str,
    pub(super) condition: &'a Condition,
    /// Where staged blocks are noted and found again; only for content that can be read twice.
    pub(super) journal: Option<&'a Arc<Journal>>,
}

impl Writer<'_> {
    pub(super) async fn write(&self, mut clear: Clear<'_>) -> Result<Written, CliError> {
        let begun = self.journal.and_then(|journal| {
            let length = clear.len();
            journal.begun(self.name, length, self.to.layout.block(length))
        });
        match self.attempt(&mut clear, begun).await {
            // The service forgot what an earlier transfer staged: all of it once more.
            Err(CliError::Store(StoreError::BlocksGone)) if begun.is_some() => {
                self.attempt(&mut clear, None).await
            }
            other => other,
        }
    }

    async fn attempt(
        &self,
        clear: &mut Clear<'_>,
        begun: Option<&Begun>,
    ) -> Result<Written, CliError> {
        let layout = &self.to.layout;
        let (length, unit) = (clear.len(), layout.unit());
        let block = layout.block(length);
        let sealer = layout.sealer(&self.to.dek, self.name, begun.map(Begun::file_id))?;
        let mut sealing = Sealing {
            out: sealer.header(),
            content: self.key.content(length),
            sealer,
        };
        // A file of one block is one request.
        let mut target = match length <= block {
            true => None,
            false => Some(Target::new(self, block)?),
        };
        let mut at = 0;
        loop {
            let end = length.min(at + block);
            if let Some(staged) = begun.and_then(|begun| begun.block(at / block))
                && let Some(target) = &mut target
                && end < length
                && self.is_staged(clear, at..end, staged).await?
            {
                sealing = self.take_over(clear, sealing, at..end, staged).await?;
                target.reuse(staged.id());
                at = end;
                continue;
            }
            let most = unit.min(end - at);
            let sealed = (end - at).div_ceil(unit) * sealing.sealer.sealed_len(most);
            let part = self.engine.part(sealed + most).await?;
            let first = at;
            while at < end {
                let bytes = unit.min(end - at);
                let content = clear.next(at, bytes).await?;
                let index = at / unit;
                sealing = blocking(move || sealing.seal(index, &content)).await?;
                at += bytes;
                self.engine.advance(bytes);
            }
            match &mut target {
                Some(target) if at < length => {
                    let staged = target.note(first / block, length, &mut sealing);
                    target.push(std::mem::take(&mut sealing.out), part, staged)?;
                }
                _ => return self.finish(clear, sealing, target, part).await,
            }
        }
    }

    async fn finish(
        &self,
        clear: &mut Clear<'_>,
        sealing: Sealing,
        target: Option<Target<'_>>,
        part: Part,
    ) -> Result<Written, CliError> {
        clear.check()?;
        let Sealing {
            sealer,
            content,
            mut out,
        } = sealing;
        let finished = sealer.finish(&self.to.dek, self.name, clear.len(), clear.modified_ns())?;
        out.extend_from_slice(&finished.tail);
        let etag = match target {
            Some(target) => target.commit(out, part, &finished.metadata).await?,
            None => {
                let metadata = &finished.metadata;
                let put = self.to.place.put(self.name, out, metadata, self.condition);
                put.await?
            }
        };
        Ok(Written {
            entry: finished.entry,
            content: content.finish(),
            etag,
        })
    }

    /// Whether a block still has the content that was staged.
    async fn is_staged(
        &self,
        clear: &mut Clear<'_>,
        range: Range<u64>,
        staged: &Staged,
    ) -> Result<bool, CliError> {
        let mut pieces = staged.pieces();
        for at in range.clone().step_by(PIECE) {
            let _part = self.engine.part(PART).await?;
            let content = clear.next(at, PART.min(range.end - at)).await?;
            let key = self.key.clone();
            let found = blocking(move || Ok(key.of_piece(at / PART, &content))).await?;
            if pieces.next() != Some(found) {
                return Ok(false);
            }
        }
        Ok(pieces.next().is_none())
    }

    /// Makes a staged block part of the file.
    async fn take_over(
        &self,
        clear: &mut Clear<'_>,
        mut sealing: Sealing,
        range: Range<u64>,
        staged: &Staged,
    ) -> Result<Sealing, CliError> {
        let unit = self.to.layout.unit();
        let mut salts = staged.salts();
        let mut at = range.start;
        while at < range.end {
            let bytes = unit.min(range.end - at);
            let _part = self.engine.part(bytes).await?;
            let content = clear.next(at, bytes).await?;
            let (index, salt) = (at / unit, salts.next());
            sealing = blocking(move || sealing.place(index, &content, salt)).await?;
            at += bytes;
            self.engine.advance(bytes);
        }
        Ok(sealing)
    }
}

/// [`PART`], to count with.
const PIECE: usize = 4 << 20;

/// What moves to a thread that seals, and back.
struct Sealing {
    sealer: Sealer,
    content: Content,
    out: Vec<u8>,
}

impl Sealing {
    fn seal(mut self, index: u64, clear: &[u8]) -> Result<Self, CliError> {
        self.content.update(clear);
        self.sealer.seal(index, clear, &mut self.out)?;
        Ok(self)
    }

    /// As [`Sealing::seal`], of a unit whose sealed bytes are in storage.
    fn place(mut self, index: u64, clear: &[u8], salt: Option<[u8; 16]>) -> Result<Self, CliError> {
        self.content.update(clear);
        self.content.pieces();
        self.sealer.place_earlier(index, clear, salt)?;
        self.out.clear();
        Ok(self)
    }
}

/// The blocks of a file of more than one.
struct Target<'a> {
    of: &'a Writer<'a>,
    sink: Sink,
    staging: JoinSet<Result<(), CliError>>,
}

enum Sink {
    Container {
        store: Arc<dyn BlobStore>,
        writer: [u8; 8],
        ids: Vec<BlockId>,
        /// Clear bytes of a block.
        block: u64,
    },
    Folder {
        folder: Folder,
        partial: Arc<Partial>,
        at: u64,
    },
}

impl<'a> Target<'a> {
    fn new(of: &'a Writer<'a>, block: u64) -> Result<Self, CliError> {
        let sink = match &of.to.place {
            Place::Container(store) => Sink::Container {
                store: Arc::clone(store),
                writer: random::bytes()?,
                ids: Vec::new(),
                block,
            },
            Place::Folder(folder) => Sink::Folder {
                folder: folder.clone(),
                partial: Arc::new(folder.create(of.name)?),
                at: 0,
            },
        };
        Ok(Self {
            of,
            sink,
            staging: JoinSet::new(),
        })
    }

    /// What to note of the block that was just sealed, when it is staged.
    fn note(&self, index: u64, length: u64, sealing: &mut Sealing) -> Option<Noted> {
        let pieces = sealing.content.pieces();
        let salts = sealing.sealer.salts();
        let Sink::Container {
            writer, ids, block, ..
        } = &self.sink
        else {
            return None;
        };
        let journal = Arc::clone(self.of.journal?);
        let id = BlockId::new(*writer, ids.len() as u64);
        let file = File {
            path: self.of.name.to_owned(),
            file_id: sealing.sealer.file_id()?,
            length,
            block: *block,
        };
        Some((journal, Staged::new(file, index, id.0, pieces, salts)))
    }

    /// Makes a block part of the file that an earlier transfer staged.
    fn reuse(&mut self, id: [u8; 16]) {
        if let Sink::Container { ids, .. } = &mut self.sink {
            ids.push(BlockId(id));
        }
    }

    fn push(&mut self, block: Vec<u8>, part: Part, note: Option<Noted>) -> Result<(), CliError> {
        match &mut self.sink {
            Sink::Container {
                store, writer, ids, ..
            } => {
                let id = BlockId::new(*writer, ids.len() as u64);
                ids.push(id);
                let (store, name) = (Arc::clone(store), self.of.name.to_owned());
                self.staging.spawn(async move {
                    store.put_block(&name, id, Bytes::from(block)).await?;
                    drop(part);
                    match note {
                        Some((journal, staged)) => journal.note_staged(staged),
                        None => Ok(()),
                    }
                });
            }
            Sink::Folder { partial, at, .. } => {
                let (partial, offset) = (Arc::clone(partial), *at);
                *at += block.len() as u64;
                self.staging.spawn(blocking(move || {
                    partial.write(offset, &block)?;
                    drop(part);
                    Ok(())
                }));
            }
        }
        // What failed ends the file at once.
        while let Some(staged) = self.staging.try_join_next() {
            outcome(staged)?;
        }
        Ok(())
    }

    /// The last block; then the file appears.
    async fn commit(
        mut self,
        last: Vec<u8>,
        part: Part,
        metadata: &Metadata,
    ) -> Result<Etag, CliError> {
        self.push(last, part, None)?;
        while let Some(staged) = self.staging.join_next().await {
            outcome(staged)?;
        }
        match self.sink {
            Sink::Container { store, ids, .. } => {
                let Writer {
                    name, condition, ..
                } = self.of;
                let list = store.put_block_list_with(name, &ids, metadata, condition);
                Ok(list.await?)
            }
            Sink::Folder {
                folder, partial, ..
            } => {
                let name = self.of.name.to_owned();
                let partial = Arc::into_inner(partial).ok_or_else(|| {
                    CliError::io("a partial file", std::io::ErrorKind::ResourceBusy.into())
                })?;
                blocking(move || folder.place(partial, &name)).await
            }
        }
    }
}

type Noted = (Arc<Journal>, Staged);
type Joined = Result<Result<(), CliError>, tokio::task::JoinError>;

fn outcome(staged: Joined) -> Result<(), CliError> {
    staged.unwrap_or_else(|error| {
        Err(CliError::io(
            "a transfer task",
            std::io::Error::other(error),
        ))
    })
}
