use std::collections::BTreeMap;
use std::fmt;

use cleanroom_crypto::digest::sha256;

use crate::EvidenceError;

/// Number of PCRs of a PC client TPM.
pub const PCRS: u8 = 24;

/// SHA-256 values of PCRs, by index.
pub type PcrValues = BTreeMap<u8, [u8; 32]>;

/// A set of PCRs.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct PcrSelection(u32);

impl PcrSelection {
    /// All 24.
    pub const ALL: Self = Self(0x00ff_ffff);

    /// The PCRs of these indices; all 24 if there are none, as clients of the agent expect.
    ///
    /// # Errors
    /// [`EvidenceError::PcrIndex`] beyond 23.
    pub fn of(indices: &[i64]) -> Result<Self, EvidenceError> {
        if indices.is_empty() {
            return Ok(Self::ALL);
        }
        let mut bits = 0;
        for index in indices {
            let bit = u32::try_from(*index)
                .ok()
                .filter(|index| *index < u32::from(PCRS))
                .and_then(|index| 1_u32.checked_shl(index))
                .ok_or(EvidenceError::PcrIndex { index: *index })?;
            bits |= bit;
        }
        Ok(Self(bits))
    }

    pub(crate) const fn of_bits(bits: u32) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    pub(crate) fn of_values(values: &PcrValues) -> Self {
        Self(values.keys().fold(0, |bits, index| {
            bits | 1_u32.checked_shl(u32::from(*index)).unwrap_or(0)
        }))
    }

    /// The indices, ascending.
    pub fn indices(self) -> impl Iterator<Item = u8> {
        (0..PCRS).filter(move |index| self.0 & (1 << index) != 0)
    }
}

impl fmt::Display for PcrSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indices: Vec<String> = self.indices().map(|index| index.to_string()).collect();
        write!(f, "{{{}}}", indices.join(","))
    }
}

impl fmt::Debug for PcrSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-256 over the values in the order of their indices (TPM 2.0 Part 1, "Attesting to PCR").
pub(crate) fn digest(values: &PcrValues) -> [u8; 32] {
    let concatenated: Vec<u8> = values.values().flatten().copied().collect();
    sha256(&concatenated)
}
