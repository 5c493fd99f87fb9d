//! An image archive that passes by once, as `docker save` writes it: layers come before the documents that name them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, BufReader, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::archive::{Archive, LONGEST_NAME, MOST_MEMBERS, Member, target};
use super::document::MOST_BYTES;
use super::{DockerArchive, ImageSource, OciImages};
use crate::ext4::components;
use crate::layer::hash_counted;
use crate::tar::{self, Piece, TarReader};
use crate::{Expected, ImageError, LayerError, LayerHash, Limits};

const BUFFER: usize = 256 << 10;
/// Pieces on their way to the threads that hash them.
const QUEUE: usize = 4;
/// Bytes of a stream beside its members: headers, long names, padding.
const MOST_OVERHEAD: u64 = 1 << 30;
/// Bytes of all documents together.
const MOST_DOCUMENTS: u64 = 64 << 20;

/// Reads an image archive from a stream, without a temporary file: what is JSON is kept, everything else is hashed as if it
/// were a layer. Which of it the image consists of is known at the end. `what` names the stream in errors. The limit on bytes
/// is one of all members together, unpacked: there may be a hundred thousand.
///
/// # Errors
///
/// The stream fails, or is no image archive, or holds more than the limits allow.
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
    let capped = Capped {
        source,
        left: limits.bytes.saturating_add(MOST_OVERHEAD),
    };
    let mut tar = TarReader::new(BufReader::with_capacity(BUFFER, capped), outer);
    let mut members = BTreeMap::new();
    let mut kept = 0_u64;
    let mut spent = 0_u64;
    while let Some(entry) = tar.next().map_err(failed)? {
        let name = components(&entry.name).join(&b'/');
        let member = match entry.kind {
            b'1' => Member::Link(components(&entry.link).join(&b'/')),
            b'2' => match target(&name, &entry.link) {
                Some(target) => Member::Link(target),
                None => continue,
            },
            b'3'..=b'6' => continue,
            _ => {
                let left = Limits {
                    bytes: limits.bytes.saturating_sub(spent),
                    ..*limits
                };
                let (member, cost) = content(&mut tar, &entry, &left).map_err(failed)?;
                spent = spent.saturating_add(cost);
                if spent > limits.bytes {
                    return Err(ImageError::Size {
                        what: format!("what {what} holds, unpacked and together,"),
                        expected: limits.bytes,
                        actual: spent,
                    });
                }
                member
            }
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

/// What is kept of a member, and how many bytes it took.
fn content<R: io::BufRead>(
    tar: &mut TarReader<R>,
    entry: &tar::Entry,
    limits: &Limits,
) -> Result<(Member, u64), LayerError> {
    let unpacked = AtomicU64::new(0);
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
            return Ok((Member::Document(bytes), entry.size));
        }
        let hash = hash_counted(bytes.as_slice(), &Expected::default(), limits, &unpacked);
        return Ok(judged(hash, entry, limits, &unpacked));
    }
    let limits = *limits;
    let counted = &unpacked;
    thread::scope(|scope| {
        let (to_layer, pieces) = bounded(QUEUE);
        let hashing = scope.spawn(move || {
            let pieces = Pieces {
                pieces,
                current: Vec::new(),
                at: 0,
            };
            hash_counted(pieces, &Expected::default(), &limits, counted)
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
        passed.map(|()| judged(hash, entry, &limits, counted))
    })
}

/// No writer of image archives makes sparse members.
const SPARSE: LayerError = LayerError::Tar {
    offset: 0,
    reason: "a member of the archive is sparse",
};

fn judged(
    hash: Result<LayerHash, LayerError>,
    entry: &tar::Entry,
    limits: &Limits,
    unpacked: &AtomicU64,
) -> (Member, u64) {
    let read = entry.size.max(unpacked.load(Ordering::Relaxed));
    match hash {
        Ok(hash) => (Member::Hashed(hash), read.max(hash.image_size)),
        // More than was left, whichever the bytes are.
        Err(reason @ LayerError::Limit { limit, .. }) if limit == limits.bytes => (
            Member::NoLayer(Mutex::new(Some(reason))),
            read.max(limit.saturating_add(1)),
        ),
        Err(reason) => (Member::NoLayer(Mutex::new(Some(reason))), read),
    }
}

/// A stream that may go on without end, between two members too.
struct Capped<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
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
