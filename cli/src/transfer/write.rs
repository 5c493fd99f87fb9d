use std::sync::Arc;

use blob_format::manifest::Entry;
use blob_store::{BlobStore, BlockId, Condition, Etag};
use bytes::Bytes;
use cleanroom_crypto::mac::HmacSha256;
use cleanroom_crypto::random;
use tokio::task::JoinSet;

use super::Dataset;
use super::clear::Clear;
use super::digest::ContentKey;
use super::engine::{Engine, Part};
use super::layout::Sealer;
use super::partial::Partial;
use super::place::{Folder, Place, blocking};
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
}

impl Writer<'_> {
    pub(super) async fn write(&self, mut clear: Clear<'_>) -> Result<Written, CliError> {
        let layout = &self.to.layout;
        let (length, unit) = (clear.len(), layout.unit());
        let mut sealing = Sealing {
            sealer: layout.sealer(&self.to.dek, self.name)?,
            content: self.key.content(length),
            out: Vec::new(),
        };
        sealing.out = sealing.sealer.header();
        let block = layout.block(length);
        // A file of one block is one request.
        let mut target = match length <= block {
            true => None,
            false => Some(Target::new(self)?),
        };
        let mut at = 0;
        let mut part = None;
        while at < length {
            let end = length.min((at / block + 1) * block);
            if part.is_none() {
                let most = unit.min(end - at);
                let sealed = (end - at).div_ceil(unit) * sealing.sealer.sealed_len(most);
                part = Some(self.engine.part(sealed + most).await?);
            }
            let bytes = unit.min(end - at);
            let content = clear.next(at, bytes).await?;
            let index = at / unit;
            sealing = blocking(move || sealing.seal(index, &content)).await?;
            at += bytes;
            self.engine.advance(bytes);
            if at == end
                && at < length
                && let (Some(target), Some(part)) = (&mut target, part.take())
            {
                target.push(std::mem::take(&mut sealing.out), part)?;
            }
        }
        clear.check()?;
        let Sealing {
            sealer,
            content,
            mut out,
        } = sealing;
        let finished = sealer.finish(self.name, length, clear.modified_ns())?;
        out.extend_from_slice(&finished.tail);
        let part = match part {
            Some(part) => part,
            None => self.engine.part(out.len() as u64).await?,
        };
        let etag = match target {
            Some(target) => target.commit(out, part).await?,
            None => self.to.place.put(self.name, out, self.condition).await?,
        };
        Ok(Written {
            entry: finished.entry,
            content: content.finish(),
            etag,
        })
    }
}

/// What moves to a thread that seals, and back.
struct Sealing {
    sealer: Sealer,
    content: HmacSha256,
    out: Vec<u8>,
}

impl Sealing {
    fn seal(mut self, index: u64, clear: &[u8]) -> Result<Self, CliError> {
        self.content.update(clear);
        self.sealer.seal(index, clear, &mut self.out)?;
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
    },
    Folder {
        folder: Folder,
        partial: Arc<Partial>,
        at: u64,
    },
}

impl<'a> Target<'a> {
    fn new(of: &'a Writer<'a>) -> Result<Self, CliError> {
        let sink = match &of.to.place {
            Place::Container(store) => Sink::Container {
                store: Arc::clone(store),
                writer: random::bytes()?,
                ids: Vec::new(),
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

    fn push(&mut self, block: Vec<u8>, part: Part) -> Result<(), CliError> {
        match &mut self.sink {
            Sink::Container { store, writer, ids } => {
                let id = BlockId::new(*writer, ids.len() as u64);
                ids.push(id);
                let (store, name) = (Arc::clone(store), self.of.name.to_owned());
                self.staging.spawn(async move {
                    store.put_block(&name, id, Bytes::from(block)).await?;
                    drop(part);
                    Ok(())
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
    async fn commit(mut self, last: Vec<u8>, part: Part) -> Result<Etag, CliError> {
        self.push(last, part)?;
        while let Some(staged) = self.staging.join_next().await {
            outcome(staged)?;
        }
        match self.sink {
            Sink::Container { store, ids, .. } => {
                let list = store.put_block_list(self.of.name, &ids, self.of.condition);
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

type Staged = Result<Result<(), CliError>, tokio::task::JoinError>;

fn outcome(staged: Staged) -> Result<(), CliError> {
    staged.unwrap_or_else(|error| {
        Err(CliError::io(
            "a transfer task",
            std::io::Error::other(error),
        ))
    })
}
