//! How the files of a dataset lie in their blobs: opening and sealing, whatever the layout.

use std::sync::Arc;

use blob_format::azure::{self, ENCRYPTION_DATA, RegionSize, SEAL};
use blob_format::manifest::Entry;
use blob_format::v1::BlockCipher;
use blob_format::v2::{Draft, SealedExtent};
use blob_format::{
    Admission, Attributes, Blob, Dataset as Formats, Format, FormatError, Opened, Params, Plan,
    Reader,
};
use blob_store::Metadata;
use cleanroom_crypto::Dek;
use cleanroom_crypto::digest::Sha256;

use super::PART;

/// Blocks of a blob, less one for what stands behind the content.
const MOST_BLOCKS: u64 = 49_999;

/// The layout of one dataset.
pub(crate) enum Layout {
    /// What is stored is what is read: CPK and SSE.
    Plain,
    /// Encrypted here.
    Sealed {
        format: Format,
        formats: Formats,
        /// Of v1 only.
        cipher: Option<Arc<BlockCipher>>,
        /// How Azure's envelopes call the data key.
        key_id: String,
    },
}

impl Layout {
    /// The layout of a client-side encrypted dataset.
    pub(crate) fn sealed(
        format: Format,
        dek: &Arc<Dek>,
        key_id: &str,
    ) -> Result<Self, FormatError> {
        let cipher = match format {
            Format::V1(size) => Some(Arc::new(BlockCipher::new(dek, size)?)),
            Format::V2(_) | Format::Azure(..) => None,
        };
        Ok(Self::Sealed {
            format,
            formats: Formats::new(format, Arc::clone(dek), key_id)?,
            cipher,
            key_id: key_id.to_owned(),
        })
    }

    /// How many bytes at the end of a blob it takes to open it.
    pub(super) fn tail_len(&self, blob: u64, tail: Option<&[u8]>) -> Result<u64, FormatError> {
        match (self, tail) {
            (Self::Plain, _) => Ok(0),
            (Self::Sealed { formats, .. }, None) => formats.tail_len(blob),
            (Self::Sealed { formats, .. }, Some(tail)) => formats.needed_tail(blob, tail),
        }
    }

    /// Whether what opens a file is in the metadata of its blob.
    pub(super) const fn has_metadata(&self) -> bool {
        matches!(
            self,
            Self::Sealed {
                format: Format::Azure(..),
                ..
            }
        )
    }

    /// Opens a version of a file from the end of its blob, and its metadata.
    pub(super) fn open(
        &self,
        path: &str,
        blob: u64,
        tail: &[u8],
        metadata: &Metadata,
    ) -> Result<File, FormatError> {
        match self {
            Self::Plain => Ok(File::Plain(blob)),
            Self::Sealed { formats, .. } => formats
                .open(&Blob {
                    path,
                    length: blob,
                    tail,
                    encryption_data: metadata.get(ENCRYPTION_DATA).map(String::as_str),
                    seal: metadata.get(SEAL).map(String::as_str),
                })
                .map(File::Sealed),
        }
    }

    /// Length of the blob that a writer of ours makes of `clear` bytes; `None` if there is none.
    pub(super) fn blob_len(&self, clear: u64) -> Option<u64> {
        match self {
            Self::Plain => Some(clear),
            Self::Sealed { format, .. } => match format {
                Format::V2(params) => params.blob_len(clear).ok(),
                Format::V1(size) => size.blob_len(clear).ok(),
                Format::Azure(region, _) => region.blob_len(clear).ok(),
            },
        }
    }

    /// Whether a file by itself proves that nothing is missing at its end.
    pub(super) const fn proves_length(&self) -> bool {
        matches!(
            self,
            Self::Sealed {
                format: Format::V2(_),
                ..
            }
        )
    }

    /// Clear bytes of the unit that is sealed as one.
    pub(super) const fn unit(&self) -> u64 {
        match self {
            Self::Plain => PART,
            Self::Sealed { format, .. } => format.unit(),
        }
    }

    /// Clear bytes of each block of a file: whole units, so many that the blocks never run out.
    pub(super) fn block(&self, clear: u64) -> u64 {
        let unit = self.unit();
        let units = clear.div_ceil(unit).div_ceil(MOST_BLOCKS);
        unit * units.next_power_of_two()
    }

    /// Starts a file of a name, or goes on with the one of a file id.
    pub(super) fn sealer(
        &self,
        dek: &Dek,
        name: &str,
        begun: Option<[u8; 16]>,
    ) -> Result<Sealer, FormatError> {
        match self {
            Self::Plain => Ok(Sealer::Plain(Sha256::new())),
            Self::Sealed {
                format,
                cipher,
                key_id,
                ..
            } => match (format, cipher) {
                (Format::V2(params), _) => Sealer::v2(dek, *params, name, begun),
                (Format::V1(_), Some(cipher)) => Ok(Sealer::V1(Arc::clone(cipher), Sha256::new())),
                (Format::V1(_), None) => Err(FormatError::Contract("no cipher for format v1")),
                (Format::Azure(region, _), _) => {
                    azure::Draft::create(dek, key_id, *region).map(Sealer::Azure)
                }
            },
        }
    }
}

/// An opened version of a file.
pub(super) enum File {
    /// Its length.
    Plain(u64),
    Sealed(Opened),
}

impl File {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Plain(length) => *length,
            Self::Sealed(opened) => opened.len(),
        }
    }

    /// Compares with a manifest's entry, as far as that goes before the content is read.
    pub(super) fn admit(&self, entry: &Entry) -> Result<Admission, FormatError> {
        match self {
            Self::Plain(length) if *length == entry.length => Ok(Admission::ByDigest),
            Self::Plain(_) => Err(FormatError::Replaced),
            Self::Sealed(opened) => opened.admit(entry),
        }
    }

    /// What to fetch for the clear bytes from `start` on; `None` behind the end.
    pub(super) fn plan(&self, start: u64, bytes: u64) -> Option<Plan> {
        let end = start.saturating_add(bytes);
        match self {
            Self::Plain(length) => {
                let end = end.min(*length);
                (start < end).then_some(Plan {
                    sealed: start..end,
                    clear: start..end,
                })
            }
            Self::Sealed(opened) => opened.plan(start..end),
        }
    }

    /// Whether stored and clear bytes are the same.
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Opens what a plan fetched.
    pub(super) fn decrypt(&self, plan: &Plan, stored: &[u8]) -> Result<Vec<u8>, FormatError> {
        match self {
            Self::Plain(_) => Ok(stored.to_vec()),
            Self::Sealed(opened) => {
                let length = plan.clear.end - plan.clear.start;
                let length = usize::try_from(length).map_err(|_| FormatError::TooLarge)?;
                let mut clear = vec![0; length];
                opened.open(plan, stored, &mut clear)?;
                Ok(clear)
            }
        }
    }
}

/// A new version of a file, sealed front to back.
pub(super) enum Sealer {
    Plain(Sha256),
    V1(Arc<BlockCipher>, Sha256),
    /// With the salts of the units that were sealed since they were asked for.
    V2(Box<Draft>, Vec<[u8; 16]>),
    Azure(azure::Draft),
}

/// The end of a sealed file.
pub(super) struct Finished {
    /// What stands behind the units.
    pub(super) tail: Vec<u8>,
    pub(super) metadata: Metadata,
    pub(super) entry: Entry,
}

impl Sealer {
    fn v2(
        dek: &Dek,
        params: Params,
        name: &str,
        begun: Option<[u8; 16]>,
    ) -> Result<Self, FormatError> {
        // Bound to its name: storage cannot put it under another.
        let draft = match begun {
            Some(file_id) => Draft::resume(dek, params, Some(name), file_id)?,
            None => Draft::create(dek, params, Some(name))?,
        };
        Ok(Self::V2(Box::new(draft), Vec::new()))
    }

    /// By what a later transfer can go on with the units that were staged; `None` where it cannot: what v1 lists is a
    /// digest of sealed bytes, and the content key of Azure's files is in no journal.
    pub(super) fn file_id(&self) -> Option<[u8; 16]> {
        match self {
            Self::Plain(_) => Some([0; 16]),
            Self::V1(..) | Self::Azure(_) => None,
            Self::V2(draft, _) => Some(draft.file_id()),
        }
    }

    /// The salts of the units that were sealed since the last call.
    pub(super) fn salts(&mut self) -> Vec<[u8; 16]> {
        match self {
            Self::Plain(_) | Self::V1(..) | Self::Azure(_) => Vec::new(),
            Self::V2(_, salts) => std::mem::take(salts),
        }
    }

    /// Takes a unit whose sealed bytes are in storage already.
    pub(super) fn place_earlier(
        &mut self,
        index: u64,
        clear: &[u8],
        salt: Option<[u8; 16]>,
    ) -> Result<(), FormatError> {
        match (self, salt) {
            (Self::Plain(digest), _) => digest.update(clear),
            (Self::V2(draft, _), Some(salt)) => {
                draft.place_earlier(index, clear.len() as u64, salt)?;
            }
            (Self::V1(..) | Self::V2(..) | Self::Azure(_), _) => {
                return Err(FormatError::Incomplete { extent: index });
            }
        }
        Ok(())
    }

    /// What stands before the first unit.
    pub(super) fn header(&self) -> Vec<u8> {
        match self {
            Self::V2(draft, _) => draft.header().to_vec(),
            Self::Plain(_) | Self::V1(..) | Self::Azure(_) => Vec::new(),
        }
    }

    /// Bytes that one unit of `clear` bytes takes at most.
    pub(super) fn sealed_len(&self, clear: u64) -> u64 {
        match self {
            Self::Plain(_) => clear,
            Self::V1(cipher, _) => cipher.size().sealed(),
            Self::V2(draft, _) => draft.params().sealed_len(clear),
            Self::Azure(_) => RegionSize::sealed_len(clear),
        }
    }

    /// Seals the next unit and appends it.
    pub(super) fn seal(
        &mut self,
        index: u64,
        clear: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let start = out.len();
        let length = usize::try_from(self.sealed_len(clear.len() as u64));
        out.resize(start + length.map_err(|_| FormatError::TooLarge)?, 0);
        let place = out.get_mut(start..).unwrap_or_default();
        match self {
            Self::Plain(digest) => {
                place.copy_from_slice(clear);
                digest.update(place);
            }
            Self::V1(cipher, digest) => {
                cipher.seal(clear, place)?;
                digest.update(place);
            }
            Self::V2(draft, salts) => {
                let sealed: SealedExtent = draft.seal(index, clear, place)?;
                salts.push(sealed.salt());
                draft.place(sealed)?;
            }
            Self::Azure(draft) => draft.next_region(clear.len() as u64)?.seal(clear, place)?,
        }
        Ok(())
    }

    /// Ends a file of `clear` bytes.
    pub(super) fn finish(
        self,
        dek: &Dek,
        path: &str,
        clear: u64,
        mtime_ns: u64,
    ) -> Result<Finished, FormatError> {
        let entry = |authenticator| Entry {
            path: path.to_owned(),
            length: clear,
            file_id: [0; 16],
            generation: 0,
            authenticator,
        };
        Ok(match self {
            Self::Plain(digest) => Finished {
                tail: Vec::new(),
                metadata: Metadata::new(),
                entry: entry(digest.finish()),
            },
            Self::V1(cipher, mut digest) => {
                let tail = cipher.size().trailer(clear).to_vec();
                digest.update(&tail);
                Finished {
                    tail,
                    metadata: Metadata::new(),
                    entry: entry(digest.finish()),
                }
            }
            Self::V2(mut draft, _) => {
                let attributes = Attributes { mtime_ns, mode: 0 };
                let committed = draft.commit(clear, attributes)?;
                let footer = committed.footer;
                Finished {
                    tail: committed.tail,
                    metadata: Metadata::new(),
                    entry: Entry {
                        file_id: footer.header.file_id,
                        generation: footer.generation,
                        ..entry(footer.mac)
                    },
                }
            }
            Self::Azure(draft) => {
                let noted = draft.finish(dek, path)?;
                let mac = azure::sealed_mac(&noted.seal)?;
                Finished {
                    tail: Vec::new(),
                    metadata: Metadata::from([
                        (ENCRYPTION_DATA.to_owned(), noted.encryption_data),
                        (SEAL.to_owned(), noted.seal),
                    ]),
                    entry: entry(mac),
                }
            }
        })
    }
}
