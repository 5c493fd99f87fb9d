use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use blob_fs::{Changes, FileSystem, FsError, Opened};
use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use sidecar_http::Coded;
use sidecar_http::services::APPLICATION_UID;
use tokio::runtime::Handle;

use super::attributes::{file_type, permissions, shown, ttl};

/// Largest write of one request; the kernel's own limit without tuning.
const WRITE: u32 = 1 << 20;
/// Reads that the kernel may have under way: enough to hide the round trip to storage.
const BACKGROUND: u16 = 64;

/// Hands every request to the runtime and answers from there.
pub(super) struct Adapter {
    fs: FileSystem,
    runtime: Handle,
    read_only: bool,
    ttl: Duration,
}

impl Adapter {
    pub(super) fn new(fs: FileSystem, runtime: Handle) -> Self {
        let read_only = fs.is_read_only();
        Self {
            fs,
            runtime,
            read_only,
            ttl: ttl(read_only),
        }
    }

    fn entry<F>(&self, operation: &'static str, reply: ReplyEntry, work: F)
    where
        F: Future<Output = Result<blob_fs::Attr, FsError>> + Send + 'static,
    {
        let (ttl, read_only) = (self.ttl, self.read_only);
        self.runtime.spawn(async move {
            match work.await {
                Ok(attr) => reply.entry(&ttl, &shown(&attr, read_only), Generation(0)),
                Err(error) => reply.error(errno(operation, &error)),
            }
        });
    }

    fn empty<F>(&self, operation: &'static str, reply: ReplyEmpty, work: F)
    where
        F: Future<Output = Result<(), FsError>> + Send + 'static,
    {
        self.runtime.spawn(async move {
            match work.await {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(errno(operation, &error)),
            }
        });
    }

    fn opened<F>(&self, operation: &'static str, reply: ReplyOpen, work: F)
    where
        F: Future<Output = Result<Opened, FsError>> + Send + 'static,
    {
        self.runtime.spawn(async move {
            match work.await {
                Ok(opened) => reply.opened(FileHandle(opened.handle), flags(opened)),
                Err(error) => reply.error(errno(operation, &error)),
            }
        });
    }
}

/// The errno of an error; what is a fault rather than an answer is logged, without names.
fn errno(operation: &'static str, error: &FsError) -> Errno {
    if error.is_fault() {
        tracing::warn!(operation, code = error.code(), %error, "a request failed");
    } else {
        tracing::debug!(operation, code = error.code(), "a request was refused");
    }
    Errno::from_i32(error.errno())
}

const fn flags(opened: Opened) -> FopenFlags {
    if opened.direct {
        FopenFlags::FOPEN_DIRECT_IO
    } else if opened.keep {
        FopenFlags::FOPEN_KEEP_CACHE
    } else {
        FopenFlags::empty()
    }
}

fn text(name: &OsStr) -> Result<String, FsError> {
    name.to_str().map(str::to_owned).ok_or(FsError::Name)
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What the kernel cannot do it does not get; nothing here is needed for correctness but the first. The kernel's
        // write-back cache is not wanted: it would tell of errors too late, and read before it writes.
        let wanted = [
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ASYNC_DIO,
        ];
        for capability in wanted {
            if config.add_capabilities(capability).is_err() {
                tracing::info!(?capability, "the kernel lacks a capability");
            }
        }
        let _ = config.set_max_write(WRITE);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (fs, name) = (self.fs.clone(), text(name));
        self.entry("lookup", reply, async move {
            fs.look_up(parent.0, &name?).await
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.fs.forget(ino.0, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let (fs, ttl, read_only) = (self.fs.clone(), self.ttl, self.read_only);
        self.runtime.spawn(async move {
            match fs.attributes(ino.0).await {
                Ok(attr) => reply.attr(&ttl, &shown(&attr, read_only)),
                Err(error) => reply.error(errno("getattr", &error)),
            }
        });
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let foreign = |id: Option<u32>| id.is_some_and(|id| id != APPLICATION_UID);
        if foreign(uid) || foreign(gid) {
            reply.error(Errno::EPERM);
            return;
        }
        // The time of access is always the time of modification.
        if atime.is_some() && mtime.is_none() {
            reply.error(Errno::ENOTSUP);
            return;
        }
        let (fs, ttl, read_only) = (self.fs.clone(), self.ttl, self.read_only);
        self.runtime.spawn(async move {
            let work = async {
                let attr = fs.attributes(ino.0).await?;
                let present = u32::from(permissions(attr.kind, read_only));
                let changes = Changes {
                    size,
                    mode: mode.filter(|mode| mode & 0o7777 != present),
                    modified: mtime.map(|time| match time {
                        TimeOrNow::SpecificTime(time) => Some(time),
                        TimeOrNow::Now => None,
                    }),
                };
                if changes == Changes::default() {
                    return Ok(attr);
                }
                fs.set_attributes(ino.0, changes).await
            };
            match work.await {
                Ok(attr) => reply.attr(&ttl, &shown(&attr, read_only)),
                Err(error) => reply.error(errno("setattr", &error)),
            }
        });
    }

    fn readlink(&self, _req: &Request, _ino: INodeNo, reply: ReplyData) {
        reply.error(Errno::EINVAL);
    }

    fn mknod(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::ENOTSUP);
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let (fs, name) = (self.fs.clone(), text(name));
        self.entry("mkdir", reply, async move {
            fs.make_directory(parent.0, &name?).await
        });
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (fs, name) = (self.fs.clone(), text(name));
        self.empty(
            "unlink",
            reply,
            async move { fs.unlink(parent.0, &name?).await },
        );
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (fs, name) = (self.fs.clone(), text(name));
        self.empty("rmdir", reply, async move {
            fs.remove_directory(parent.0, &name?).await
        });
    }

    fn symlink(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _link_name: &OsStr,
        _target: &Path,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::ENOTSUP);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            reply.error(Errno::EINVAL);
            return;
        }
        let replace = flags.is_empty();
        let (fs, from, to) = (self.fs.clone(), text(name), text(newname));
        self.empty("rename", reply, async move {
            fs.rename((parent.0, &from?), (newparent.0, &to?), replace)
                .await
        });
    }

    fn link(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _newparent: INodeNo,
        _newname: &OsStr,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::ENOTSUP);
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let fs = self.fs.clone();
        let write = flags.acc_mode() != OpenAccMode::O_RDONLY;
        let truncate = flags.0 & libc::O_TRUNC != 0;
        self.opened("open", reply, async move {
            fs.open(ino.0, write, write && truncate).await
        });
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let fs = self.fs.clone();
        self.runtime.spawn(async move {
            match fs.read(fh.0, offset, u64::from(size)).await {
                Ok(data) => reply.data(&data),
                Err(error) => reply.error(errno("read", &error)),
            }
        });
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (fs, data) = (self.fs.clone(), data.to_vec());
        self.runtime.spawn(async move {
            match fs.write(fh.0, offset, &data).await {
                Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
                Err(error) => reply.error(errno("write", &error)),
            }
        });
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let fs = self.fs.clone();
        self.empty("flush", reply, async move { fs.flush(fh.0).await });
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let fs = self.fs.clone();
        self.empty("release", reply, async move { fs.release(fh.0).await });
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let fs = self.fs.clone();
        self.empty("fsync", reply, async move { fs.sync(fh.0).await });
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let fs = self.fs.clone();
        self.opened(
            "opendir",
            reply,
            async move { fs.open_directory(ino.0).await },
        );
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let entries = match self.fs.read_directory(fh.0) {
            Ok(entries) => entries,
            Err(error) => {
                reply.error(errno("readdir", &error));
                return;
            }
        };
        let own = [".", ".."].map(|name| (ino, FileType::Directory, name));
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let names = entries.get(skip.saturating_sub(own.len())..);
        let names = names.unwrap_or_default().iter().map(|entry| {
            (
                INodeNo(entry.ino),
                file_type(entry.kind),
                entry.name.as_str(),
            )
        });
        let own = own.into_iter().skip(skip);
        for ((ino, kind, name), next) in own.chain(names).zip(offset + 1..) {
            if reply.add(ino, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        let fs = self.fs.clone();
        self.empty("releasedir", reply, async move { fs.release(fh.0).await });
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        // Names are durable as soon as they are visible.
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        const BLOCK: u32 = 4096;
        const BLOCKS: u64 = (1 << 50) / 4096;
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, 0, 0, BLOCK, 255, BLOCK);
    }

    fn setxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn getxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _size: u32,
        reply: ReplyXattr,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let (fs, name, ttl) = (self.fs.clone(), text(name), self.ttl);
        self.runtime.spawn(async move {
            let work = async { fs.create(parent.0, &name?).await };
            match work.await {
                Ok((attr, opened)) => reply.created(
                    &ttl,
                    &shown(&attr, false),
                    Generation(0),
                    FileHandle(opened.handle),
                    flags(opened),
                ),
                Err(error) => reply.error(errno("create", &error)),
            }
        });
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOTSUP);
    }
}
