//! An image archive that passes by once, as `docker save` writes it: layers come before the documents that name them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, BufReader, Read};
use std::sync::Mutex;
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::archive::{Archive, LONGEST_NAME, MOST_MEMBERS, Member, target};
use super::document::MOST_BYTES;
use super::{DockerArchive, ImageSource, OciImages};
use crate::ext4::components;
use crate::tar::{self, Piece, TarReader};
use crate::{Expected, ImageError, LayerError, LayerHash, Limits, hash_layer};

const BUFFER: usize = 256 << 10;
/// Pieces on their way to the threads that hash them.
const QUEUE: usize = 4;
/// Bytes of all documents together.
const MOST_DOCUMENTS: u64 = 64 << 20;

/// Reads an image archive from a stream, without a temporary file: what is JSON is kept, everything else is hashed as if it
/// were a layer. Which of it the image consists of is known at the end. `what` names the stream in errors.
///
/// # Errors
///
/// The stream fails, or is no image archive.
pub fn read_stream(
    source: impl Read,
    what: &str,
    limits: &Limits,
) -> Result<Box<dyn ImageSource>, ImageError> {
    let failed = |source| ImageError::Alone {
        what: what.into(),
        source,
    };
    let outer = Limits {
        entries: MOST_MEMBERS as u64,
        bytes: u64::MAX,
        path: LONGEST_NAME,
        ..*limits
    };
    let mut tar = TarReader::new(BufReader::with_capacity(BUFFER, source), outer);
    let mut members = BTreeMap::new();
    let mut kept = 0_u64;
    while let Some(entry) = tar.next().map_err(failed)? {
        let name = components(&entry.name).join(&b'/');
        let member = match entry.kind {
            b'1' => Member::Link(components(&entry.link).join(&b'/')),
            b'2' => match target(&name, &entry.link) {
                Some(target) => Member::Link(target),
                None => continue,
            },
            b'3'..=b'6' => continue,
            _ => content(&mut tar, &entry, limits).map_err(failed)?,
        };
        if let Member::Document(bytes) = &member {
            kept = kept.saturating_add(bytes.len() as u64);
            if kept > MOST_DOCUMENTS {
                return Err(ImageError::Size {
                    what: format!("the documents of {what}"),
                    expected: MOST_DOCUMENTS,
                    actual: kept,
                });
            }
        }
        match members.entry(name) {
            Entry::Vacant(place) => {
                place.insert(member);
            }
            Entry::Occupied(mut place) => {
                place.insert(Member::Twice);
            }
        }
    }
    let archive = Archive::kept(members);
    if archive.has("index.json") && archive.has("oci-layout") {
        return Ok(Box::new(OciImages(archive)));
    }
    if archive.has("manifest.json") {
        return Ok(Box::new(DockerArchive::new(archive)?));
    }
    Err(ImageError::Unrecognised {
        path: what.into(),
        reason: "a stream must be an image archive, as docker save writes it",
    })
}

/// What is kept of a member.
fn content<R: io::BufRead>(
    tar: &mut TarReader<R>,
    entry: &tar::Entry,
    limits: &Limits,
) -> Result<Member, LayerError> {
    if entry.size <= MOST_BYTES {
        let mut bytes = Vec::new();
        tar.content(|piece| {
            match piece {
                Piece::Data(data) => bytes.extend_from_slice(data),
                // Of at most the size above.
                Piece::Hole(length) => {
                    let length = usize::try_from(length).unwrap_or_default();
                    bytes.resize(bytes.len().saturating_add(length), 0);
                }
            }
            Ok(())
        })?;
        let json = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
        // A number is JSON too, but no document.
        if json && matches!(bytes.first(), Some(b'{' | b'[')) {
            return Ok(Member::Document(bytes));
        }
        let hash = hash_layer(bytes.as_slice(), &Expected::default(), limits);
        return Ok(judged(hash));
    }
    let limits = *limits;
    thread::scope(|scope| {
        let (to_layer, pieces) = bounded(QUEUE);
        let hashing = scope.spawn(move || {
            let pieces = Pieces {
                pieces,
                current: Vec::new(),
                at: 0,
            };
            hash_layer(pieces, &Expected::default(), &limits)
        });
        let passed = tar.content(|piece| {
            // Who hashes may have had enough; what follows is passed over.
            let _ = match piece {
                Piece::Data(data) => to_layer.send(data.to_vec()),
                Piece::Hole(_) => return Err(SPARSE),
            };
            Ok(())
        });
        drop(to_layer);
        let hash = hashing.join().map_err(|_| LayerError::Worker)?;
        passed.map(|()| judged(hash))
    })
}

/// No writer of image archives makes sparse members.
const SPARSE: LayerError = LayerError::Tar {
    offset: 0,
    reason: "a member of the archive is sparse",
};

fn judged(hash: Result<LayerHash, LayerError>) -> Member {
    match hash {
        Ok(hash) => Member::Hashed(hash),
        Err(reason) => Member::NoLayer(Mutex::new(Some(reason))),
    }
}

/// The pieces of a member, on another thread.
struct Pieces {
    pieces: Receiver<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.current.len() {
            // The end of the member, or of the stream, which the sending thread reports.
            self.current = self.pieces.recv().unwrap_or_default();
            self.at = 0;
        }
        let read = self
            .current
            .get(self.at..)
            .unwrap_or_default()
            .read(buffer)?;
        self.at += read;
        Ok(read)
    }
}
