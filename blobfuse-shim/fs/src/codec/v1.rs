use std::ops::Range;
use std::sync::Arc;

use blob_format::v1::{BlockCipher, BlockSize, FileV1, TRAILER};
use blob_format::{Attributes, FormatError, Reader};
use blob_store::Metadata;

use super::{Codec, Committed, Frame, Mark, Opened, Stored, buffer};
use crate::FsError;

/// A file in upstream's format. Its blocks are sealed and opened whole, and each stands for itself.
#[derive(Debug)]
pub(super) struct V1 {
    cipher: Arc<BlockCipher>,
}

#[derive(Debug)]
struct File {
    cipher: Arc<BlockCipher>,
    file: FileV1,
}

/// Opens a file from its length and trailer, of which nothing is authenticated.
pub(super) fn open(cipher: Arc<BlockCipher>, stored: &Stored<'_>) -> Result<Opened, FsError> {
    let wanted = buffer(stored.length.min(TRAILER as u64))?;
    let start = stored.tail.len().saturating_sub(wanted);
    let trailer = stored.tail.get(start..).unwrap_or_default();
    let file = FileV1::open(Arc::clone(&cipher), stored.length, trailer)?;
    Ok(Opened {
        len: file.len(),
        frame: Arc::new(File { cipher, file }),
        attributes: Attributes::default(),
        entry: None,
    })
}

impl File {
    fn size(&self) -> BlockSize {
        self.cipher.size()
    }
}

impl Frame for File {
    fn extent(&self) -> u64 {
        self.size().bytes()
    }

    fn unit(&self) -> u64 {
        self.size().bytes()
    }

    fn stored(&self, index: u64, clear: Range<u64>) -> Range<u64> {
        super::stored(&self.file, self.extent(), index, &clear)
    }

    fn open(&self, index: u64, clear: Range<u64>, stored: &[u8]) -> Result<Vec<u8>, FsError> {
        let block = self.file.open_block(index, stored)?;
        if block.len() as u64 != clear.end - clear.start || clear.start != 0 {
            return Err(FormatError::Buffer("for opened data").into());
        }
        Ok(block)
    }

    fn open_with(
        &self,
        index: u64,
        clear: Range<u64>,
        stored: &[u8],
        spare: &dyn Fn(usize) -> Vec<u8>,
    ) -> Result<Vec<u8>, FsError> {
        if clear.end - clear.start < self.extent() {
            // Opened with its padding, which is cut off in place.
            return self.open(index, clear, stored);
        }
        super::open_with(&self.file, self.extent(), index, &clear, stored, spare)
    }

    /// The last block is opened with its padding.
    fn room(&self, _index: u64, _clear: Range<u64>) -> u64 {
        self.size().sealed() + self.size().bytes()
    }

    fn edit(&self) -> Result<Arc<dyn Codec>, FsError> {
        Ok(Arc::new(V1::new(Arc::clone(&self.cipher))))
    }
}

impl V1 {
    pub(super) const fn new(cipher: Arc<BlockCipher>) -> Self {
        Self { cipher }
    }
}

impl Codec for V1 {
    fn extent(&self) -> u64 {
        self.cipher.size().bytes()
    }

    fn unit(&self) -> u64 {
        self.cipher.size().bytes()
    }

    /// Under a fresh nonce each time: a block may be sealed again, with other content or the same.
    fn seal(&self, _index: u64, clear: &[u8]) -> Result<(Vec<u8>, Mark), FsError> {
        let sealed = buffer(self.cipher.size().sealed())?;
        // A file of one block goes out with its trailer: room for it, so that the block is not copied.
        let mut out = Vec::with_capacity(sealed + TRAILER);
        out.resize(sealed, 0);
        self.cipher.seal(clear, &mut out)?;
        Ok((out, None))
    }

    /// Padding is zeros, too.
    fn seal_zeros(&self, index: u64, _len: u64) -> Result<(Vec<u8>, Mark), FsError> {
        self.seal(index, &[0])
    }

    fn commit(
        &self,
        _path: &str,
        len: u64,
        _sealed: Vec<Mark>,
        _attributes: Attributes,
    ) -> Result<Committed, FsError> {
        let size = self.cipher.size();
        let trailer = size.trailer(len);
        let cipher = Arc::clone(&self.cipher);
        let file = FileV1::open(Arc::clone(&cipher), size.blob_len(len)?, &trailer)?;
        Ok(Committed {
            trailer: trailer.to_vec(),
            metadata: Metadata::new(),
            frame: Arc::new(File { cipher, file }),
            entry: None,
        })
    }
}
