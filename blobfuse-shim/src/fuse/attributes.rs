use std::time::Duration;

use blob_fs::{Attr, Kind};
use fuser::{FileAttr, FileType, INodeNo};
use sidecar_http::services::APPLICATION_UID;

/// How the application sees files: its own; writable where the mount is.
pub(super) fn shown(attr: &Attr, read_only: bool) -> FileAttr {
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: attr.modified,
        mtime: attr.modified,
        ctime: attr.modified,
        crtime: attr.modified,
        kind: file_type(attr.kind),
        perm: permissions(attr.kind, read_only),
        nlink: u32::from(!attr.unlinked),
        uid: APPLICATION_UID,
        gid: APPLICATION_UID,
        rdev: 0,
        blksize: 64 << 10,
        flags: 0,
    }
}

pub(super) const fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
    }
}

pub(super) const fn permissions(kind: Kind, read_only: bool) -> u16 {
    match (kind, read_only) {
        (Kind::Directory, false) => 0o755,
        (Kind::Directory, true) => 0o555,
        (Kind::File, false) => 0o644,
        (Kind::File, true) => 0o444,
    }
}

/// How long the kernel may believe an answer.
pub(super) const fn ttl(read_only: bool) -> Duration {
    Duration::from_secs(if read_only { 60 } else { 1 })
}
