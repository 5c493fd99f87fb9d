use std::ops::Range;

use super::{FOOTER, HEADER};
use crate::FormatError;

/// Bytes that sealing adds to a segment.
pub const TAG: usize = 16;
/// Bytes of a salt in the table.
pub(super) const SALT: u64 = 16;
/// Most extents of a file: a salt table of 64 MiB, 16 TiB of content with 4 MiB extents.
pub(super) const MOST_EXTENTS: u64 = 4 << 20;
/// No honest blob is longer; below it no size computation can overflow.
pub(super) const LONGEST: u64 = 1 << 50;

/// Segment and extent size of a file, as powers of two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Params {
    segment: u8,
    extent: u8,
}

impl Default for Params {
    /// 64 KiB segments in 4 MiB extents.
    fn default() -> Self {
        Self {
            segment: 16,
            extent: 22,
        }
    }
}

impl Params {
    /// Takes the two exponents: segments of 2^12 to 2^20 bytes, extents from one segment to 2^26 bytes.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`].
    pub const fn new(segment: u8, extent: u8) -> Result<Self, FormatError> {
        if segment < 12 || segment > 20 || extent < segment || extent > 26 {
            return Err(FormatError::Unsupported("segment or extent size"));
        }
        Ok(Self { segment, extent })
    }

    /// The segment size's exponent.
    pub const fn segment_exponent(self) -> u8 {
        self.segment
    }

    /// The extent size's exponent.
    pub const fn extent_exponent(self) -> u8 {
        self.extent
    }

    /// Clear bytes of a whole segment.
    pub const fn segment(self) -> u64 {
        1 << self.segment
    }

    /// The segment size, for cutting buffers: at most 1 MiB.
    pub(super) const fn segment_size(self) -> usize {
        1 << self.segment
    }

    /// Clear bytes of a whole extent.
    pub const fn extent(self) -> u64 {
        1 << self.extent
    }

    /// Segments of a whole extent.
    pub const fn segments_per_extent(self) -> u64 {
        1 << (self.extent - self.segment)
    }

    /// Sealed bytes of a whole extent, without its salt.
    pub const fn sealed_extent(self) -> u64 {
        self.extent() + TAG as u64 * self.segments_per_extent()
    }

    /// Number of extents of a file of `clear` bytes.
    pub const fn extents(self, clear: u64) -> u64 {
        clear.div_ceil(self.extent())
    }

    /// Clear bytes of extent `index` in a file of `length` bytes; 0 behind its end.
    pub const fn clear_in(self, index: u64, length: u64) -> u64 {
        let left = length.saturating_sub(index.saturating_mul(self.extent()));
        if left < self.extent() {
            left
        } else {
            self.extent()
        }
    }

    /// Sealed bytes of an extent that holds `clear` bytes, without its salt.
    pub const fn sealed_len(self, clear: u64) -> u64 {
        clear.saturating_add(clear.div_ceil(self.segment()).saturating_mul(TAG as u64))
    }

    /// Where segment `number`, counted from the start of the file, starts in the blob.
    pub(crate) const fn sealed_offset(self, number: u64) -> u64 {
        HEADER as u64 + number * (self.segment() + TAG as u64)
    }

    /// Which bytes of the blob hold extent `index` of a file of `length` bytes; an empty range behind the end.
    pub const fn sealed_extent_range(self, index: u64, length: u64) -> Range<u64> {
        let start = index.saturating_mul(self.sealed_extent());
        let start = start.saturating_add(HEADER as u64);
        start..start.saturating_add(self.sealed_len(self.clear_in(index, length)))
    }

    /// Whether readers take a file of `clear` bytes: at most 4 Mi extents, so that its salts fit 64 MiB.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`].
    pub const fn check_len(self, clear: u64) -> Result<(), FormatError> {
        if self.extents(clear) > MOST_EXTENTS {
            return Err(FormatError::TooLarge);
        }
        Ok(())
    }

    /// Length of the blob that holds `clear` bytes.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] from 2^50 bytes on.
    pub const fn blob_len(self, clear: u64) -> Result<u64, FormatError> {
        if clear >= LONGEST {
            return Err(FormatError::TooLarge);
        }
        let whole = clear / self.extent();
        let last = clear % self.extent();
        let segments = whole * self.segments_per_extent() + last.div_ceil(self.segment());
        Ok(HEADER as u64
            + clear
            + TAG as u64 * segments
            + SALT * self.extents(clear)
            + FOOTER as u64)
    }

    /// Number of clear bytes in a blob of a given length; the inverse of [`Params::blob_len`], and the only honest one.
    ///
    /// # Errors
    /// [`FormatError::Length`] for lengths that no file has; [`FormatError::TooLarge`].
    pub const fn clear_len(self, blob: u64) -> Result<u64, FormatError> {
        let invalid = Err(FormatError::Length { blob });
        if blob >= LONGEST {
            return Err(FormatError::TooLarge);
        }
        let Some(body) = blob.checked_sub((HEADER + FOOTER) as u64) else {
            return invalid;
        };
        if body == 0 {
            return Ok(0);
        }
        let extents = body.div_ceil(self.sealed_extent() + SALT);
        let before = (extents - 1) * (self.sealed_extent() + SALT);
        let Some(last) = (body - before).checked_sub(SALT) else {
            return invalid;
        };
        let segments = last.div_ceil(self.segment() + TAG as u64);
        if last == 0 || last - (segments - 1) * (self.segment() + TAG as u64) <= TAG as u64 {
            return invalid;
        }
        Ok((extents - 1) * self.extent() + last - TAG as u64 * segments)
    }
}
