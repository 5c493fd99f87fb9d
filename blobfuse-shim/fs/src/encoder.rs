//! From writes at offsets to blocks: sealed in format v2, or as they are.

use blob_format::manifest::Entry;
use blob_format::{Attributes, FormatError, Params, Writer};
use cleanroom_crypto::Dek;
use cleanroom_crypto::digest::Sha256;
use zeroize::Zeroizing;

use crate::{FsError, Mode};

/// Block size of content that is stored as it is: the extent of format v2.
const PIECE: usize = 4 << 20;

#[derive(Debug)]
pub(crate) enum Encoder {
    V2(Box<Writer>),
    Plain(Plain),
}

/// The last part of a commit, and what a manifest says of the whole.
pub(crate) struct Tail {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entry: Entry,
}

impl Encoder {
    pub(crate) fn new(mode: Mode, dek: &Dek) -> Result<Self, FsError> {
        Ok(match mode {
            // Sinks are not bound to a path: they could not be renamed.
            Mode::CseV2(params) => Self::V2(Box::new(Writer::create(dek, params, None)?)),
            Mode::Cpk => Self::Plain(Plain::default()),
        })
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::V2(writer) => writer.len(),
            Self::Plain(plain) => plain.len(),
        }
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Result<Vec<Vec<u8>>, FsError> {
        Ok(match self {
            Self::V2(writer) => writer.write(offset, data)?,
            Self::Plain(plain) => plain.write(offset, data)?,
        })
    }

    pub(crate) fn set_len(&mut self, len: u64) -> Result<Vec<Vec<u8>>, FsError> {
        Ok(match self {
            Self::V2(writer) => writer.set_len(len)?,
            Self::Plain(plain) => plain.set_len(len)?,
        })
    }

    /// What makes the content so far a file.
    pub(crate) fn commit(&mut self, path: &str, attributes: Attributes) -> Result<Tail, FsError> {
        let length = self.len();
        let mut entry = Entry {
            path: path.to_owned(),
            length,
            file_id: [0; 16],
            generation: 0,
            authenticator: [0; 32],
        };
        let bytes = match self {
            Self::V2(writer) => {
                let committed = writer.commit(attributes)?;
                entry.file_id = committed.footer.header.file_id;
                entry.generation = committed.footer.generation;
                entry.authenticator = committed.footer.mac;
                committed.tail
            }
            Self::Plain(plain) => {
                let mut digest = plain.digest.clone();
                digest.update(&plain.open);
                entry.authenticator = digest.finish();
                plain.open.to_vec()
            }
        };
        Ok(Tail { bytes, entry })
    }
}

/// Content as it is, with the same rules as [`Writer`]: pieces that left cannot change any more.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    gone: u64,
    open: Zeroizing<Vec<u8>>,
    digest: Sha256,
}

impl Plain {
    fn len(&self) -> u64 {
        self.gone + self.open.len() as u64
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<Vec<Vec<u8>>, FormatError> {
        let refused = FormatError::NotAppend {
            offset,
            sealed: self.gone,
        };
        let gap = usize::try_from(offset.saturating_sub(self.len())).unwrap_or(usize::MAX);
        if offset < self.gone || gap >= PIECE {
            return Err(refused);
        }
        // The service's limit is near 190 TiB; no offset of an honest writer comes close.
        if offset.saturating_add(data.len() as u64) >= 1 << 47 {
            return Err(FormatError::TooLarge);
        }
        let mut blocks = Vec::new();
        if gap > 0 {
            self.put(self.len(), &vec![0; gap], &mut blocks);
        }
        self.put(offset, data, &mut blocks);
        Ok(blocks)
    }

    fn set_len(&mut self, len: u64) -> Result<Vec<Vec<u8>>, FormatError> {
        if len >= self.len() {
            return self.write(len, &[]);
        }
        let keep = len
            .checked_sub(self.gone)
            .and_then(|keep| usize::try_from(keep).ok())
            .ok_or(FormatError::NotAppend {
                offset: len,
                sealed: self.gone,
            })?;
        self.open.truncate(keep);
        Ok(Vec::new())
    }

    fn put(&mut self, mut offset: u64, mut data: &[u8], blocks: &mut Vec<Vec<u8>>) {
        while !data.is_empty() {
            let mut at = usize::try_from(offset - self.gone).unwrap_or(usize::MAX);
            if at >= PIECE {
                self.digest.update(&self.open);
                self.gone += self.open.len() as u64;
                blocks.push(std::mem::take(&mut *self.open));
                at = 0;
            }
            let (now, later) = data.split_at(data.len().min(PIECE - at));
            let (over, append) = now.split_at(now.len().min(self.open.len() - at));
            for (to, from) in self.open.iter_mut().skip(at).zip(over) {
                *to = *from;
            }
            self.open.extend_from_slice(append);
            offset += now.len() as u64;
            data = later;
        }
    }
}

/// Clear length of a blob from its length alone; 0 for a length that no file has, which opening then refuses.
pub(crate) fn clear_len(mode: Mode, blob_len: u64) -> u64 {
    match mode {
        Mode::Cpk => blob_len,
        Mode::CseV2(params) => Params::clear_len(params, blob_len).unwrap_or(0),
    }
}
