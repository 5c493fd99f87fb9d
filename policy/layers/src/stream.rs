//! From a blob to pieces of its uncompressed tar, on a thread of its own.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use crate::layer::Compression;
use crate::{Digest, Expected, LayerError, Limits};

/// Bytes handed on together.
const CHUNK: usize = 256 << 10;
/// Pieces in each queue.
pub(crate) const QUEUE: usize = 4;
/// log2 of the most memory that a zstd stream may ask for: 128 MiB, the limit of the `zstd` command.
const ZSTD_WINDOW: u32 = 27;

/// A piece of the tar, shared by those who hash and those who read it.
pub(crate) type Chunk = Arc<Vec<u8>>;

/// Where the pieces go.
pub(crate) struct Outlets<'o> {
    pub(crate) hasher: Sender<Chunk>,
    pub(crate) reader: Sender<Chunk>,
    /// Buffers that nobody needs any more.
    pub(crate) spare: Receiver<Vec<u8>>,
    /// Bytes of all pieces so far.
    pub(crate) unpacked: &'o AtomicU64,
}

/// What is known when a blob has been read to its end.
#[derive(Debug)]
pub(crate) struct BlobRead {
    /// `None`: not compressed, its digest is that of the tar.
    pub(crate) digest: Option<Digest>,
    pub(crate) size: u64,
    pub(crate) compression: Compression,
    pub(crate) tar_size: u64,
}

/// Reads a blob to its end and hands its content on.
pub(crate) fn read(
    source: impl Read,
    expected: &Expected,
    limits: &Limits,
    outlets: Outlets<'_>,
) -> Result<BlobRead, LayerError> {
    let mut blob = Blob::new(source, expected.size);
    let magic = blob.peek()?;
    let compression = match expected.compression {
        None => Compression::sniff(&magic),
        Some(Compression::None) => Compression::None,
        Some(declared) if Compression::sniff(&magic) == declared => declared,
        Some(declared) => {
            blob.start_digest();
            let error = LayerError::NotAsDeclared {
                expected: declared.name(),
            };
            return Err(mismatch_first(&mut blob, expected, error));
        }
    };
    if compression != Compression::None {
        blob.start_digest();
    }
    let mut decoder = Decoder::new(blob, compression)?;
    let mut tar_size = 0_u64;
    loop {
        let mut chunk = outlets.spare.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let mut filled = 0;
        let ended = loop {
            let Some(room) = chunk.get_mut(filled..).filter(|room| !room.is_empty()) else {
                break false;
            };
            match decoder.read(room) {
                Ok(0) => break true,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let blob = decoder.blob();
                    if let Some(failure) = blob.failure.take() {
                        return Err(failure);
                    }
                    let error = LayerError::Compression {
                        format: compression.name(),
                        reason: error.to_string(),
                    };
                    return Err(mismatch_first(blob, expected, error));
                }
            }
        };
        chunk.truncate(filled);
        tar_size = tar_size.saturating_add(filled as u64);
        outlets.unpacked.fetch_add(filled as u64, Ordering::Relaxed);
        limits.bytes(tar_size)?;
        if filled > 0 {
            let chunk = Arc::new(chunk);
            // The hasher ends with this thread; the reader may have ended on an error of its own.
            let sent = outlets.hasher.send(Arc::clone(&chunk)).is_ok()
                && outlets.reader.send(chunk).is_ok();
            if !sent {
                return Err(LayerError::Worker);
            }
        }
        if ended {
            break;
        }
    }
    let blob = decoder.blob();
    let digest = blob.finish_digest();
    let size = blob.size;
    if let Some(expected) = expected.size.filter(|expected| *expected != size) {
        return Err(LayerError::BlobSize {
            expected,
            actual: size,
        });
    }
    Ok(BlobRead {
        digest,
        size,
        compression,
        tar_size,
    })
}

/// The tar in a blob, compressed as its first bytes say.
pub(crate) fn unpacked(source: impl Read) -> Result<impl Read, LayerError> {
    let mut blob = Blob::new(source, None);
    let compression = Compression::sniff(&blob.peek()?);
    Decoder::new(blob, compression)
}

/// A blob that cannot be decoded may simply be the wrong one: its digest says more than the decoder.
fn mismatch_first<R: Read>(
    blob: &mut Blob<R>,
    expected: &Expected,
    error: LayerError,
) -> LayerError {
    let Some(digest) = expected.blob else {
        return error;
    };
    let mut rest = vec![0; CHUNK];
    loop {
        match blob.read(&mut rest) {
            Ok(0) => break,
            Ok(_) => {}
            Err(read) if read.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return blob.failure.take().unwrap_or(LayerError::Read { source }),
        }
    }
    match blob.finish_digest() {
        Some(actual) if actual != digest => LayerError::BlobDigest {
            expected: digest,
            actual,
        },
        _ => error,
    }
}

/// The compressed bytes: counted, hashed, and no more of them than announced.
struct Blob<R> {
    source: R,
    announced: Option<u64>,
    peeked: Vec<u8>,
    peeked_read: usize,
    size: u64,
    digest: Option<Sha256>,
    /// The source's own failure, which decoders would wrap.
    failure: Option<LayerError>,
}

impl<R: Read> Blob<R> {
    fn new(source: R, announced: Option<u64>) -> Self {
        Self {
            source,
            announced,
            peeked: Vec::new(),
            peeked_read: 0,
            size: 0,
            digest: None,
            failure: None,
        }
    }

    /// The first four bytes, which are read again later.
    fn peek(&mut self) -> Result<Vec<u8>, LayerError> {
        let mut first = Vec::new();
        let read = (&mut self.source).take(4).read_to_end(&mut first);
        read.map_err(|source| LayerError::Read { source })?;
        self.size = first.len() as u64;
        self.peeked.clone_from(&first);
        Ok(first)
    }

    /// A tar that is not compressed is hashed elsewhere.
    fn start_digest(&mut self) {
        self.digest = Some(Sha256::new_with_prefix(&self.peeked));
    }

    fn finish_digest(&mut self) -> Option<Digest> {
        let digest = self.digest.take()?;
        Some(Digest::from(<[u8; 32]>::from(digest.finalize())))
    }
}

impl<R: Read> Read for Blob<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let peeked = self.peeked.get(self.peeked_read..).unwrap_or_default();
        if !peeked.is_empty() {
            let read = { peeked }.read(buffer)?;
            self.peeked_read += read;
            return Ok(read);
        }
        let read = loop {
            match self.source.read(buffer) {
                Ok(read) => break read,
                // Here, not above: the decoder of zstd takes an interruption for the end of its input.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    self.failure = Some(LayerError::Read { source: error });
                    return Err(kind.into());
                }
            }
        };
        self.size = self.size.saturating_add(read as u64);
        if let Some(expected) = self.announced.filter(|announced| self.size > *announced) {
            self.failure = Some(LayerError::BlobSize {
                expected,
                actual: expected.saturating_add(1),
            });
            return Err(io::ErrorKind::InvalidData.into());
        }
        if let Some(digest) = &mut self.digest {
            digest.update(buffer.get(..read).unwrap_or_default());
        }
        Ok(read)
    }
}

enum Decoder<R: Read> {
    None(Blob<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Blob<R>>>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Blob<R>>>),
}

impl<R: Read> Decoder<R> {
    fn new(blob: Blob<R>, compression: Compression) -> Result<Self, LayerError> {
        let buffered = |blob| BufReader::with_capacity(CHUNK, blob);
        Ok(match compression {
            Compression::None => Self::None(blob),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(buffered(blob)))),
            Compression::Zstd => {
                let failed = |source| LayerError::Read { source };
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(buffered(blob)).map_err(failed)?;
                decoder.window_log_max(ZSTD_WINDOW).map_err(failed)?;
                Self::Zstd(decoder)
            }
        })
    }

    fn blob(&mut self) -> &mut Blob<R> {
        match self {
            Self::None(blob) => blob,
            Self::Gzip(decoder) => decoder.get_mut().get_mut(),
            Self::Zstd(decoder) => decoder.get_mut().get_mut(),
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(blob) => blob.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// The tar, as its reader sees it.
pub(crate) struct Chunks {
    chunks: Receiver<Chunk>,
    current: Option<Chunk>,
    at: usize,
    spare: Sender<Vec<u8>>,
}

impl Chunks {
    pub(crate) fn new(chunks: Receiver<Chunk>, spare: Sender<Vec<u8>>) -> Self {
        Self {
            chunks,
            current: None,
            at: 0,
            spare,
        }
    }
}

/// Returns a buffer for use if nobody else has it.
pub(crate) fn recycle(chunk: Chunk, spare: &Sender<Vec<u8>>) {
    if let Some(buffer) = Arc::into_inner(chunk) {
        // A full queue has buffers enough.
        let _ = spare.try_send(buffer);
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self
            .current
            .as_ref()
            .is_none_or(|chunk| self.at >= chunk.len())
        {
            if let Some(chunk) = self.current.take() {
                recycle(chunk, &self.spare);
            }
            // The end, or a failure that the sending thread reports.
            self.current = self.chunks.recv().ok();
            self.at = 0;
        }
        let chunk = self.current.as_ref().and_then(|chunk| chunk.get(self.at..));
        Ok(chunk.unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }
}
