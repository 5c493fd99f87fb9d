//! What FUSE allows: a file system that only keeps plain bytes in memory, with the shim's FUSE settings.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use blobfuse_shim::{ReadAhead, fuse, mount};
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, Session, SessionACL, TimeOrNow, WriteFlags,
};

const TTL: Duration = Duration::from_secs(1);
const ROOT: u64 = 1;

/// Mounts at the path that the first line says, and again each time the mount ends, until there are no more lines.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let path: PathBuf = serde_json::from_str(&lines.next().context("no path")??)?;
    let files = Arc::new(Files::default());
    loop {
        let device = mount::attach(&path, 0, false)?;
        let read_ahead = ReadAhead::of(&path)?;
        let ceiling = Ceiling(Arc::clone(&files));
        let session = Session::from_fd(ceiling, device, SessionACL::All, fuse::config())?;
        read_ahead.raise()?;
        let serving = std::thread::spawn(move || session.run());
        let mut out = std::io::stdout();
        writeln!(out, "mounted")?;
        out.flush()?;
        if lines.next().is_none() {
            return Ok(());
        }
        let _ = serving.join();
    }
}

#[derive(Default)]
struct Files {
    names: Mutex<HashMap<OsString, u64>>,
    contents: Mutex<HashMap<u64, Arc<RwLock<Vec<u8>>>>>,
    next: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Files {
    fn content(&self, ino: INodeNo) -> Result<Arc<RwLock<Vec<u8>>>, Errno> {
        lock(&self.contents)
            .get(&ino.0)
            .cloned()
            .ok_or(Errno::ENOENT)
    }

    fn attr(&self, ino: INodeNo) -> Result<FileAttr, Errno> {
        let (size, kind) = match ino.0 {
            ROOT => (0, FileType::Directory),
            _ => {
                let content = self.content(ino)?;
                let content = content.read().unwrap_or_else(PoisonError::into_inner);
                (content.len() as u64, FileType::RegularFile)
            }
        };
        let then = SystemTime::UNIX_EPOCH;
        Ok(FileAttr {
            ino,
            size,
            blocks: size.div_ceil(512),
            atime: then,
            mtime: then,
            ctime: then,
            crtime: then,
            kind,
            perm: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 64 << 10,
            flags: 0,
        })
    }
}

struct Ceiling(Arc<Files>);

impl Filesystem for Ceiling {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        fuse::negotiate(config);
        Ok(())
    }

    fn lookup(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let ino = lock(&self.0.names).get(name).copied();
        let attr = ino.ok_or(Errno::ENOENT);
        match attr.and_then(|ino| self.0.attr(INodeNo(ino))) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.attr(ino) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match self.0.attr(ino) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let ino = ROOT + 1 + self.0.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.0.names).insert(name.to_owned(), ino);
        lock(&self.0.contents).insert(ino, Arc::default());
        match self.0.attr(INodeNo(ino)) {
            Ok(attr) => {
                let (none, handle) = (FopenFlags::empty(), FileHandle(ino));
                reply.created(&TTL, &attr, Generation(0), handle, none);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(ino.0), FopenFlags::empty());
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.content(ino) {
            Ok(content) => {
                let content = content.read().unwrap_or_else(PoisonError::into_inner);
                let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
                let range = index(offset)..index(offset.saturating_add(u64::from(size)));
                reply.data(content.get(range).unwrap_or_default());
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.content(ino) {
            Ok(content) => {
                let mut content = content.write().unwrap_or_else(PoisonError::into_inner);
                // Front to back is all that is measured here; room for the whole file costs nothing until it is used.
                if content.len() as u64 != offset {
                    reply.error(Errno::EINVAL);
                    return;
                }
                if content.capacity() == 0 {
                    content.reserve_exact(1 << 30);
                }
                content.extend_from_slice(data);
                reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn unlink(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match lock(&self.0.names).remove(name) {
            Some(ino) => {
                lock(&self.0.contents).remove(&ino);
                reply.ok();
            }
            None => reply.error(Errno::ENOENT),
        }
    }
}
