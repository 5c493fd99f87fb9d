use std::ops::Range;

use cleanroom_crypto::aead::TAG;

use crate::FormatError;

/// Bytes of the trailer behind the last chunk.
pub const TRAILER: usize = 8;
/// Bytes that sealing adds to a block: nonce and tag.
const OVERHEAD: usize = NONCE + TAG;
/// Bytes of a nonce.
pub(super) const NONCE: usize = 12;
/// No honest blob is longer; below it no size computation can overflow.
const LONGEST: u64 = 1 << 50;

/// Clear bytes of a chunk, which the contract must say because the blob does not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BlockSize {
    bytes: u32,
}

impl BlockSize {
    /// Upstream's older releases (4.0.0).
    pub const MIB_4: Self = Self { bytes: 4 << 20 };
    /// Upstream's default since.
    pub const MIB_16: Self = Self { bytes: 16 << 20 };

    /// A size in MiB, 1 to 64, as upstream's `--block-size` counts.
    ///
    /// # Errors
    /// [`FormatError::Contract`].
    pub const fn from_mib(mib: u8) -> Result<Self, FormatError> {
        if mib == 0 || mib > 64 {
            return Err(FormatError::Contract("a block size in MiB is 1 to 64"));
        }
        Ok(Self {
            bytes: (mib as u32) << 20,
        })
    }

    /// A power of two from 4 KiB to 1 MiB: sizes that no contract can name, for tests of what uses blocks.
    ///
    /// # Errors
    /// [`FormatError::Contract`].
    pub const fn small(bytes: u32) -> Result<Self, FormatError> {
        if bytes < 4096 || bytes > 1 << 20 || !bytes.is_power_of_two() {
            return Err(FormatError::Contract("a small block is 4 KiB to 1 MiB"));
        }
        Ok(Self { bytes })
    }

    /// Clear bytes of a block.
    pub const fn bytes(self) -> u64 {
        self.bytes as u64
    }

    /// Sealed bytes of a block.
    pub const fn sealed(self) -> u64 {
        self.bytes() + OVERHEAD as u64
    }

    /// The block size as a length of buffers.
    pub(super) const fn size(self) -> usize {
        self.bytes as usize
    }

    /// The chunk size as a length of buffers.
    pub(super) const fn chunk(self) -> usize {
        self.size() + OVERHEAD
    }

    /// Length of the blob that holds `clear` bytes. An empty file has only the trailer.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] from 2^50 bytes on.
    pub const fn blob_len(self, clear: u64) -> Result<u64, FormatError> {
        if clear >= LONGEST {
            return Err(FormatError::TooLarge);
        }
        Ok(clear.div_ceil(self.bytes()) * self.sealed() + TRAILER as u64)
    }

    /// Number of chunks in a blob of a given length.
    ///
    /// # Errors
    /// [`FormatError::BlockSize`] if a file of this block size cannot have the length; [`FormatError::TooLarge`].
    pub const fn blocks(self, blob: u64) -> Result<u64, FormatError> {
        if blob >= LONGEST {
            return Err(FormatError::TooLarge);
        }
        if blob == 0 {
            return Ok(0);
        }
        match blob.checked_sub(TRAILER as u64) {
            Some(chunks) if chunks.is_multiple_of(self.sealed()) => Ok(chunks / self.sealed()),
            _ => Err(FormatError::BlockSize {
                blob,
                mib: self.bytes >> 20,
            }),
        }
    }

    /// Which bytes of the blob hold block `index`.
    pub const fn sealed_range(self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.sealed());
        start..start.saturating_add(self.sealed())
    }

    /// The trailer of a file of `clear` bytes: the number of zero bytes behind them.
    pub const fn trailer(self, clear: u64) -> [u8; TRAILER] {
        let padding = match clear % self.bytes() {
            0 => 0,
            content => self.bytes() - content,
        };
        padding.to_be_bytes()
    }

    /// Clear length from the blob's length and its trailer, which is not authenticated.
    ///
    /// # Errors
    /// [`FormatError::Padding`] for a value that no writer makes: a block or more, or any without a chunk; and as
    /// [`BlockSize::blocks`].
    pub const fn clear_len(self, blob: u64, trailer: [u8; TRAILER]) -> Result<u64, FormatError> {
        let blocks = match self.blocks(blob) {
            Ok(blocks) => blocks,
            Err(error) => return Err(error),
        };
        let padding = u64::from_be_bytes(trailer);
        if padding >= self.bytes() || (blocks == 0 && padding != 0) {
            return Err(FormatError::Padding { padding });
        }
        Ok(blocks * self.bytes() - padding)
    }

    /// The usual sizes that a blob's length admits, for a person who has to find out what an old dataset uses. Never to
    /// be asked by a reader: the answer comes from storage.
    pub fn candidates(blob: u64) -> impl Iterator<Item = Self> {
        [Self::MIB_16, Self::MIB_4]
            .into_iter()
            .filter(move |size| size.blocks(blob).is_ok())
    }
}
