//! The image itself, for those who want to look at it.

use std::fs::File;
use std::io::BufRead;
use std::os::unix::fs::FileExt;

use crate::convert::convert;
use crate::device::{BLOCK, Block, Sink};
use crate::{LayerError, Limits};

/// Writes the ext4 image of an uncompressed tar into an empty file and returns its length in bytes. File system and
/// dm-verity tools can judge the result; a root hash does not need it.
///
/// # Errors
///
/// As for [`crate::hash_layer`], or the file cannot be written.
pub fn write_image(tar: impl BufRead, file: &File, limits: &Limits) -> Result<u64, LayerError> {
    let (writer, blocks) = convert(tar, Writer { file, next: 0 }, *limits)?;
    let length = u64::from(blocks) * BLOCK as u64;
    writer
        .file
        .set_len(length)
        .map_err(|source| LayerError::Write { source })?;
    Ok(length)
}

struct Writer<'f> {
    file: &'f File,
    next: u64,
}

impl Writer<'_> {
    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), LayerError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|source| LayerError::Write { source })
    }
}

impl Sink for Writer<'_> {
    fn append(&mut self, blocks: &mut Vec<u8>) -> Result<(), LayerError> {
        self.write(blocks, self.next)?;
        self.next = self.next.saturating_add(blocks.len() as u64);
        Ok(())
    }

    fn zeros(&mut self, count: u32) -> Result<(), LayerError> {
        self.next = self.next.saturating_add(u64::from(count) * BLOCK as u64);
        Ok(())
    }

    fn replace(&mut self, index: u32, block: &Block) -> Result<(), LayerError> {
        self.write(block, u64::from(index) * BLOCK as u64)
    }
}
