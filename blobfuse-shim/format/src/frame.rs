//! Header and footer, byte for byte.

use crate::{FormatError, Params};

/// Bytes of the header.
pub const HEADER: usize = 32;
/// Bytes of the footer.
pub const FOOTER: usize = 144;
/// Bytes of the footer that the commit MAC covers.
pub(crate) const COVERED: usize = 104;

const MAGIC: [u8; 8] = *b"CRBF2\0\r\n";
const END: [u8; 8] = *b"CRBF2END";
const VERSION: u8 = 2;
const SUITE: u8 = 1;
const NAME_BOUND: u32 = 1;
const COMMITTED: u32 = 1;

/// What is fixed when a file is created.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Sizes.
    pub params: Params,
    /// Whether the footer binds the path.
    pub name_bound: bool,
    /// Random at each creation or truncation to zero.
    pub file_id: [u8; 16],
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = Fields::<HEADER>::new();
        out.put(&MAGIC);
        out.put(&[VERSION, SUITE]);
        out.put(&[
            self.params.segment_exponent(),
            self.params.extent_exponent(),
        ]);
        let flags = if self.name_bound { NAME_BOUND } else { 0 };
        out.put(&flags.to_le_bytes());
        out.put(&self.file_id);
        out.bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FormatError::Foreign`], [`FormatError::Unsupported`].
    pub fn decode(bytes: &[u8; HEADER]) -> Result<Self, FormatError> {
        let mut fields = Reader(bytes);
        if fields.take::<8>()? != MAGIC {
            return Err(FormatError::Foreign);
        }
        let [version, suite, segment, extent] = fields.take()?;
        if (version, suite) != (VERSION, SUITE) {
            return Err(FormatError::Unsupported("version or cipher suite"));
        }
        let flags = u32::from_le_bytes(fields.take()?);
        if flags & !NAME_BOUND != 0 {
            return Err(FormatError::Unsupported("header flags"));
        }
        Ok(Self {
            params: Params::new(segment, extent)?,
            name_bound: flags & NAME_BOUND != 0,
            file_id: fields.take()?,
        })
    }
}

/// What one commit fixes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Footer {
    /// Copy of the header.
    pub header: Header,
    /// Tells another key from a changed file.
    pub key_id: [u8; 16],
    /// Clear length in bytes.
    pub clear_len: u64,
    /// Counts the commits of this file id, from 1.
    pub generation: u64,
    /// Unix time in nanoseconds; 0 = unset.
    pub mtime_ns: u64,
    /// POSIX mode bits; 0 = unset.
    pub mode: u32,
    /// Binds the path, or zeros.
    pub name_tag: [u8; 16],
    /// MAC over table and footer.
    pub mac: [u8; 32],
}

impl Footer {
    /// The footer's bytes.
    pub fn encode(&self) -> [u8; FOOTER] {
        let mut out = Fields::<FOOTER>::new();
        out.put(&self.header.encode());
        out.put(&self.key_id);
        out.put(&self.clear_len.to_le_bytes());
        out.put(&self.generation.to_le_bytes());
        out.put(&self.mtime_ns.to_le_bytes());
        out.put(&self.mode.to_le_bytes());
        out.put(&COMMITTED.to_le_bytes());
        out.put(&self.name_tag);
        out.put(&[0; 8]);
        out.put(&self.mac);
        out.put(&END);
        out.bytes
    }

    /// Reads a footer; nothing in it is authenticated yet.
    ///
    /// # Errors
    /// [`FormatError::Foreign`], [`FormatError::Unsupported`].
    pub fn decode(bytes: &[u8; FOOTER]) -> Result<Self, FormatError> {
        let mut fields = Reader(bytes);
        let header = fields.take()?;
        let footer = Self {
            header: Header::decode(&header)?,
            key_id: fields.take()?,
            clear_len: u64::from_le_bytes(fields.take()?),
            generation: u64::from_le_bytes(fields.take()?),
            mtime_ns: u64::from_le_bytes(fields.take()?),
            mode: u32::from_le_bytes(fields.take()?),
            name_tag: {
                if u32::from_le_bytes(fields.take()?) != COMMITTED {
                    return Err(FormatError::Unsupported("footer flags"));
                }
                fields.take()?
            },
            mac: {
                if fields.take::<8>()? != [0; 8] {
                    return Err(FormatError::Unsupported("reserved footer bytes"));
                }
                fields.take()?
            },
        };
        if fields.take::<8>()? != END {
            return Err(FormatError::Foreign);
        }
        Ok(footer)
    }
}

struct Fields<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Fields<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            at: 0,
        }
    }

    fn put(&mut self, field: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.at).zip(field) {
            *to = *from;
        }
        self.at += field.len();
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(FormatError::Foreign)?;
        self.0 = rest;
        Ok(*field)
    }
}
