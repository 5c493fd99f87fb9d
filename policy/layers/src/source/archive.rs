//! A tar archive as a read-only file system: members are found by name and read where they are, or were kept when the archive
//! passed by.

use std::cell::Cell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Opened;
use super::document::MOST_BYTES;
use super::layout::check_version;
use super::oci::{Blobs, read_document};
use crate::error::shown;
use crate::ext4::components;
use crate::{Digest, ImageError, LayerError, LayerHash};

/// Entries of an image archive.
pub(super) const MOST_MEMBERS: usize = 100_000;
/// Bytes of an archive's headers with long names and extended records, which the tar reader keeps in memory.
const MOST_HEADERS: u64 = 256 << 20;
/// Bytes of a member's name, or of what it links to: as in a layer, which has no hash either if a path is longer.
pub(super) const LONGEST_NAME: usize = 4096;
/// Links from member to member.
const MOST_LINKS: usize = 8;

/// The members of an archive.
#[derive(Debug)]
pub struct Archive {
    /// `None`: the archive came as a stream, and what it is needed for was kept.
    file: Option<File>,
    members: BTreeMap<Vec<u8>, Member>,
}

#[derive(Debug)]
pub(super) enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// Of a stream: JSON.
    Document(Vec<u8>),
    /// Of a stream: anything else, hashed as a layer when it passed by.
    Hashed(LayerHash),
    /// Of a stream: what is no layer. The reason is given once.
    NoLayer(Mutex<Option<LayerError>>),
    /// The name of another member, from the archive's root.
    Link(Vec<u8>),
    /// More than one member has the name; which of them an image means is anyone's guess.
    Twice,
}

impl Archive {
    /// Lists an image archive's members. `None`: the file is none, perhaps a layer.
    ///
    /// An image archive must not pass for a layer: a hash of it would stand for nothing that runs.
    pub(super) fn index(path: &Path, file: &File) -> Result<Option<Self>, ImageError> {
        let unreadable = |source| ImageError::Read {
            path: path.to_owned(),
            source,
        };
        let file = file.try_clone().map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        (&file).rewind().map_err(unreadable)?;
        let spent = Cell::new(0);
        let mut archive = tar::Archive::new(Metered {
            file: &file,
            spent: &spent,
        });
        let mut members = BTreeMap::new();
        let mut markers = BTreeSet::new();
        let unrecognised = |reason| ImageError::Unrecognised {
            path: path.to_owned(),
            reason,
        };
        let damaged = |markers: &BTreeSet<&str>| {
            if markers.is_empty() {
                return Ok(None);
            }
            Err(unrecognised(
                "it starts as an image archive, but is damaged",
            ))
        };
        let Ok(entries) = archive.entries_with_seek() else {
            return Ok(None);
        };
        let mut count = 0_usize;
        for entry in entries {
            let Ok(entry) = entry else {
                if spent.get() > MOST_HEADERS {
                    return Err(unrecognised("its headers take more than 256 MiB"));
                }
                return damaged(&markers);
            };
            count = count.saturating_add(1);
            if count > MOST_MEMBERS {
                // From here on nothing is kept.
                spent.set(0);
            }
            let name = entry.path_bytes();
            if name.len() > LONGEST_NAME {
                continue;
            }
            let name = components(&name).join(&b'/');
            let kind = entry.header().entry_type();
            markers.extend(marker(&name).filter(|_| !kind.is_dir()));
            let link = entry.link_name_bytes().unwrap_or_default();
            if link.len() > LONGEST_NAME {
                continue;
            }
            if count > MOST_MEMBERS {
                // Only the markers still count.
                members.clear();
                continue;
            }
            let member = if kind.is_file() {
                let (offset, size) = (entry.raw_file_position(), entry.size());
                if offset.checked_add(size).is_none_or(|end| end > length) {
                    return damaged(&markers);
                }
                Member::File { offset, size }
            } else if kind.is_symlink() {
                match target(&name, &link) {
                    Some(target) => Member::Link(target),
                    None => continue,
                }
            } else if kind.is_hard_link() {
                Member::Link(components(&link).join(&b'/'))
            } else {
                continue;
            };
            match members.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(member);
                }
                // An error only for those who want to read it.
                Entry::Occupied(mut place) => {
                    place.insert(Member::Twice);
                }
            }
        }
        let oci = markers.contains("index.json") && markers.contains("oci-layout");
        if !oci && !markers.contains("manifest.json") {
            return Ok(None);
        }
        if count > MOST_MEMBERS {
            return Err(unrecognised(
                "it is an image archive with more than 100000 members",
            ));
        }
        Ok(Some(Self {
            file: Some(file),
            members,
        }))
    }

    /// An archive that came as a stream.
    pub(super) fn kept(members: BTreeMap<Vec<u8>, Member>) -> Self {
        Self {
            file: None,
            members,
        }
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name.as_bytes())
    }

    /// Opens a member; links within the archive are followed.
    pub(super) fn member(&self, name: &str) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        match self.layer_member(name)? {
            Opened::Blob(blob) => Ok(blob),
            Opened::Hashed(_) => Err(refused(
                name.as_bytes(),
                "it is no JSON document of at most 4 MiB",
            )),
        }
    }

    /// Opens a member as a layer.
    pub(super) fn layer_member(&self, name: &str) -> Result<Opened<'_>, ImageError> {
        let mut at = components(name.as_bytes()).join(&b'/');
        let missing = |at: &[u8]| ImageError::Missing {
            what: format!("member {}", shown(at)),
        };
        for _ in 0..MOST_LINKS {
            match self.members.get(&at) {
                None => return Err(missing(&at)),
                Some(Member::File { offset, size }) => {
                    let file = self.file.as_ref().ok_or_else(|| missing(&at))?;
                    return Ok(Opened::Blob(Box::new(Part {
                        file,
                        offset: *offset,
                        end: offset.saturating_add(*size),
                    })));
                }
                Some(Member::Document(bytes)) => {
                    return Ok(Opened::Blob(Box::new(bytes.as_slice())));
                }
                Some(Member::Hashed(hash)) => return Ok(Opened::Hashed(Ok(*hash))),
                Some(Member::NoLayer(reason)) => {
                    let mut reason = reason.lock().unwrap_or_else(PoisonError::into_inner);
                    let reason = reason.take().ok_or_else(|| missing(&at))?;
                    return Ok(Opened::Hashed(Err(reason)));
                }
                Some(Member::Link(target)) => at.clone_from(target),
                Some(Member::Twice) => {
                    return Err(refused(&at, "more than one member has this name"));
                }
            }
        }
        Err(refused(&at, "links lead from one to the other and on"))
    }
}

impl Blobs for Archive {
    fn top(&self) -> Result<Vec<u8>, ImageError> {
        check_version(&read_document(
            "oci-layout",
            self.member("oci-layout")?,
            MOST_BYTES,
        )?)?;
        read_document("index.json", self.member("index.json")?, MOST_BYTES)
    }

    fn blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        self.member(&blob_name(digest))
    }

    fn layer(&self, digest: &Digest) -> Result<Opened<'_>, ImageError> {
        self.layer_member(&blob_name(digest))
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// What image archives have at their root, and few layers.
fn marker(name: &[u8]) -> Option<&'static str> {
    let markers = ["manifest.json", "index.json", "oci-layout"];
    markers.into_iter().find(|marker| marker.as_bytes() == name)
}

fn refused(member: &[u8], reason: &'static str) -> ImageError {
    ImageError::Archive {
        entry: shown(member),
        reason,
    }
}

/// Where a symbolic link leads, from the archive's root; `None`: out of the archive.
pub(super) fn target(name: &[u8], link: &[u8]) -> Option<Vec<u8>> {
    let mut base = components(name).into_iter();
    base.next_back();
    let mut target = base.collect::<Vec<_>>().join(&b'/');
    target.push(b'/');
    target.extend_from_slice(link);
    let inside = !link.starts_with(b"/") && !leaves(&target);
    inside.then(|| components(&target).join(&b'/'))
}

/// Whether a path leads above where it starts.
fn leaves(path: &[u8]) -> bool {
    let mut depth = 0_usize;
    path.split(|byte| *byte == b'/').any(|component| {
        match component {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            _ => depth += 1,
        }
        false
    })
}

/// A file that is read up to a limit; what is skipped does not count.
struct Metered<'f> {
    file: &'f File,
    spent: &'f Cell<u64>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.spent.get() > MOST_HEADERS {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.file.read(buffer)?;
        self.spent.set(self.spent.get().saturating_add(read as u64));
        Ok(read)
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// A part of a file that several threads may read.
struct Part<'f> {
    file: &'f File,
    offset: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let read = self
            .file
            .read_at(buffer.get_mut(..most).unwrap_or_default(), self.offset)?;
        self.offset = self.offset.saturating_add(read as u64);
        Ok(read)
    }
}
