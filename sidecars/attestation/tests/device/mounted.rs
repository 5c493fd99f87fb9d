//! What both doubles need of FUSE.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, FileAttr, FileType, Filesystem, INodeNo, MountOption, Session,
    SessionACL,
};
use tempfile::TempDir;

/// Nothing is cached: every look is a question to the double.
pub(crate) const UNCACHED: Duration = Duration::ZERO;

/// A mounted double; unmounted when dropped.
pub(crate) struct Mounted {
    session: Option<BackgroundSession>,
    directory: TempDir,
}

impl Mounted {
    pub(crate) fn new(double: impl Filesystem) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("double".to_owned())];
        // The product gives root up before it asks.
        config.acl = SessionACL::All;
        config.n_threads = Some(4);
        let session = Session::new(double, directory.path(), &config).unwrap();
        Self {
            session: Some(session.spawn().unwrap()),
            directory,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.umount_and_join().unwrap();
        }
    }
}

pub(crate) fn attributes(ino: u64, kind: FileType) -> FileAttr {
    FileAttr {
        ino: INodeNo(ino),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: if kind == FileType::Directory {
            0o755
        } else {
            0o600
        },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        flags: 0,
        blksize: 4096,
    }
}
