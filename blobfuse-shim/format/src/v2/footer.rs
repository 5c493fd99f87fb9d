use super::{HEADER, Header};
use crate::FormatError;
use crate::bytes::{Cursor, Fields};

/// Bytes of the footer.
pub const FOOTER: usize = 144;
/// Bytes of the footer that the commit MAC covers.
const COVERED: usize = 104;

const END: [u8; 8] = *b"CRBF2END";
const COMMITTED: u32 = 1;

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
    /// MAC over salts and footer.
    pub mac: [u8; 32],
}

impl Footer {
    /// The footer's bytes.
    pub fn encode(&self) -> [u8; FOOTER] {
        let mut out = Fields::new();
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
        out.finish()
    }

    /// The part that the MAC covers.
    pub(super) fn covered(&self) -> [u8; COVERED] {
        let mut out = Fields::new();
        out.put(self.encode().split_at(COVERED).0);
        out.finish()
    }

    /// Reads a footer; nothing in it is authenticated yet.
    ///
    /// # Errors
    /// [`FormatError::Foreign`], [`FormatError::Unsupported`].
    pub fn decode(bytes: &[u8; FOOTER]) -> Result<Self, FormatError> {
        // Before anything else: the end of a file that was cut off holds no footer.
        if !bytes.ends_with(&END) {
            return Err(FormatError::Foreign);
        }
        let mut fields = Cursor::new(bytes);
        let header = take::<HEADER>(&mut fields)?;
        let header = Header::decode(&header)?;
        let key_id = take(&mut fields)?;
        let clear_len = u64::from_le_bytes(take(&mut fields)?);
        let generation = u64::from_le_bytes(take(&mut fields)?);
        let mtime_ns = u64::from_le_bytes(take(&mut fields)?);
        let mode = u32::from_le_bytes(take(&mut fields)?);
        if u32::from_le_bytes(take(&mut fields)?) != COMMITTED {
            return Err(FormatError::Unsupported("footer flags"));
        }
        let name_tag = take(&mut fields)?;
        if take(&mut fields)? != [0; 8] {
            return Err(FormatError::Unsupported("reserved footer bytes"));
        }
        let mac = take(&mut fields)?;
        Ok(Self {
            header,
            key_id,
            clear_len,
            generation,
            mtime_ns,
            mode,
            name_tag,
            mac,
        })
    }
}

fn take<const N: usize>(fields: &mut Cursor<'_>) -> Result<[u8; N], FormatError> {
    fields.array().ok_or(FormatError::Foreign)
}
