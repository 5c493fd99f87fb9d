use crate::{FOOTER, FormatError, HEADER};

/// Bytes that sealing adds to a segment.
pub const TAG: u64 = 16;
/// Bytes of a salt in the table.
pub(crate) const SALT: u64 = 16;
/// No honest blob is longer; below it no size computation can overflow.
const LONGEST: u64 = 1 << 50;

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
        self.extent() + TAG * self.segments_per_extent()
    }

    /// Number of extents of a file of `clear` bytes.
    pub const fn extents(self, clear: u64) -> u64 {
        clear.div_ceil(self.extent())
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
        Ok(HEADER as u64 + clear + TAG * segments + SALT * self.extents(clear) + FOOTER as u64)
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
        let segments = last.div_ceil(self.segment() + TAG);
        if last == 0 || last - (segments - 1) * (self.segment() + TAG) <= TAG {
            return invalid;
        }
        Ok((extents - 1) * self.extent() + last - TAG * segments)
    }
}
