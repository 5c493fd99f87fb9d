use super::Params;
use crate::FormatError;
use crate::bytes::{Cursor, Fields};

/// Bytes of the header.
pub const HEADER: usize = 32;

const MAGIC: [u8; 8] = *b"CRBF2\0\r\n";
const VERSION: u8 = 2;
/// AES-256-GCM, HKDF-SHA-256 and HMAC-SHA-256.
const SUITE: u8 = 1;
const NAME_BOUND: u32 = 1;

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
        let mut out = Fields::new();
        out.put(&MAGIC);
        out.put(&[VERSION, SUITE]);
        out.put(&[
            self.params.segment_exponent(),
            self.params.extent_exponent(),
        ]);
        let flags = if self.name_bound { NAME_BOUND } else { 0 };
        out.put(&flags.to_le_bytes());
        out.put(&self.file_id);
        out.finish()
    }

    /// Reads a header; nothing in it is authenticated yet.
    ///
    /// # Errors
    /// [`FormatError::Foreign`], [`FormatError::Unsupported`].
    pub fn decode(bytes: &[u8; HEADER]) -> Result<Self, FormatError> {
        let mut fields = Cursor::new(bytes);
        if fields.array() != Some(MAGIC) {
            return Err(FormatError::Foreign);
        }
        let [version, suite, segment, extent] = fields.array().ok_or(FormatError::Foreign)?;
        if (version, suite) != (VERSION, SUITE) {
            return Err(FormatError::Unsupported("version or cipher suite"));
        }
        let flags = u32::from_le_bytes(fields.array().ok_or(FormatError::Foreign)?);
        if flags & !NAME_BOUND != 0 {
            return Err(FormatError::Unsupported("header flags"));
        }
        Ok(Self {
            params: Params::new(segment, extent)?,
            name_bound: flags & NAME_BOUND != 0,
            file_id: fields.array().ok_or(FormatError::Foreign)?,
        })
    }
}
