//! A configfs with the kernel's `tsm/report`: `mkdir` makes the attribute files, an `inblob` counts when it is closed,
//! `outblob` is made for the latest `inblob`, and `rmdir` takes a directory with its attributes
//! (`drivers/virt/coco/tsm.c`, `fs/configfs/file.c`).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};

use fuser::{
    Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    WriteFlags,
};

use crate::answer;
use crate::mounted::{UNCACHED, attributes};

/// Attributes of an entry; the inode is the entry's number times 16 plus the place here plus one.
const FILES: [&str; 6] = [
    "inblob",
    "outblob",
    "auxblob",
    "generation",
    "provider",
    "privlevel",
];
const INBLOB_MAX: usize = 64;

/// What goes otherwise than usual.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// In so many entries somebody else's write follows ours.
    pub(crate) races: u32,
    /// So many reads of `outblob` say that the device is busy.
    pub(crate) busy: u32,
    /// Every read of `outblob` fails with EIO.
    pub(crate) broken: bool,
    /// `outblob` never ends.
    pub(crate) endless: bool,
    /// Another technology's provider.
    pub(crate) tdx: bool,
    /// No provider is loaded: entries cannot be made.
    pub(crate) unloaded: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Configfs(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    faults: Faults,
    entries: BTreeMap<u64, Entry>,
    made: u64,
    opened: BTreeMap<u64, Vec<u8>>,
    handles: u64,
}

#[derive(Default)]
struct Entry {
    name: String,
    inblob: Vec<u8>,
    generation: u64,
}

impl State {
    fn commit(&mut self, entry: u64, blob: Vec<u8>) {
        let race = self.faults.races > 0;
        if let Some(entry) = self.entries.get_mut(&entry) {
            entry.inblob = blob;
            entry.generation += 1;
            if race {
                entry.inblob = vec![0xee; INBLOB_MAX];
                entry.generation += 1;
                self.faults.races -= 1;
            }
        }
    }
}

impl Configfs {
    pub(crate) fn with(faults: Faults) -> Self {
        let double = Self::default();
        double.state().faults = faults;
        double
    }

    /// Entries made since the start, and those that are there now.
    pub(crate) fn entries(&self) -> (u64, usize) {
        let state = self.state();
        (state.made, state.entries.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn entry_of(ino: INodeNo) -> (u64, Option<&'static str>) {
    let (entry, file) = (ino.0 / 16, ino.0 % 16);
    let name = usize::try_from(file)
        .unwrap()
        .checked_sub(1)
        .map(|file| FILES[file]);
    (entry, name)
}

impl Filesystem for Configfs {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_str().unwrap();
        let state = self.state();
        let found = if parent == INodeNo::ROOT {
            let entry = state.entries.iter().find(|(_, entry)| entry.name == name);
            entry.map(|(number, _)| (number * 16, FileType::Directory))
        } else {
            let file = FILES.iter().position(|file| *file == name);
            file.filter(|_| state.entries.contains_key(&(parent.0 / 16)))
                .map(|file| (parent.0 + 1 + file as u64, FileType::RegularFile))
        };
        match found {
            Some((ino, kind)) => reply.entry(&UNCACHED, &attributes(ino, kind), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let directory = ino == INodeNo::ROOT || entry_of(ino).1.is_none();
        let kind = if directory {
            FileType::Directory
        } else {
            FileType::RegularFile
        };
        reply.attr(&UNCACHED, &attributes(ino.0, kind));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let mut state = self.state();
        if state.faults.unloaded {
            return reply.error(Errno::ENXIO);
        }
        if parent != INodeNo::ROOT {
            return reply.error(Errno::EPERM);
        }
        state.made += 1;
        let number = state.made;
        let name = name.to_str().unwrap().to_owned();
        let fresh = Entry {
            name,
            ..Entry::default()
        };
        state.entries.insert(number, fresh);
        let attributes = attributes(number * 16, FileType::Directory);
        reply.entry(&UNCACHED, &attributes, Generation(0));
    }

    fn rmdir(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        let before = state.entries.len();
        state
            .entries
            .retain(|_, entry| Some(entry.name.as_str()) != name.to_str());
        if state.entries.len() < before {
            reply.ok();
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        for (number, entry) in self.state().entries.range(offset + 1..) {
            let ino = INodeNo(number * 16);
            if reply.add(ino, *number, FileType::Directory, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let write_only = matches!(entry_of(ino).1, Some("inblob" | "privlevel"));
        let writing = flags.0 & libc::O_ACCMODE == libc::O_WRONLY;
        if write_only != writing {
            return reply.error(Errno::EACCES);
        }
        let mut state = self.state();
        state.handles += 1;
        let handle = state.handles;
        reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (number, file) = entry_of(ino);
        let mut state = self.state();
        let faults = state.faults;
        if file == Some("outblob") && faults.busy > 0 {
            state.faults.busy -= 1;
            return reply.error(Errno::EBUSY);
        }
        let Some(entry) = state.entries.get(&number) else {
            return reply.error(Errno::ENOENT);
        };
        let content = match file {
            Some("outblob") if faults.broken => return reply.error(Errno::EIO),
            Some("outblob") if faults.endless => vec![0; usize::try_from(offset).unwrap() + 4096],
            Some("outblob") if entry.inblob.len() != INBLOB_MAX => {
                return reply.error(Errno::EINVAL);
            }
            Some("outblob") => answer(&entry.inblob),
            Some("generation") => format!("{}\n", entry.generation).into_bytes(),
            Some("provider") if faults.tdx => b"tdx_guest\n".to_vec(),
            Some("provider") => b"sev_guest\n".to_vec(),
            _ => Vec::new(),
        };
        let start = usize::try_from(offset).unwrap().min(content.len());
        let end = (start + size as usize).min(content.len());
        reply.data(&content[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        let buffer = state.opened.entry(handle.0).or_default();
        let end = usize::try_from(offset).unwrap() + data.len();
        if end > INBLOB_MAX {
            return reply.error(Errno::EFBIG);
        }
        buffer.resize(end.max(buffer.len()), 0);
        buffer[end - data.len()..end].copy_from_slice(data);
        reply.written(u32::try_from(data.len()).unwrap());
    }

    /// Close: the kernel hands the buffered blob over.
    fn flush(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        if let (Some(blob), (number, Some("inblob"))) =
            (state.opened.remove(&handle.0), entry_of(ino))
        {
            state.commit(number, blob);
        }
        reply.ok();
    }
}
