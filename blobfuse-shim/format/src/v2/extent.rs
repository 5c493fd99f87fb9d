use super::Params;
use super::keys::{ExtentCipher, FileKeys};
use crate::FormatError;

/// Proof that an extent was sealed, to be put into the [`Draft`](super::Draft) that sealed it.
///
/// It holds the salt of that one sealing, which nobody else may use; therefore it is neither `Clone` nor made elsewhere.
#[derive(Debug)]
#[must_use = "an extent that is not placed is not part of the next commit"]
pub struct SealedExtent {
    pub(super) file_id: [u8; 16],
    pub(super) index: u64,
    pub(super) slot: Slot,
}

impl SealedExtent {
    /// Which extent of the file it is.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The salt of this sealing; the file's salt table shows it, too.
    pub const fn salt(&self) -> [u8; 16] {
        self.slot.salt
    }
}

/// What a commit must know of an extent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) salt: [u8; 16],
    /// Clear bytes in it.
    pub(super) clear: u64,
}

/// Seals one extent into a buffer of exactly [`Params::sealed_len`] bytes.
pub(super) fn seal(
    keys: &FileKeys,
    params: Params,
    index: u64,
    salt: &[u8; 16],
    clear: &[u8],
    sealed: &mut [u8],
) -> Result<(), FormatError> {
    if sealed.len() as u64 != params.sealed_len(clear.len() as u64) {
        return Err(FormatError::Buffer("for a sealed extent"));
    }
    let cipher = keys.extent(index, salt)?;
    let segment = params.segment_size();
    let parts = clear
        .chunks(segment)
        .zip(sealed.chunks_mut(segment + super::TAG));
    for (number, (clear, sealed)) in (0..).zip(parts) {
        cipher.seal(number, clear, sealed)?;
    }
    Ok(())
}

/// Opens consecutive segments of one file into one buffer.
pub(super) struct Opener<'a> {
    pub(super) keys: &'a FileKeys,
    pub(super) params: Params,
    pub(super) salts: &'a [[u8; 16]],
}

impl Opener<'_> {
    /// `first` is the number of the first segment, counted from the start of the file.
    pub(super) fn open(
        &self,
        first: u64,
        sealed: &[u8],
        clear: &mut [u8],
    ) -> Result<(), FormatError> {
        if sealed.len() as u64 != self.params.sealed_len(clear.len() as u64) {
            return Err(FormatError::Buffer("for opened segments"));
        }
        let segment = self.params.segment_size();
        let parts = sealed
            .chunks(segment + super::TAG)
            .zip(clear.chunks_mut(segment));
        let mut current: Option<(u64, ExtentCipher)> = None;
        for (number, (sealed, clear)) in (first..).zip(parts) {
            let per_extent = self.params.segments_per_extent();
            let (extent, index) = (number / per_extent, number % per_extent);
            let changed = FormatError::Content {
                offset: number * self.params.segment(),
            };
            let cipher = match current.take() {
                Some((of, cipher)) if of == extent => cipher,
                _ => {
                    let salt = usize::try_from(extent)
                        .ok()
                        .and_then(|extent| self.salts.get(extent));
                    self.keys
                        .extent(extent, salt.ok_or_else(|| changed.clone())?)?
                }
            };
            cipher.open(index, sealed, clear).map_err(|_| changed)?;
            current = Some((extent, cipher));
        }
        Ok(())
    }
}
