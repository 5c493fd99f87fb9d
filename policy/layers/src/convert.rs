//! The entries of a tar, as the reference puts them into an image.

use std::io::BufRead;

use crate::device::Sink;
use crate::ext4::{Attributes, Ext4, Kind};
use crate::tar::{Entry, Piece, TarReader};
use crate::{LayerError, Limits};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Builds the image of a tar. Returns the sink and the image's number of blocks. What follows the tar is not read.
pub(crate) fn convert<S: Sink>(
    stream: impl BufRead,
    sink: S,
    limits: Limits,
) -> Result<(S, u32), LayerError> {
    let mut tar = TarReader::new(stream, limits);
    let mut image = Ext4::new(sink, limits)?;
    while let Some(mut entry) = tar.next()? {
        image.make_parents(&entry.name)?;
        // Of the name as it is written: one that ends in a slash is no marker.
        let split = entry
            .name
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |slash| slash + 1);
        let (folder, name) = entry
            .name
            .split_at_checked(split)
            .unwrap_or((&[], &entry.name));
        if name == OPAQUE {
            image.make_opaque(folder)?;
        } else if let Some(name) = name.strip_prefix(WHITEOUT) {
            let path = [folder, name].concat();
            image.create(&path, whiteout())?;
        } else if entry.kind == b'1' {
            image.link(&entry.link, &entry.name)?;
        } else {
            let path = std::mem::take(&mut entry.name);
            let size = entry.size;
            let attributes = attributes(entry);
            let regular = attributes.kind == Kind::Regular;
            let inode = image.create(&path, attributes)?;
            if regular && size > 0 {
                image.write_content(inode, size, &path, |device| {
                    tar.content(|piece| match piece {
                        Piece::Data(bytes) => device.append(bytes),
                        Piece::Hole(bytes) => device.append_zeros(bytes),
                    })
                })?;
            } else {
                // A sparse file of no size may still have data, which is an error.
                tar.content(|_| Ok(()))?;
            }
        }
    }
    image.finish()
}

/// What an overlay file system takes for "removed": a character device 0:0.
fn whiteout() -> Attributes {
    Attributes {
        kind: Kind::Character,
        mode: 0,
        uid: 0,
        gid: 0,
        atime: None,
        mtime: None,
        ctime: None,
        target: Vec::new(),
        device: (0, 0),
        xattrs: Default::default(),
    }
}

fn attributes(entry: Entry) -> Attributes {
    let kind = match entry.kind {
        b'2' => Kind::Symlink,
        b'3' => Kind::Character,
        b'4' => Kind::Block,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        // Also unknown types.
        _ => Kind::Regular,
    };
    Attributes {
        kind,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        atime: entry.atime,
        mtime: entry.mtime,
        ctime: entry.ctime,
        target: if kind == Kind::Symlink {
            entry.link
        } else {
            Vec::new()
        },
        device: entry.device,
        xattrs: entry.xattrs,
    }
}
