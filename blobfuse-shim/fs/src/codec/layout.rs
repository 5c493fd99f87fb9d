//! The layout of a mount, as the contract pins it; nothing in storage can choose another.

use std::sync::Arc;

use blob_format::azure::{Integrity, RegionSize};
use blob_format::v1::{BlockCipher, TRAILER};
use blob_format::{FormatError, Params, View};
use blob_store::Metadata;
use cleanroom_crypto::Dek;

use super::azure::Keys;
use super::{Codec, Opened, azure, plain, v1, v2};
use crate::{FsError, Mode};

/// Opens and makes the files of a mount.
#[derive(Debug)]
pub(crate) enum Layout {
    Plain,
    V2 {
        dek: Arc<Dek>,
        params: Params,
    },
    /// One cipher for all files: it counts what it seals under their one key.
    V1(Result<Arc<BlockCipher>, FormatError>),
    Azure {
        keys: Arc<Keys>,
        region: RegionSize,
    },
}

/// What storage shows of a blob before its content is read.
pub(crate) struct Stored<'a> {
    pub(crate) length: u64,
    /// The last bytes, at least [`Layout::tail_len`] of them.
    pub(crate) tail: &'a [u8],
    pub(crate) metadata: &'a Metadata,
}

impl Layout {
    /// `key_id` is how envelopes of Azure client-side encryption call the data key.
    pub(crate) fn new(mode: Mode, dek: &Arc<Dek>, key_id: &str) -> Self {
        match mode {
            Mode::Cpk | Mode::Sse => Self::Plain,
            Mode::CseV2(params) => Self::V2 {
                dek: Arc::clone(dek),
                params,
            },
            Mode::CseV1(size) => Self::V1(BlockCipher::new(dek, size).map(Arc::new)),
            Mode::CseAzure(region, integrity) => Self::Azure {
                keys: Arc::new(Keys {
                    dek: Arc::clone(dek),
                    key_id: key_id.to_owned(),
                    integrity,
                }),
                region,
            },
        }
    }

    /// How many bytes at the blob's end must be seen to open it.
    pub(crate) fn tail_len(&self, blob_len: u64) -> Result<u64, FsError> {
        Ok(match self {
            Self::Plain | Self::Azure { .. } => 0,
            Self::V2 { params, .. } => View::tail_len(*params, blob_len)?,
            Self::V1(_) => blob_len.min(TRAILER as u64),
        })
    }

    /// How many bytes at the end a tail that may be too short asks for.
    pub(crate) fn needed_tail(&self, blob_len: u64, tail: &[u8]) -> Result<u64, FsError> {
        match self {
            Self::V2 { .. } => Ok(View::needed_tail(blob_len, tail)?),
            _ => self.tail_len(blob_len),
        }
    }

    /// Whether a blob can only be opened with its metadata, which no listing shows.
    pub(crate) const fn needs_metadata(&self) -> bool {
        matches!(self, Self::Azure { .. })
    }

    /// Whether a file can only be read at the path it was written for, so that directories cannot be renamed.
    pub(crate) const fn binds_paths(&self) -> bool {
        matches!(self, Self::Azure { .. })
    }

    /// Opens a committed file.
    pub(crate) fn open(&self, path: &str, stored: &Stored<'_>) -> Result<Opened, FsError> {
        match self {
            Self::Plain => Ok(plain::open(stored.length)),
            Self::V2 { dek, .. } => v2::open(dek, path, stored),
            Self::V1(cipher) => v1::open(cipher.clone()?, stored),
            Self::Azure { keys, .. } => azure::open(keys, path, stored),
        }
    }

    /// The layout of a new file.
    pub(crate) fn create(&self) -> Result<Arc<dyn Codec>, FsError> {
        Ok(match self {
            Self::Plain => Arc::new(plain::Plain),
            // Sinks are not bound to a path: they could not be renamed.
            Self::V2 { dek, params } => Arc::new(v2::V2::create(dek, *params)?),
            Self::V1(cipher) => Arc::new(v1::V1::new(cipher.clone()?)),
            Self::Azure { keys, region } => Arc::new(azure::Azure::new(keys, *region)),
        })
    }

    /// Clear length of a blob from its length alone, 0 for a length that no file has, which opening then refuses; `None`
    /// if the length alone does not tell.
    pub(crate) fn clear_len(&self, blob_len: u64) -> Option<u64> {
        match self {
            Self::Plain => Some(blob_len),
            Self::V2 { params, .. } => Some(params.clear_len(blob_len).unwrap_or(0)),
            Self::V1(_) | Self::Azure { .. } => None,
        }
    }
}

/// Most memory that one operation takes at once, in bytes: an extent of a file that this mount makes, sealed and open.
pub(crate) fn most_room(mode: Mode) -> u64 {
    match mode {
        Mode::CseV1(size) => size.sealed() + size.bytes(),
        Mode::CseAzure(region, _) => upload_room(mode).max(region.sealed() + region.bytes()),
        _ => upload_room(mode),
    }
}

/// Memory of one upload in bytes: a sealed extent of a file that this mount makes, and what sealing it takes.
pub(crate) fn upload_room(mode: Mode) -> u64 {
    // Two extents: zeros are made before they are sealed, and what is sealed anew is opened before.
    let both = |extent: u64, overhead: u64| 2 * (extent + overhead);
    let room = match mode {
        Mode::Cpk | Mode::Sse => both(plain::EXTENT, 0),
        Mode::CseV2(params) => {
            let (extent, segment) = (params.extent(), params.segment());
            both(extent, 16 * extent.div_ceil(segment))
        }
        Mode::CseV1(size) => size.sealed() + TRAILER as u64,
        Mode::CseAzure(..) => both(azure::EXTENT, azure::MOST_OVERHEAD),
    };
    room + 4096
}

impl From<blob_format::Format> for Mode {
    fn from(format: blob_format::Format) -> Self {
        match format {
            blob_format::Format::V2(params) => Self::CseV2(params),
            blob_format::Format::V1(size) => Self::CseV1(size),
            blob_format::Format::Azure(region, integrity) => Self::CseAzure(region, integrity),
        }
    }
}

impl Keys {
    /// Whether a blob without a valid seal may be used.
    pub(super) fn takes_foreign(&self) -> bool {
        self.integrity == Integrity::Foreign
    }
}
