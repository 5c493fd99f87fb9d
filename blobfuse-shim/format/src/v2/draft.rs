use std::sync::Arc;

use cleanroom_crypto::{Dek, random};

use super::extent::{Slot, seal};
use super::keys::{FileKeys, key_id};
use super::{Footer, Header, Params, SealedExtent, View};
use crate::FormatError;

/// What a commit records beside the content.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Attributes {
    /// Unix time in nanoseconds; 0 = unset.
    pub mtime_ns: u64,
    /// POSIX mode bits; 0 = unset.
    pub mode: u32,
}

/// One commit: the bytes behind the blocks handed out so far, and the footer in them.
#[derive(Debug)]
pub struct Committed {
    /// Everything that belongs behind the blocks handed out so far. Valid for this commit only.
    pub tail: Vec<u8>,
    /// The footer at its end.
    pub footer: Footer,
}

/// The next commit of a file, extent by extent, in any order.
///
/// [`Draft::seal`] needs no exclusive access, so that worker threads seal extents while others upload; [`Draft::place`]
/// records what was sealed. The blob is [`Draft::header`], the extents in order, and what [`Draft::commit`] returns:
/// [`Params::sealed_extent_range`] tells where each extent lies. Extents that did not change keep their sealed bytes.
#[derive(Debug)]
pub struct Draft {
    keys: Arc<FileKeys>,
    header: Header,
    key_id: [u8; 16],
    name_tag: [u8; 16],
    salts: Salts,
    slots: Vec<Option<Slot>>,
    /// Of the last commit.
    generation: u64,
}

impl Draft {
    /// Starts a new file. With a `path`, readers refuse the file under any other.
    ///
    /// # Errors
    /// [`FormatError::Crypto`] without random bytes.
    pub fn create(dek: &Dek, params: Params, path: Option<&str>) -> Result<Self, FormatError> {
        Self::with(dek, params, path, random::bytes()?, Salts::Random)
    }

    /// Goes on with a file that another draft began and never committed: its sealed extents can become part of this one's
    /// commit ([`Draft::place_earlier`]). For writers that note what they staged, so that a kill does not cost it.
    ///
    /// # Errors
    /// As [`Draft::create`].
    pub fn resume(
        dek: &Dek,
        params: Params,
        path: Option<&str>,
        file_id: [u8; 16],
    ) -> Result<Self, FormatError> {
        Self::with(dek, params, path, file_id, Salts::Random)
    }

    pub(crate) fn with(
        dek: &Dek,
        params: Params,
        path: Option<&str>,
        file_id: [u8; 16],
        salts: Salts,
    ) -> Result<Self, FormatError> {
        let header = Header {
            params,
            name_bound: path.is_some(),
            file_id,
        };
        let keys = FileKeys::derive(dek, &header)?;
        Ok(Self {
            key_id: key_id(dek)?,
            name_tag: path.map_or([0; 16], |path| keys.name_tag(path)),
            keys: Arc::new(keys),
            header,
            salts,
            slots: Vec::new(),
            generation: 0,
        })
    }

    pub(super) const fn continued(
        keys: Arc<FileKeys>,
        footer: &Footer,
        slots: Vec<Option<Slot>>,
    ) -> Self {
        Self {
            keys,
            header: footer.header,
            key_id: footer.key_id,
            name_tag: footer.name_tag,
            salts: Salts::Random,
            slots,
            generation: footer.generation,
        }
    }

    /// The file's sizes.
    pub const fn params(&self) -> Params {
        self.header.params
    }

    /// The file's id, which is no secret.
    pub const fn file_id(&self) -> [u8; 16] {
        self.header.file_id
    }

    /// The bytes before extent 0; the same in every commit of this file.
    pub fn header(&self) -> [u8; super::HEADER] {
        self.header.encode()
    }

    /// Binds the next commits to another path, after a rename; a file that is bound to none stays so.
    pub fn rename(&mut self, path: &str) {
        if self.header.name_bound {
            self.name_tag = self.keys.name_tag(path);
        }
    }

    /// Seals all clear bytes of extent `index` into `sealed`, which has exactly [`Params::sealed_len`] bytes. Every call
    /// draws a fresh salt, also for the same bytes.
    ///
    /// # Errors
    /// [`FormatError::Buffer`] for buffers of other lengths or an empty extent; [`FormatError::Crypto`].
    pub fn seal(
        &self,
        index: u64,
        clear: &[u8],
        sealed: &mut [u8],
    ) -> Result<SealedExtent, FormatError> {
        let params = self.params();
        if clear.is_empty() || clear.len() as u64 > params.extent() {
            return Err(FormatError::Buffer("of a clear extent"));
        }
        let salt = self.salts.draw(index)?;
        seal(&self.keys, params, index, &salt, clear, sealed)?;
        Ok(SealedExtent {
            file_id: self.header.file_id,
            index,
            slot: Slot {
                salt,
                clear: clear.len() as u64,
            },
        })
    }

    /// Makes a sealed extent part of the next commit. Its bytes must be what ends up in the blob.
    ///
    /// # Errors
    /// [`FormatError::Buffer`] for an extent of another file; [`FormatError::TooLarge`].
    pub fn place(&mut self, extent: SealedExtent) -> Result<(), FormatError> {
        if extent.file_id != self.header.file_id {
            return Err(FormatError::Buffer("of another file"));
        }
        self.put(extent.index, extent.slot)
    }

    /// Makes an extent of `clear` bytes part of the next commit that an earlier draft of this file id sealed, with the salt
    /// of that sealing ([`SealedExtent::salt`]). Nothing is sealed under it again; with another salt than the stored bytes
    /// have, no reader opens the extent.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`].
    pub fn place_earlier(
        &mut self,
        index: u64,
        clear: u64,
        salt: [u8; 16],
    ) -> Result<(), FormatError> {
        self.put(index, Slot { salt, clear })
    }

    fn put(&mut self, index: u64, placed: Slot) -> Result<(), FormatError> {
        let end = index.saturating_add(1);
        self.params()
            .check_len(end.saturating_mul(self.params().extent()))?;
        let index = usize::try_from(index).map_err(|_| FormatError::TooLarge)?;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(placed);
        }
        Ok(())
    }

    /// Commits the first `clear_len` bytes. The result goes behind the extents.
    ///
    /// # Errors
    /// [`FormatError::Incomplete`] if an extent was not sealed with the bytes that this length gives it;
    /// [`FormatError::TooLarge`]. The draft is unchanged then.
    pub fn commit(
        &mut self,
        clear_len: u64,
        attributes: Attributes,
    ) -> Result<Committed, FormatError> {
        let params = self.params();
        params.check_len(clear_len)?;
        let salts = self.salts_of(clear_len)?;
        let generation = self.generation.checked_add(1);
        let generation = generation.ok_or(FormatError::TooLarge)?;
        let mut footer = Footer {
            header: self.header,
            key_id: self.key_id,
            clear_len,
            generation,
            mtime_ns: attributes.mtime_ns,
            mode: attributes.mode,
            name_tag: self.name_tag,
            mac: [0; 32],
        };
        footer.mac = self.keys.commit_mac(&salts, &footer);
        let mut tail = salts.concat();
        tail.extend_from_slice(&footer.encode());
        self.slots.truncate(salts.len());
        self.generation = generation;
        Ok(Committed { tail, footer })
    }

    /// What [`View::open`] makes of the blob of the last commit, without reading it back.
    ///
    /// # Errors
    /// [`FormatError::Incomplete`] if something was placed since.
    pub fn view(&self, committed: &Committed) -> Result<View, FormatError> {
        let footer = committed.footer;
        let salts = self.salts_of(footer.clear_len)?;
        if self.keys.commit_mac(&salts, &footer) != footer.mac {
            return Err(FormatError::Incomplete { extent: 0 });
        }
        let blob_len = self.params().blob_len(footer.clear_len)?;
        Ok(View::of_commit(
            Arc::clone(&self.keys),
            footer,
            salts,
            blob_len,
        ))
    }

    fn salts_of(&self, clear_len: u64) -> Result<Vec<[u8; 16]>, FormatError> {
        let params = self.params();
        let mut slots = self.slots.iter();
        (0..params.extents(clear_len))
            .map(|extent| {
                let slot = slots.next().copied().flatten();
                slot.filter(|slot| slot.clear == params.clear_in(extent, clear_len))
                    .map(|slot| slot.salt)
                    .ok_or(FormatError::Incomplete { extent })
            })
            .collect()
    }
}

/// Where salts come from; recorded files need recorded ones.
#[derive(Debug)]
pub(crate) enum Salts {
    Random,
    #[cfg(test)]
    Recorded(fn(u64) -> [u8; 16]),
}

impl Salts {
    #[cfg_attr(not(test), allow(unused_variables, clippy::unused_self))]
    fn draw(&self, index: u64) -> Result<[u8; 16], FormatError> {
        match self {
            Self::Random => Ok(random::bytes()?),
            #[cfg(test)]
            Self::Recorded(salt) => Ok(salt(index)),
        }
    }
}
