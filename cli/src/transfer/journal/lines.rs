//! What a journal notes, as its lines have it.

use std::collections::HashMap;

use blob_format::manifest::Entry;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::CliError;
use crate::transfer::digest::ContentKey;

/// Bytes, as hexadecimal digits in a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hex<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(D::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// One file that is done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(in crate::transfer) struct Done {
    pub(super) path: String,
    content: Hex<32>,
    /// Version in storage.
    pub(in crate::transfer) etag: String,
    /// Clear bytes.
    pub(in crate::transfer) length: u64,
    file_id: Hex<16>,
    generation: u64,
    /// What a manifest says of the content, for its owner only.
    listed: Hex<40>,
}

impl Done {
    pub(in crate::transfer) fn new(
        key: &ContentKey,
        entry: &Entry,
        content: [u8; 32],
        etag: &str,
    ) -> Result<Self, CliError> {
        Ok(Self {
            path: entry.path.clone(),
            content: Hex(content),
            etag: etag.to_owned(),
            length: entry.length,
            file_id: Hex(entry.file_id),
            generation: entry.generation,
            listed: Hex(key.hide(&entry.authenticator)?),
        })
    }

    /// What names the clear content.
    pub(in crate::transfer) const fn content(&self) -> [u8; 32] {
        self.content.0
    }

    /// What a manifest says of it.
    pub(in crate::transfer) fn entry(&self, key: &ContentKey) -> Result<Entry, CliError> {
        Ok(Entry {
            path: self.path.clone(),
            length: self.length,
            file_id: self.file_id.0,
            generation: self.generation,
            authenticator: key.show(&self.listed.0)?,
        })
    }
}

/// A file of several blocks that is not committed yet.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Pending {
    pub(super) path: String,
    pub(super) file_id: Hex<16>,
    pub(super) length: u64,
    pub(super) block: u64,
}

/// Which file a staged block is of.
pub(in crate::transfer) struct File {
    pub(in crate::transfer) path: String,
    pub(in crate::transfer) file_id: [u8; 16],
    /// Clear bytes of it.
    pub(in crate::transfer) length: u64,
    /// Clear bytes of each block but the last.
    pub(in crate::transfer) block: u64,
}

/// One block that storage holds for a commit to come.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(in crate::transfer) struct Staged {
    #[serde(flatten)]
    pub(super) file: Pending,
    pub(super) index: u64,
    id: Hex<16>,
    pieces: Vec<Hex<32>>,
    salts: Vec<Hex<16>>,
}

impl Staged {
    pub(in crate::transfer) fn new(
        file: File,
        index: u64,
        id: [u8; 16],
        pieces: Vec<[u8; 32]>,
        salts: Vec<[u8; 16]>,
    ) -> Self {
        Self {
            file: Pending {
                path: file.path,
                file_id: Hex(file.file_id),
                length: file.length,
                block: file.block,
            },
            index,
            id: Hex(id),
            pieces: pieces.into_iter().map(Hex).collect(),
            salts: salts.into_iter().map(Hex).collect(),
        }
    }

    /// Its name.
    pub(in crate::transfer) const fn id(&self) -> [u8; 16] {
        self.id.0
    }

    /// What names its clear content, piece by piece.
    pub(in crate::transfer) fn pieces(&self) -> impl Iterator<Item = [u8; 32]> + use<'_> {
        self.pieces.iter().map(|piece| piece.0)
    }

    /// What its units were sealed under, in layouts that need to know.
    pub(in crate::transfer) fn salts(&self) -> impl Iterator<Item = [u8; 16]> + use<'_> {
        self.salts.iter().map(|salt| salt.0)
    }
}

/// The staged blocks of one file, as an earlier transfer left them.
#[derive(Debug)]
pub(in crate::transfer) struct Begun {
    pub(super) file: Pending,
    pub(super) blocks: HashMap<u64, Staged>,
}

impl Begun {
    pub(in crate::transfer) const fn file_id(&self) -> [u8; 16] {
        self.file.file_id.0
    }

    pub(in crate::transfer) fn block(&self, index: u64) -> Option<&Staged> {
        self.blocks.get(&index)
    }
}

/// A file that is about to be written: what is found there later is ours.
#[derive(Deserialize, Serialize)]
pub(super) struct Announced {
    pub(super) announced: String,
}

/// A file in the target that is not whole yet.
#[derive(Deserialize, Serialize)]
pub(super) struct Left {
    pub(super) path: String,
    pub(super) partial: String,
}

/// A stretch of a file that came, in the target.
#[derive(Deserialize, Serialize)]
pub(super) struct Arrived {
    pub(super) path: String,
    /// Names what was coming.
    pub(super) coming: Hex<32>,
    pub(super) stretch: u64,
    /// What names its clear content, piece by piece.
    pub(super) arrived: Vec<Hex<32>>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Line {
    Done(Done),
    Staged(Staged),
    Announced(Announced),
    Left(Left),
    Arrived(Arrived),
}
