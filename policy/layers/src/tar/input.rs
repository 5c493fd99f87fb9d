//! A stream of bytes that knows where it is.

use std::io::{BufRead, ErrorKind};

use crate::LayerError;

/// What became of an attempt to fill a buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Filled {
    Whole,
    /// The stream ended first, after at least one byte.
    Part,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Input<R> {
    stream: R,
    offset: u64,
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, offset: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn truncated(&self) -> LayerError {
        LayerError::Truncated {
            offset: self.offset,
        }
    }

    fn available(&mut self) -> Result<&[u8], LayerError> {
        loop {
            match self.stream.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(LayerError::Read { source }),
            }
        }
        // A second call returns what the first one filled.
        self.stream
            .fill_buf()
            .map_err(|source| LayerError::Read { source })
    }

    /// At least one and at most `most` bytes, not yet consumed.
    pub(super) fn part(&mut self, most: u64) -> Result<&[u8], LayerError> {
        let offset = self.offset;
        let part = self.available()?;
        if part.is_empty() {
            return Err(LayerError::Truncated { offset });
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(part.get(..most).unwrap_or(part))
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.stream.consume(bytes);
        self.offset = self.offset.saturating_add(bytes as u64);
    }

    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<Filled, LayerError> {
        let mut filled = 0;
        while let Some(left) = buffer.get_mut(filled..).filter(|left| !left.is_empty()) {
            let part = self.available()?;
            let read = part.len().min(left.len());
            if read == 0 {
                return Ok(if filled == 0 {
                    Filled::Nothing
                } else {
                    Filled::Part
                });
            }
            let (Some(left), Some(part)) = (left.get_mut(..read), part.get(..read)) else {
                break;
            };
            left.copy_from_slice(part);
            self.consume(read);
            filled += read;
        }
        Ok(Filled::Whole)
    }

    pub(super) fn exact(&mut self, buffer: &mut [u8]) -> Result<(), LayerError> {
        match self.fill(buffer)? {
            Filled::Whole => Ok(()),
            Filled::Part | Filled::Nothing => Err(self.truncated()),
        }
    }

    pub(super) fn skip(&mut self, mut bytes: u64) -> Result<(), LayerError> {
        while bytes > 0 {
            let read = self.part(bytes)?.len();
            self.consume(read);
            bytes -= read as u64;
        }
        Ok(())
    }
}
