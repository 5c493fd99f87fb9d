use std::sync::Arc;

use super::place::blocking;
use super::read::{Chunks, Stored, Verdict};
use super::tree::ClearFile;
use crate::CliError;

/// Where the clear content of a new file comes from.
pub(super) enum Clear<'a> {
    /// A file of the owner.
    File(Arc<ClearFile>),
    /// A file in another layout or under another key.
    Stored {
        chunks: Chunks,
        verdict: Option<Verdict<'a>>,
        length: u64,
        /// What came and was not taken yet.
        held: Vec<u8>,
    },
}

impl<'a> Clear<'a> {
    pub(super) fn stored(of: &'a Stored, chunks: Chunks) -> Self {
        Self::Stored {
            chunks,
            verdict: Some(of.verdict()),
            length: of.len(),
            held: Vec::new(),
        }
    }

    /// Bytes in all.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.len(),
            Self::Stored { length, .. } => *length,
        }
    }

    /// Unix time in nanoseconds; 0 if it is not known.
    pub(super) fn modified_ns(&self) -> u64 {
        match self {
            Self::File(file) => file.modified_ns(),
            Self::Stored { .. } => 0,
        }
    }

    /// Exactly the bytes of a range; ranges follow each other.
    pub(super) async fn next(&mut self, offset: u64, bytes: u64) -> Result<Vec<u8>, CliError> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        match self {
            Self::File(file) => {
                let file = Arc::clone(file);
                blocking(move || {
                    let mut clear = vec![0; bytes];
                    file.read(offset, &mut clear)?;
                    Ok(clear)
                })
                .await
            }
            Self::Stored {
                chunks,
                verdict,
                held,
                ..
            } => {
                while held.len() < bytes {
                    let Some(chunk) = chunks.next().await? else {
                        return Err(ended());
                    };
                    if let Some(verdict) = verdict {
                        verdict.take(&chunk);
                    }
                    if held.is_empty() {
                        *held = chunk.clear;
                    } else {
                        held.extend_from_slice(&chunk.clear);
                    }
                }
                let rest = held.split_off(bytes);
                Ok(std::mem::replace(held, rest))
            }
        }
    }

    /// Whether what was read is what it should be: to be asked before anything is committed.
    pub(super) fn check(&mut self) -> Result<(), CliError> {
        match self {
            Self::File(file) => file.check_unchanged(),
            Self::Stored { verdict, .. } => match verdict.take() {
                Some(verdict) => Ok(verdict.finish()?),
                None => Ok(()),
            },
        }
    }
}

fn ended() -> CliError {
    CliError::io(
        "the content",
        std::io::Error::from(std::io::ErrorKind::UnexpectedEof),
    )
}
