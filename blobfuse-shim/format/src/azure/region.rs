use std::ops::Range;

use cleanroom_crypto::aead::TAG;

use crate::FormatError;

/// Bytes of a nonce, as the envelope must say.
pub(super) const NONCE: usize = 12;
const OVERHEAD: usize = NONCE + TAG;
/// Up to here no nonce means two places in two of the three encodings: Java's for region 256 is .NET's for region 65535.
const MOST_REGIONS: u64 = 65_535;
/// Readers hold a region in memory.
const LONGEST: u32 = 64 << 20;

/// Clear bytes of a region.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RegionSize(u32);

impl Default for RegionSize {
    /// 4 MiB: what version 2.0 fixes and every SDK writes.
    fn default() -> Self {
        Self(4 << 20)
    }
}

impl RegionSize {
    /// 16 bytes to 64 MiB. Version 2.1 allows up to 1 GiB, which would have to fit in memory at once.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`].
    pub const fn new(bytes: u32) -> Result<Self, FormatError> {
        if bytes < 16 || bytes > LONGEST {
            return Err(FormatError::Unsupported("region length"));
        }
        Ok(Self(bytes))
    }

    /// Clear bytes of a region.
    pub const fn bytes(self) -> u64 {
        self.0 as u64
    }

    /// Sealed bytes of a whole region.
    pub const fn sealed(self) -> u64 {
        self.bytes() + OVERHEAD as u64
    }

    /// The region size as a length of buffers.
    pub(super) const fn size(self) -> usize {
        self.0 as usize
    }

    /// The sealed region size as a length of buffers.
    pub(super) const fn chunk(self) -> usize {
        self.size() + OVERHEAD
    }

    /// Sealed bytes of a region that holds `clear` bytes.
    pub const fn sealed_len(clear: u64) -> u64 {
        clear.saturating_add(OVERHEAD as u64)
    }

    /// Regions of a file of `clear` bytes.
    pub const fn regions(self, clear: u64) -> u64 {
        clear.div_ceil(self.bytes())
    }

    /// Length of the blob that holds `clear` bytes.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] from 65 536 regions on: 256 GiB with 4 MiB regions.
    pub const fn blob_len(self, clear: u64) -> Result<u64, FormatError> {
        if self.regions(clear) > MOST_REGIONS {
            return Err(FormatError::TooLarge);
        }
        Ok(clear + self.regions(clear) * OVERHEAD as u64)
    }

    /// Number of clear bytes in a blob of a given length.
    ///
    /// # Errors
    /// [`FormatError::Length`] for lengths that no file has; [`FormatError::TooLarge`].
    pub const fn clear_len(self, blob: u64) -> Result<u64, FormatError> {
        let regions = blob.div_ceil(self.sealed());
        if regions > MOST_REGIONS {
            return Err(FormatError::TooLarge);
        }
        let last = blob % self.sealed();
        if last != 0 && last <= OVERHEAD as u64 {
            return Err(FormatError::Length { blob });
        }
        Ok(blob - regions * OVERHEAD as u64)
    }

    /// Which bytes of the blob hold region `index` of a file of `clear` bytes; an empty range behind the end.
    pub fn sealed_range(self, index: u64, clear: u64) -> Range<u64> {
        let start = index.saturating_mul(self.sealed());
        match clear.saturating_sub(index.saturating_mul(self.bytes())) {
            0 => start..start,
            left => start..start.saturating_add(Self::sealed_len(left.min(self.bytes()))),
        }
    }
}

/// The nonce that the Python SDK gives to region `index`; ours too.
pub(super) const fn nonce(index: u64) -> [u8; NONCE] {
    let [a, b, c, d, e, f, g, h] = index.to_be_bytes();
    [0, 0, 0, 0, a, b, c, d, e, f, g, h]
}

/// Whether a nonce says that it is region `index`: as the Python, the Java, or the .NET SDK writes it.
pub(super) fn is_nonce_of(index: u64, nonce: &[u8; NONCE]) -> bool {
    let [a, b, c, d, e, f, g, h] = index.to_be_bytes();
    let java = [a, b, c, d, e, f, g, h, 0, 0, 0, 0];
    let [a, b, c, d, e, f, g, h] = (index + 1).to_le_bytes();
    let dotnet = [0, 0, 0, 0, a, b, c, d, e, f, g, h];
    [self::nonce(index), java, dotnet].contains(nonce)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{MOST_REGIONS, is_nonce_of, nonce};

    #[test]
    fn no_nonce_means_two_regions() {
        let encodings = |index: u64| {
            let mut java = [0; 12];
            java[..8].copy_from_slice(&index.to_be_bytes());
            let mut dotnet = [0; 12];
            dotnet[4..].copy_from_slice(&(index + 1).to_le_bytes());
            [nonce(index), java, dotnet]
        };
        let mut seen = HashMap::new();
        for index in 0..MOST_REGIONS {
            for nonce in encodings(index) {
                assert!(is_nonce_of(index, &nonce));
                assert_eq!(*seen.entry(nonce).or_insert(index), index);
            }
        }
        // The first one that would.
        assert_eq!(seen.get(&encodings(MOST_REGIONS)[2]), Some(&256));
        assert!(!is_nonce_of(1, &nonce(2)));
    }
}
