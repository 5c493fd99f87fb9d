use std::fmt::Debug;
use std::ops::Range;

use crate::FormatError;

/// Which bytes of the blob hold which clear bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Bytes of the blob to fetch.
    pub sealed: Range<u64>,
    /// The clear bytes in them: whole sealed units around what was asked.
    pub clear: Range<u64>,
}

impl Plan {
    /// Checks the buffers of an `open`.
    pub(crate) fn check(&self, sealed: &[u8], clear: &[u8]) -> Result<(), FormatError> {
        if clear.len() as u64 != self.clear.end - self.clear.start {
            return Err(FormatError::Buffer("for opened data"));
        }
        if sealed.len() as u64 != self.sealed.end - self.sealed.start {
            return Err(FormatError::Fetched {
                wanted: self.sealed.end - self.sealed.start,
                got: sealed.len() as u64,
            });
        }
        Ok(())
    }
}

/// One version of one file, opened for reading in the layout that the contract names.
///
/// A reader fetches nothing: it says which bytes it needs, and opens them into the caller's buffer. It is shared between
/// threads, and calls do not depend on each other.
pub trait Reader: Debug + Send + Sync {
    /// Clear length in bytes.
    fn len(&self) -> u64;

    /// Whether the file holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Clear bytes of the unit that is opened as one: a plan covers whole units.
    fn unit(&self) -> u64;

    /// Which bytes to fetch for a clear range; `None` if it holds no byte of the file.
    fn plan(&self, clear: Range<u64>) -> Option<Plan>;

    /// Opens what a plan fetched into `clear`, which is as long as the plan's clear range. After an error the buffer holds
    /// nothing that may be used.
    ///
    /// # Errors
    /// [`FormatError::Buffer`] and [`FormatError::Fetched`] for buffers of other lengths; else what the layout tells of
    /// changed content.
    fn open(&self, plan: &Plan, sealed: &[u8], clear: &mut [u8]) -> Result<(), FormatError>;
}

/// The units that hold a clear range of a file of `length` bytes; `None` if it holds none.
pub(crate) fn units(clear: &Range<u64>, length: u64, unit: u64) -> Option<Range<u64>> {
    let end = clear.end.min(length);
    (clear.start < end).then(|| clear.start / unit..end.div_ceil(unit))
}
