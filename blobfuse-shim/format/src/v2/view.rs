use std::ops::Range;
use std::sync::Arc;

use cleanroom_crypto::{Dek, mac};

use super::extent::{Opener, Slot};
use super::keys::{FileKeys, key_id};
use super::params::{LONGEST, MOST_EXTENTS, SALT};
use super::{Draft, FOOTER, Footer, HEADER, Params, TAG};
use crate::reader::units;
use crate::{FormatError, Plan, Reader};

/// The authenticated frame of one commit of one file: whatever is opened through it belongs to that commit.
#[derive(Debug)]
pub struct View {
    keys: Arc<FileKeys>,
    footer: Footer,
    salts: Vec<[u8; 16]>,
    blob_len: u64,
}

impl View {
    /// How many bytes at the end of a blob to fetch before [`View::open`], as far as its length and the expected sizes tell:
    /// never more than the longest salt table and a footer, 64 MiB.
    ///
    /// # Errors
    /// [`FormatError::Length`] if no v2 file has this length; [`FormatError::TooLarge`] from 2^50 bytes on.
    pub fn tail_len(params: Params, blob_len: u64) -> Result<u64, FormatError> {
        if blob_len < (HEADER + FOOTER) as u64 {
            return Err(FormatError::Length { blob: blob_len });
        }
        if blob_len >= LONGEST {
            return Err(FormatError::TooLarge);
        }
        let extents = (blob_len / (params.sealed_extent() + SALT) + 1).min(MOST_EXTENTS);
        Ok(blob_len.min(FOOTER as u64 + SALT * extents))
    }

    /// How many bytes at the end of the blob the footer in `tail` asks for, with the same most as [`View::tail_len`]; `tail`
    /// may be shorter.
    ///
    /// # Errors
    /// As [`View::open`], for what the footer alone shows.
    pub fn needed_tail(blob_len: u64, tail: &[u8]) -> Result<u64, FormatError> {
        let (_, footer) = split_footer(blob_len, tail)?;
        check_length(&footer, blob_len)?;
        let params = footer.header.params;
        params.check_len(footer.clear_len)?;
        Ok(SALT * params.extents(footer.clear_len) + FOOTER as u64)
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
        let (salts, _) = table.as_chunks();
        if mac::equal(&footer.key_id, &key_id(dek)?).is_err() {
            return Err(FormatError::WrongKey);
        }
        let keys = FileKeys::derive(dek, &footer.header)?;
        if mac::equal(&keys.commit_mac(salts, &footer), &footer.mac).is_err() {
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
            keys: Arc::new(keys),
            footer,
            salts: salts.to_vec(),
            blob_len,
        })
    }

    /// The view of a commit that was just made: what [`View::open`] would return for it.
    pub(super) const fn of_commit(
        keys: Arc<FileKeys>,
        footer: Footer,
        salts: Vec<[u8; 16]>,
        blob_len: u64,
    ) -> Self {
        Self {
            keys,
            footer,
            salts,
            blob_len,
        }
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

    /// The file's own sizes; they may differ from what the mount writes.
    pub const fn params(&self) -> Params {
        self.footer.header.params
    }

    /// Starts the next commit of this file: same file id, all extents as they are.
    pub fn edit(&self) -> Draft {
        let slots = (0..).zip(&self.salts).map(|(index, salt)| Slot {
            salt: *salt,
            clear: self.params().clear_in(index, self.len()),
        });
        Draft::continued(
            Arc::clone(&self.keys),
            &self.footer,
            slots.map(Some).collect(),
        )
    }

    /// Which bytes to fetch for a clear range; `None` if it holds no byte of the file.
    ///
    /// A plan from byte 0 on brings the header along, so that its bytes are checked too.
    pub fn plan(&self, clear: Range<u64>) -> Option<Plan> {
        let params = self.params();
        let segments = units(&clear, self.len(), params.segment())?;
        let clear =
            segments.start * params.segment()..(segments.end * params.segment()).min(self.len());
        let start = match segments.start {
            0 => 0,
            first => params.sealed_offset(first),
        };
        let last = segments.end - 1;
        let stop = params.sealed_offset(last) + (clear.end - last * params.segment()) + TAG as u64;
        Some(Plan {
            sealed: start..stop,
            clear,
        })
    }

    /// Opens what a plan fetched into `clear`, which is as long as the plan's clear range.
    ///
    /// # Errors
    /// [`FormatError::Content`] or [`FormatError::Header`]: `clear` holds nothing that may be used then;
    /// [`FormatError::Fetched`] and [`FormatError::Buffer`] for buffers of other lengths.
    pub fn open_into(
        &self,
        plan: &Plan,
        sealed: &[u8],
        clear: &mut [u8],
    ) -> Result<(), FormatError> {
        plan.check(sealed, clear)?;
        let opener = Opener {
            keys: &self.keys,
            params: self.params(),
            salts: &self.salts,
        };
        let first = plan.clear.start / self.params().segment();
        let opened = match (plan.sealed.start, sealed.split_first_chunk::<HEADER>()) {
            (0, Some((header, body))) if *header == self.footer.header.encode() => {
                opener.open(first, body, clear)
            }
            (0, _) => Err(FormatError::Header),
            _ => opener.open(first, sealed, clear),
        };
        if opened.is_err() {
            clear.fill(0);
        }
        opened
    }

    /// Opens what a plan fetched: exactly its clear bytes, of this commit.
    ///
    /// # Errors
    /// As [`View::open_into`].
    pub fn decrypt(&self, plan: &Plan, sealed: Vec<u8>) -> Result<Vec<u8>, FormatError> {
        let length = plan.clear.end - plan.clear.start;
        let length = usize::try_from(length).map_err(|_| FormatError::TooLarge)?;
        let mut clear = vec![0; length];
        self.open_into(plan, &sealed, &mut clear)?;
        Ok(clear)
    }
}

impl Reader for View {
    fn len(&self) -> u64 {
        self.len()
    }

    fn unit(&self) -> u64 {
        self.params().segment()
    }

    fn plan(&self, clear: Range<u64>) -> Option<Plan> {
        self.plan(clear)
    }

    fn open(&self, plan: &Plan, sealed: &[u8], clear: &mut [u8]) -> Result<(), FormatError> {
        self.open_into(plan, sealed, clear)
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
