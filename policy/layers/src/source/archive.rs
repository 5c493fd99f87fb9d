//! A tar archive as a read-only file system: members are found by name and read where they are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::document::MOST_BYTES;
use super::layout::check_version;
use super::oci::{Blobs, read_document};
use crate::error::shown;
use crate::ext4::components;
use crate::{Digest, ImageError};

const MOST_MEMBERS: usize = 100_000;
/// Links from member to member.
const MOST_LINKS: usize = 8;

/// The members of an archive.
#[derive(Debug)]
pub struct Archive {
    file: File,
    members: BTreeMap<Vec<u8>, Member>,
}

#[derive(Debug)]
enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// The name of another member, from the archive's root.
    Link(Vec<u8>),
    /// More than one member has the name; which of them an image means is anyone's guess.
    Twice,
}

impl Archive {
    /// Lists an archive's members. `None`: the file is no archive that can be read to its end, perhaps a layer.
    pub(super) fn index(path: &Path, file: &File) -> Result<Option<Self>, ImageError> {
        let unreadable = |source| ImageError::Read {
            path: path.to_owned(),
            source,
        };
        let file = file.try_clone().map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut reader = &file;
        io::Seek::rewind(&mut reader).map_err(unreadable)?;
        let mut archive = tar::Archive::new(reader);
        let mut members = BTreeMap::new();
        let Ok(entries) = archive.entries_with_seek() else {
            return Ok(None);
        };
        for entry in entries {
            let Ok(entry) = entry else { return Ok(None) };
            let name = components(&entry.path_bytes()).join(&b'/');
            let link = entry.link_name_bytes().unwrap_or_default();
            let kind = entry.header().entry_type();
            let member = if kind.is_file() {
                let (offset, size) = (entry.raw_file_position(), entry.size());
                if offset.checked_add(size).is_none_or(|end| end > length) {
                    return Ok(None);
                }
                Member::File { offset, size }
            } else if kind.is_symlink() {
                let mut base = components(&name).into_iter();
                base.next_back();
                let mut target = base.collect::<Vec<_>>().join(&b'/');
                target.push(b'/');
                target.extend_from_slice(&link);
                if link.starts_with(b"/") || leaves(&target) {
                    continue;
                }
                Member::Link(components(&target).join(&b'/'))
            } else if kind.is_hard_link() {
                Member::Link(components(&link).join(&b'/'))
            } else {
                continue;
            };
            match members.entry(name) {
                Entry::Vacant(place) => place.insert(member),
                // An error only for those who want to read it.
                Entry::Occupied(mut place) => {
                    place.insert(Member::Twice);
                    continue;
                }
            };
            if members.len() > MOST_MEMBERS {
                return Ok(None);
            }
        }
        Ok(Some(Self { file, members }))
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name.as_bytes())
    }

    /// Opens a member; links within the archive are followed.
    pub(super) fn member(&self, name: &str) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let mut at = components(name.as_bytes()).join(&b'/');
        for _ in 0..MOST_LINKS {
            match self.members.get(&at) {
                None => {
                    return Err(ImageError::Missing {
                        what: format!("member {}", shown(&at)),
                    });
                }
                Some(Member::File { offset, size }) => {
                    return Ok(Box::new(Part {
                        file: &self.file,
                        offset: *offset,
                        end: offset.saturating_add(*size),
                    }));
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
        self.member(&format!("blobs/sha256/{}", digest.hex()))
    }
}

fn refused(member: &[u8], reason: &'static str) -> ImageError {
    ImageError::Archive {
        entry: shown(member),
        reason,
    }
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
