use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use blob_format::azure::{
    self, Draft, ENCRYPTION_DATA, FileAzure, Integrity, RegionSize, RegionTicket, SEAL,
};
use blob_format::manifest::Entry;
use blob_format::{Attributes, FormatError, Reader};
use blob_store::Metadata;
use cleanroom_crypto::Dek;

use super::{Codec, Committed, Frame, Mark, Opened, Stored, buffer};
use crate::FsError;
use crate::inner::lock;

/// Clear bytes of an extent: regions of other lengths than 4 MiB are staged together up to here.
/// Short in tests, whose files are.
pub(super) const EXTENT: u64 = if cfg!(test) { 16 << 10 } else { 4 << 20 };
/// What sealing adds to an extent of the shortest regions in which a file is changed.
pub(super) const MOST_OVERHEAD: u64 = EXTENT / SHORTEST * 28;
const SHORTEST: u64 = 4 << 10;
/// A reader holds a region twice, sealed and clear.
const LONGEST: u64 = 16 << 20;

/// What the files of a mount have in common.
pub(crate) struct Keys {
    pub(super) dek: Arc<Dek>,
    pub(super) key_id: String,
    pub(super) integrity: Integrity,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("key_id", &self.key_id)
            .field("integrity", &self.integrity)
            .finish_non_exhaustive()
    }
}

/// One version at one path.
#[derive(Debug)]
struct File {
    keys: Arc<Keys>,
    file: FileAzure,
    path: String,
    metadata: Metadata,
}

/// Opens a blob from its metadata; its body is looked at when it is read.
pub(super) fn open(keys: &Arc<Keys>, path: &str, stored: &Stored<'_>) -> Result<Opened, FsError> {
    let file = File::open(keys, path, stored.length, stored.metadata)?;
    if file.file.region().bytes() > LONGEST {
        return Err(FormatError::Unsupported("region length").into());
    }
    Ok(Opened {
        len: file.file.len(),
        entry: file.entry(),
        frame: Arc::new(file),
        attributes: Attributes::default(),
    })
}

fn described(length: u64, metadata: &Metadata) -> azure::Stored<'_> {
    azure::Stored {
        blob_len: length,
        encryption_data: metadata.get(ENCRYPTION_DATA).map(String::as_str),
        seal: metadata.get(SEAL).map(String::as_str),
    }
}

/// Clear bytes of an extent of regions of a size.
const fn extent(region: RegionSize) -> u64 {
    let fit = EXTENT / region.bytes();
    region.bytes() * if fit == 0 { 1 } else { fit }
}

impl File {
    fn open(
        keys: &Arc<Keys>,
        path: &str,
        length: u64,
        metadata: &Metadata,
    ) -> Result<Self, FormatError> {
        let stored = described(length, metadata);
        let file = FileAzure::open(&keys.dek, &keys.key_id, path, &stored, keys.integrity)?;
        let ours = [ENCRYPTION_DATA, SEAL].map(|name| metadata.get_key_value(name));
        let pairs = ours.into_iter().flatten();
        Ok(Self {
            keys: Arc::clone(keys),
            file,
            path: path.to_owned(),
            metadata: pairs.map(|(n, v)| (n.clone(), v.clone())).collect(),
        })
    }

    /// What a manifest says of it: the MAC that names the version.
    fn entry(&self) -> Option<Entry> {
        Some(Entry {
            path: self.path.clone(),
            length: self.file.len(),
            file_id: [0; 16],
            generation: 0,
            authenticator: *self.file.authenticator()?,
        })
    }

    fn committed(self) -> Committed {
        Committed {
            trailer: Vec::new(),
            metadata: self.metadata.clone(),
            entry: self.entry(),
            frame: Arc::new(self),
        }
    }
}

impl Frame for File {
    fn extent(&self) -> u64 {
        extent(self.file.region())
    }

    fn unit(&self) -> u64 {
        self.file.region().bytes()
    }

    fn stored(&self, index: u64, clear: Range<u64>) -> Range<u64> {
        super::stored(&self.file, self.extent(), index, &clear)
    }

    fn open(&self, index: u64, clear: Range<u64>, stored: &[u8]) -> Result<Vec<u8>, FsError> {
        super::open(&self.file, self.extent(), index, &clear, stored)
    }

    fn open_with(
        &self,
        index: u64,
        clear: Range<u64>,
        stored: &[u8],
        spare: &dyn Fn(usize) -> Vec<u8>,
    ) -> Result<Vec<u8>, FsError> {
        super::open_with(&self.file, self.extent(), index, &clear, stored, spare)
    }

    fn edit(&self) -> Result<Arc<dyn Codec>, FsError> {
        let region = self.file.region();
        if !(SHORTEST..=EXTENT).contains(&region.bytes()) {
            return Err(FsError::NotSupported(
                "changes of a file with regions below 4 KiB or above 4 MiB",
            ));
        }
        Ok(Arc::new(Azure::new(&self.keys, region)))
    }

    fn is_bound(&self) -> bool {
        true
    }

    /// Content key and content stay. A seal of a foreign blob that is not true is left behind.
    fn at(&self, path: &str) -> Result<Option<Committed>, FsError> {
        let length = self.file.region().blob_len(self.file.len())?;
        let mut metadata = self.metadata.clone();
        let stored = described(length, &self.metadata);
        match azure::renamed(&self.keys.dek, &stored, &self.path, path) {
            Ok(seal) => metadata.insert(SEAL.to_owned(), seal),
            Err(_) if self.keys.takes_foreign() => metadata.remove(SEAL),
            Err(error) => return Err(error.into()),
        };
        let moved = Self::open(&self.keys, path, length, &metadata)?;
        Ok(Some(moved.committed()))
    }
}

/// A version that is written, under a content key of its own.
#[derive(Debug)]
pub(super) struct Azure {
    keys: Arc<Keys>,
    region: RegionSize,
    tickets: Mutex<Option<Tickets>>,
}

/// The rights to seal each region once.
#[derive(Debug)]
struct Tickets {
    draft: Draft,
    /// Of regions before the last one that was sealed.
    spare: BTreeMap<u64, RegionTicket>,
}

impl Azure {
    pub(super) fn new(keys: &Arc<Keys>, region: RegionSize) -> Self {
        Self {
            keys: Arc::clone(keys),
            region,
            tickets: Mutex::default(),
        }
    }

    fn draft(&self) -> Result<Draft, FormatError> {
        Draft::create(&self.keys.dek, &self.keys.key_id, self.region)
    }

    /// The rights to seal the regions of an extent.
    fn take(&self, index: u64, clear: u64) -> Result<Vec<RegionTicket>, FormatError> {
        let mut tickets = lock(&self.tickets);
        let tickets = match &mut *tickets {
            Some(tickets) => tickets,
            none => none.insert(Tickets {
                draft: self.draft()?,
                spare: BTreeMap::new(),
            }),
        };
        let (region, first) = (
            self.region.bytes(),
            index * (self.extent() / self.region.bytes()),
        );
        (0..self.region.regions(clear))
            .map(|number| tickets.take(first + number, region.min(clear - number * region), region))
            .collect()
    }
}

impl Tickets {
    fn take(&mut self, index: u64, clear: u64, region: u64) -> Result<RegionTicket, FormatError> {
        while self.draft.regions() < index {
            let ticket = self.draft.next_region(region)?;
            self.spare.insert(ticket.index(), ticket);
        }
        if self.draft.regions() == index {
            return self.draft.next_region(clear);
        }
        // None is left of a region that is sealed already.
        let ticket = self.spare.remove(&index).filter(|_| clear == region);
        ticket.ok_or(FormatError::Incomplete { extent: index })
    }
}

impl Codec for Azure {
    fn extent(&self) -> u64 {
        extent(self.region)
    }

    fn unit(&self) -> u64 {
        self.region.bytes()
    }

    fn seals_once(&self) -> bool {
        true
    }

    fn seal(&self, index: u64, clear: &[u8]) -> Result<(Vec<u8>, Mark), FsError> {
        let length = clear.len() as u64;
        let tickets = self.take(index, length)?;
        let overhead = RegionSize::sealed_len(0);
        let mut out = vec![0; buffer(length + tickets.len() as u64 * overhead)?];
        let (unit, sealed) = (buffer(self.region.bytes())?, buffer(self.region.sealed())?);
        let parts = clear.chunks(unit).zip(out.chunks_mut(sealed));
        for (ticket, (clear, sealed)) in tickets.into_iter().zip(parts) {
            ticket.seal(clear, sealed)?;
        }
        Ok((out, None))
    }

    fn commit(
        &self,
        path: &str,
        len: u64,
        _sealed: Vec<Mark>,
        _attributes: Attributes,
    ) -> Result<Committed, FsError> {
        let tickets = lock(&self.tickets).take();
        let draft = match tickets {
            Some(tickets) if tickets.spare.is_empty() && tickets.draft.len() == len => {
                tickets.draft
            }
            None if len == 0 => self.draft()?,
            _ => return Err(FormatError::Incomplete { extent: 0 }.into()),
        };
        let written = draft.finish(&self.keys.dek, path)?;
        let metadata = Metadata::from([
            (ENCRYPTION_DATA.to_owned(), written.encryption_data),
            (SEAL.to_owned(), written.seal),
        ]);
        let length = self.region.blob_len(len)?;
        Ok(File::open(&self.keys, path, length, &metadata)?.committed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_sealed_once_in_any_order_and_a_commit_needs_them_all() {
        let keys = Arc::new(Keys {
            dek: crate::tests::dek(7),
            key_id: "key".to_owned(),
            integrity: Integrity::Sealed,
        });
        let region = RegionSize::new(8 << 10).unwrap();
        let clear = vec![1; 16 << 10];
        let codec = Azure::new(&keys, region);
        codec.seal(2, &clear[..9000]).unwrap();
        codec.seal(0, &clear).unwrap();
        let none = Attributes::default;
        // A content key must never seal a region twice, whatever is in it.
        for (extent, part) in [(0, &clear[..]), (2, &clear[..9000]), (3, &clear[..1])] {
            assert!(codec.seal(extent, part).is_err(), "{extent}");
        }
        let missing = codec.commit("a", (32 << 10) + 9000, Vec::new(), none());
        assert!(missing.is_err(), "extent 1 was never sealed");

        let codec = Azure::new(&keys, region);
        for (extent, part) in [(2, &clear[..9000]), (1, &clear[..]), (0, &clear[..])] {
            codec.seal(extent, part).unwrap();
        }
        let committed = codec.commit("a", (32 << 10) + 9000, Vec::new(), none());
        assert!(committed.is_ok());
    }
}
