use std::ops::Range;
use std::sync::Arc;

use cleanroom_crypto::Zeroizing;

use super::{BlockCipher, TRAILER};
use crate::reader::units;
use crate::{FormatError, Plan, Reader};

/// One file of format v1, opened for reading. Its length is the storage service's word.
#[derive(Debug)]
pub struct FileV1 {
    cipher: Arc<BlockCipher>,
    length: u64,
}

impl FileV1 {
    /// Opens a file from the length and the last 8 bytes of its blob; a blob of 0 bytes has no trailer and is an empty file.
    ///
    /// # Errors
    /// [`FormatError::BlockSize`], [`FormatError::Padding`], [`FormatError::TooLarge`]; [`FormatError::Fetched`] for a
    /// trailer of another length.
    pub fn open(
        cipher: Arc<BlockCipher>,
        blob_len: u64,
        trailer: &[u8],
    ) -> Result<Self, FormatError> {
        let size = cipher.size();
        size.blocks(blob_len)?;
        let wanted = blob_len.min(TRAILER as u64);
        if trailer.len() as u64 != wanted {
            return Err(FormatError::Fetched {
                wanted,
                got: trailer.len() as u64,
            });
        }
        let trailer = trailer.first_chunk().copied().unwrap_or_default();
        let length = size.clear_len(blob_len, trailer)?;
        Ok(Self { cipher, length })
    }

    /// Opens one block and returns its content. The last one comes with its padding, which must be zeros: other bytes are
    /// content that a changed trailer hides.
    ///
    /// # Errors
    /// [`FormatError::Block`], [`FormatError::PaddingContent`]; [`FormatError::Buffer`] for a chunk of another length or
    /// a block that the file does not have.
    pub fn open_block(&self, index: u64, sealed: &[u8]) -> Result<Vec<u8>, FormatError> {
        let size = self.cipher.size();
        let start = index.saturating_mul(size.bytes());
        let content = self.length.saturating_sub(start).min(size.bytes());
        let content = usize::try_from(content).map_err(|_| FormatError::TooLarge)?;
        if sealed.len() != size.chunk() || content == 0 {
            return Err(FormatError::Buffer("of a sealed block"));
        }
        let mut block = Zeroizing::new(vec![0; size.size()]);
        self.cipher.open(index, sealed, &mut block)?;
        let padding = block.get(content..).unwrap_or_default();
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FormatError::PaddingContent { index });
        }
        let mut block = std::mem::take(&mut *block);
        block.truncate(content);
        block.shrink_to_fit();
        Ok(block)
    }
}

impl Reader for FileV1 {
    fn len(&self) -> u64 {
        self.length
    }

    fn unit(&self) -> u64 {
        self.cipher.size().bytes()
    }

    fn plan(&self, clear: Range<u64>) -> Option<Plan> {
        let size = self.cipher.size();
        let blocks = units(&clear, self.length, size.bytes())?;
        Some(Plan {
            sealed: blocks.start * size.sealed()..blocks.end * size.sealed(),
            clear: blocks.start * size.bytes()..(blocks.end * size.bytes()).min(self.length),
        })
    }

    fn open(&self, plan: &Plan, sealed: &[u8], clear: &mut [u8]) -> Result<(), FormatError> {
        plan.check(sealed, clear)?;
        let size = self.cipher.size();
        let chunk = size.chunk();
        if sealed.len() != clear.len().div_ceil(size.size()) * chunk {
            return Err(FormatError::Buffer("for opened blocks"));
        }
        let first = plan.clear.start / size.bytes();
        let opened = (first..)
            .zip(sealed.chunks(chunk).zip(clear.chunks_mut(size.size())))
            .try_for_each(|(index, (sealed, clear))| {
                if clear.len() == size.size() {
                    self.cipher.open(index, sealed, clear)
                } else {
                    let block = Zeroizing::new(self.open_block(index, sealed)?);
                    if block.len() != clear.len() {
                        return Err(FormatError::Buffer("for opened data"));
                    }
                    clear.copy_from_slice(&block);
                    Ok(())
                }
            });
        if opened.is_err() {
            clear.fill(0);
        }
        opened
    }
}
