use std::ops::Range;

use cleanroom_crypto::{Dek, mac};

use crate::frame::COVERED;
use crate::params::SALT;
use crate::{FOOTER, FileKeys, Footer, FormatError, HEADER, Header, Params, TAG, key_id};

/// Longest salt table that a reader loads: files up to 16 TiB with 4 MiB extents.
const LONGEST_TABLE: u64 = 64 << 20;

/// Which bytes of the blob hold which clear bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Bytes of the blob to fetch.
    pub sealed: Range<u64>,
    /// The clear bytes in them: whole segments around what was asked.
    pub clear: Range<u64>,
}

/// The authenticated frame of one commit of one file: whatever is opened through it belongs to that commit.
#[derive(Debug)]
pub struct View {
    keys: FileKeys,
    footer: Footer,
    table: Vec<u8>,
    blob_len: u64,
}

impl View {
    /// How many bytes at the end of a blob to fetch before [`View::open`], as far as its length and the expected sizes tell.
    ///
    /// # Errors
    /// [`FormatError::Length`] if no v2 file has this length.
    pub fn tail_len(params: Params, blob_len: u64) -> Result<u64, FormatError> {
        if blob_len < (HEADER + FOOTER) as u64 {
            return Err(FormatError::Length { blob: blob_len });
        }
        let extents = blob_len / (params.sealed_extent() + SALT) + 1;
        Ok(blob_len.min(FOOTER as u64 + SALT * extents))
    }

    /// How many bytes at the end of the blob the footer in `tail` asks for; `tail` may be shorter.
    ///
    /// # Errors
    /// As [`View::open`], for what the footer alone shows.
    pub fn needed_tail(blob_len: u64, tail: &[u8]) -> Result<u64, FormatError> {
        let (_, footer) = split_footer(blob_len, tail)?;
        check_length(&footer, blob_len)?;
        let table = SALT * footer.header.params.extents(footer.clear_len);
        if table > LONGEST_TABLE {
            return Err(FormatError::TooLarge);
        }
        Ok(table + FOOTER as u64)
    }

    /// Authenticates the frame of a file from the last bytes of its blob. `path` must be given for a file that is bound to one.
    ///
    /// # Errors
    /// Every variant of [`FormatError`] that tells a changed, foreign, or misplaced file, or a wrong key.
    pub fn open(
        dek: &Dek,
        blob_len: u64,
        tail: &[u8],
        path: Option<&str>,
    ) -> Result<Self, FormatError> {
        let needed = Self::needed_tail(blob_len, tail)?;
        let (before, footer) = split_footer(blob_len, tail)?;
        let front = tail.first_chunk::<HEADER>();
        if tail.len() as u64 == blob_len && front != Some(&footer.header.encode()) {
            return Err(FormatError::Header);
        }
        let table = usize::try_from(needed)
            .ok()
            .and_then(|needed| before.len().checked_sub(needed - FOOTER))
            .and_then(|start| before.get(start..))
            .ok_or(FormatError::Length { blob: blob_len })?;
        if mac::equal(&footer.key_id, &key_id(dek)?).is_err() {
            return Err(FormatError::WrongKey);
        }
        let keys = FileKeys::derive(dek, &footer.header)?;
        let bytes = footer.encode();
        let covered = bytes.get(..COVERED).unwrap_or_default();
        if mac::equal(&keys.commit_mac(table, covered), &footer.mac).is_err() {
            return Err(FormatError::Footer);
        }
        let expected = match (footer.header.name_bound, path) {
            (true, Some(path)) => keys.name_tag(path),
            (true, None) => return Err(FormatError::Name),
            (false, _) => [0; 16],
        };
        if mac::equal(&expected, &footer.name_tag).is_err() {
            return Err(FormatError::Name);
        }
        Ok(Self {
            keys,
            footer,
            table: table.to_vec(),
            blob_len,
        })
    }

    /// Clear length in bytes.
    pub const fn len(&self) -> u64 {
        self.footer.clear_len
    }

    /// Whether the file holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of the blob in bytes.
    pub const fn blob_len(&self) -> u64 {
        self.blob_len
    }

    /// The authenticated footer.
    pub const fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Which bytes to fetch for a clear range; `None` if it holds no byte of the file.
    pub fn plan(&self, clear: Range<u64>) -> Option<Plan> {
        let params = self.footer.header.params;
        let end = clear.end.min(self.len());
        if clear.start >= end {
            return None;
        }
        let first = clear.start / params.segment();
        let last = (end - 1) / params.segment();
        let clear = first * params.segment()..((last + 1) * params.segment()).min(self.len());
        let position = |segment: u64| HEADER as u64 + segment * (params.segment() + TAG);
        // The header comes along with the first segment, so that its bytes are checked too.
        let start = if first == 0 { 0 } else { position(first) };
        let stop = position(last) + (clear.end - last * params.segment()) + TAG;
        Some(Plan {
            sealed: start..stop,
            clear,
        })
    }

    /// Opens what a plan fetched: exactly its clear bytes, of this commit.
    ///
    /// # Errors
    /// [`FormatError::Content`] or [`FormatError::Header`]; nothing of the data is returned then.
    pub fn decrypt(&self, plan: &Plan, mut sealed: Vec<u8>) -> Result<Vec<u8>, FormatError> {
        let wrong = |offset| FormatError::Content { offset };
        let params = self.footer.header.params;
        if sealed.len() as u64 != plan.sealed.end - plan.sealed.start {
            return Err(wrong(plan.clear.start));
        }
        let mut rest = sealed.as_mut_slice();
        if plan.sealed.start == 0 {
            let (header, body) = rest
                .split_first_chunk_mut::<HEADER>()
                .ok_or(FormatError::Header)?;
            if *header != Header::encode(&self.footer.header) {
                return Err(FormatError::Header);
            }
            rest = body;
        }
        let length = usize::try_from(plan.clear.end - plan.clear.start)
            .map_err(|_| FormatError::TooLarge)?;
        let mut clear = Vec::with_capacity(length);
        let step = usize::try_from(params.segment() + TAG).unwrap_or(usize::MAX);
        let mut cipher = None;
        for (number, sealed) in (plan.clear.start / params.segment()..).zip(rest.chunks_mut(step)) {
            let (extent, index) = (
                number / params.segments_per_extent(),
                number % params.segments_per_extent(),
            );
            let offset = number * params.segment();
            let opener = match cipher.take() {
                Some((of, cipher)) if of == extent => cipher,
                _ => self.keys.extent(extent, &self.salt(extent, offset)?)?,
            };
            let part = opener.open(index, sealed).map_err(|_| wrong(offset))?;
            clear.extend_from_slice(part);
            cipher = Some((extent, opener));
        }
        if clear.len() != length {
            return Err(wrong(plan.clear.start));
        }
        Ok(clear)
    }

    fn salt(&self, extent: u64, offset: u64) -> Result<[u8; 16], FormatError> {
        let (salts, _) = self.table.as_chunks::<16>();
        usize::try_from(extent)
            .ok()
            .and_then(|extent| salts.get(extent))
            .copied()
            .ok_or(FormatError::Content { offset })
    }
}

fn split_footer(blob_len: u64, tail: &[u8]) -> Result<(&[u8], Footer), FormatError> {
    let (before, footer) = tail
        .split_last_chunk::<FOOTER>()
        .ok_or(FormatError::Length { blob: blob_len })?;
    Ok((before, Footer::decode(footer)?))
}

fn check_length(footer: &Footer, blob_len: u64) -> Result<(), FormatError> {
    match footer.header.params.clear_len(blob_len) {
        Ok(clear) if clear == footer.clear_len => Ok(()),
        Err(error @ FormatError::TooLarge) => Err(error),
        _ => Err(FormatError::Length { blob: blob_len }),
    }
}
