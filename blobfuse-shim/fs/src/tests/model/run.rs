//! Each operation on the file system and on the map, and what may differ after a failure.

use std::collections::{BTreeMap, BTreeSet};

use blob_store::testing::{Faulty, MemoryStore};
use proptest::prelude::{TestCaseError, prop_assert, prop_assert_eq};

use super::{FAILURES, NAMES, Op, SLOTS};
use crate::tests::{bytes, dek, list, options, read_file};
use crate::{Changes, FileSystem, FsError, Mode, Options, ROOT};

/// One file, under a name or not.
#[derive(Clone, Debug, Default)]
struct File {
    content: Vec<u8>,
    dirty: bool,
    linked: bool,
    /// Its blob was replaced or deleted: it may still be readable from memory.
    severed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    file: usize,
    handle: u64,
    write: bool,
}

/// What was true before an operation that failed.
struct Before {
    durable: BTreeMap<usize, Vec<u8>>,
    names: BTreeMap<usize, usize>,
    files: Vec<File>,
    op: Op,
}

pub(super) struct Run {
    fs: FileSystem,
    memory: MemoryStore,
    faulty: Faulty,
    mode: Mode,
    budget: u64,
    files: Vec<File>,
    names: BTreeMap<usize, usize>,
    slots: [Option<Slot>; SLOTS],
    /// What storage holds: what is left after a crash.
    durable: BTreeMap<usize, Vec<u8>>,
    /// Unlinked files whose blob is still there.
    hidden: BTreeMap<usize, usize>,
    failing: bool,
    /// Files that were being written while the store failed: an upload in the background may tell only later.
    suspects: BTreeSet<usize>,
}

impl Run {
    pub(super) fn new(mode: Mode, budget: u64) -> Self {
        let memory = MemoryStore::default();
        let faulty = Faulty::new(memory.clone());
        Self {
            fs: mount(&faulty, mode, budget),
            memory,
            faulty,
            mode,
            budget,
            files: Vec::new(),
            names: BTreeMap::new(),
            slots: [None; SLOTS],
            durable: BTreeMap::new(),
            hidden: BTreeMap::new(),
            failing: false,
            suspects: BTreeSet::new(),
        }
    }

    /// Whether what was written may be committed before it is asked for: for want of memory, or because the format seals
    /// nothing twice.
    fn is_tight(&self) -> bool {
        self.budget < 1 << 20 || matches!(self.mode, Mode::CseAzure(..))
    }

    pub(super) async fn step(&mut self, op: Op, seed: u8) -> Result<(), TestCaseError> {
        match op {
            Op::Crash => return self.crash(seed).await,
            Op::Failing(op, dice) => {
                let before = self.before(&op);
                self.faulty.fail_at_random(dice, 300, &FAILURES);
                self.failing = true;
                let outcome = self.apply(*op, seed).await;
                self.failing = false;
                self.faulty.heal();
                if let Some(errno) = outcome? {
                    self.failed(errno, before).await?;
                } else {
                    let open = self.slots.iter().flatten().filter(|open| open.write);
                    self.suspects.extend(open.map(|open| open.file));
                }
            }
            op => self.succeed(op, seed).await?,
        }
        prop_assert!(self.fs.memory_used() <= self.budget);
        Ok(())
    }

    fn before(&self, op: &Op) -> Before {
        Before {
            durable: self.durable.clone(),
            names: self.names.clone(),
            files: self.files.clone(),
            op: op.clone(),
        }
    }

    async fn failed(&mut self, errno: i32, before: Before) -> Result<(), TestCaseError> {
        let documented = [libc::EIO, libc::ENOSPC, libc::ESTALE];
        prop_assert!(documented.contains(&errno), "{}", errno);
        self.recover(before).await
    }

    /// Does what fails only if it tells of an upload that failed before.
    async fn succeed(&mut self, op: Op, seed: u8) -> Result<(), TestCaseError> {
        let (before, file) = (self.before(&op), self.subject(&op));
        if let Some(errno) = self.apply(op, seed).await? {
            let late = file.is_some_and(|file| self.suspects.contains(&file));
            prop_assert!(late, "nothing failed: errno {}", errno);
            self.failed(errno, before).await?;
        }
        Ok(())
    }

    /// The file whose content an operation reads, writes or commits.
    fn subject(&self, op: &Op) -> Option<usize> {
        match op {
            Op::Write { slot, .. }
            | Op::Append { slot, .. }
            | Op::SetLen { slot, .. }
            | Op::Read { slot, .. }
            | Op::Sync(slot)
            | Op::Close(slot) => self.slots[*slot].map(|open| open.file),
            Op::Open { name, .. } | Op::Truncate(name, _) | Op::Rename(name, _) => {
                self.names.get(name).copied()
            }
            Op::Create(..) | Op::Unlink(_) | Op::List | Op::Crash | Op::Failing(..) => None,
        }
    }

    /// Does it on both sides. `Some` is an errno that only a failing store explains.
    async fn apply(&mut self, op: Op, seed: u8) -> Result<Option<i32>, TestCaseError> {
        macro_rules! done {
            ($outcome:expr) => {
                match $outcome {
                    Ok(value) => value,
                    Err(error) => return Ok(Some(error.errno())),
                }
            };
        }
        match op {
            Op::Create(slot, name) => {
                if self.slots[slot].is_some() {
                    return Ok(None);
                }
                let created = self.fs.create(ROOT, NAMES[name]).await;
                if self.names.contains_key(&name) {
                    let error = created.map(|_| ()).unwrap_err();
                    return Ok((error != FsError::Exists).then(|| error.errno()));
                }
                let (_, opened) = done!(created);
                self.sever(name);
                self.files.push(File {
                    linked: true,
                    dirty: true,
                    ..File::default()
                });
                self.names.insert(name, self.files.len() - 1);
                self.slots[slot] = Some(Slot {
                    file: self.files.len() - 1,
                    handle: opened.handle,
                    write: true,
                });
            }
            Op::Open {
                slot,
                name,
                write,
                truncate,
            } => {
                let Some(file) = self
                    .names
                    .get(&name)
                    .copied()
                    .filter(|_| self.slots[slot].is_none())
                else {
                    return Ok(None);
                };
                let attr = done!(self.fs.look_up(ROOT, NAMES[name]).await);
                let opened = self.fs.open(attr.ino, write, write && truncate).await;
                if write && self.writer(file).is_some() {
                    let error = opened.map(|_| ()).unwrap_err();
                    return Ok((error != FsError::Busy).then(|| error.errno()));
                }
                let handle = done!(opened).handle;
                self.slots[slot] = Some(Slot {
                    file,
                    handle,
                    write,
                });
                if write && truncate {
                    self.files[file].content.clear();
                    self.files[file].dirty = true;
                }
            }
            Op::Write { slot, offset, len } => {
                return self.write(slot, Some(offset), len, seed).await;
            }
            Op::Append { slot, len } => return self.write(slot, None, len, seed).await,
            Op::SetLen { slot, len } => {
                let Some(open) = self.slots[slot].filter(|open| open.write) else {
                    return Ok(None);
                };
                let file = &mut self.files[open.file];
                if !file.linked {
                    return Ok(None);
                }
                let name = self
                    .names
                    .iter()
                    .find(|(_, at)| **at == open.file)
                    .unwrap()
                    .0;
                let attr = done!(self.fs.look_up(ROOT, NAMES[*name]).await);
                let changed = self.fs.set_attributes(attr.ino, resize(len)).await;
                prop_assert_eq!(done!(changed).size, len as u64);
                file.content.resize(len, 0);
                file.dirty = true;
            }
            Op::Truncate(name, len) => {
                let Some(file) = self.names.get(&name).copied() else {
                    return Ok(None);
                };
                let attr = done!(self.fs.look_up(ROOT, NAMES[name]).await);
                let changed = done!(self.fs.set_attributes(attr.ino, resize(len)).await);
                prop_assert_eq!(changed.size, len as u64);
                self.files[file].content.resize(len, 0);
                self.files[file].dirty = true;
                if self.writer(file).is_none() {
                    self.committed(file);
                }
            }
            Op::Read { slot, offset, len } => {
                let Some(open) = self.slots[slot] else {
                    return Ok(None);
                };
                let read = self.fs.read(open.handle, offset as u64, len as u64).await;
                let file = &self.files[open.file];
                if file.severed && matches!(read, Err(FsError::Stale)) {
                    return Ok(None);
                }
                let end = file.content.len().min(offset + len);
                prop_assert!(done!(read) == file.content.get(offset..end).unwrap_or_default());
            }
            Op::Sync(slot) => {
                let Some(open) = self.slots[slot] else {
                    return Ok(None);
                };
                let synced = self.fs.flush(open.handle).await;
                if self.files[open.file].severed && matches!(synced, Err(FsError::Stale)) {
                    return Ok(None);
                }
                done!(synced);
                if open.write {
                    self.committed(open.file);
                }
            }
            Op::Close(slot) => {
                let Some(open) = self.slots[slot].take() else {
                    return Ok(None);
                };
                let flushed = self.fs.flush(open.handle).await;
                self.fs.release(open.handle).await.unwrap();
                if open.write
                    && !matches!(flushed, Err(FsError::Stale) if self.files[open.file].severed)
                {
                    done!(flushed);
                    self.committed(open.file);
                }
                if !self
                    .slots
                    .iter()
                    .flatten()
                    .any(|other| other.file == open.file)
                {
                    let hidden: Vec<_> = self
                        .hidden
                        .iter()
                        .filter(|(_, file)| **file == open.file)
                        .collect();
                    if let Some((name, _)) = hidden.first() {
                        let name = **name;
                        let is_left = self.memory.bytes(NAMES[name]).is_some();
                        prop_assert!(self.failing || !is_left, "the blob is deleted");
                        if !is_left {
                            self.sever(name);
                        }
                    }
                }
            }
            Op::Unlink(name) => {
                let gone = self.fs.unlink(ROOT, NAMES[name]).await;
                let Some(file) = self.names.get(&name).copied() else {
                    let error = gone.unwrap_err();
                    return Ok((error != FsError::NotFound).then(|| error.errno()));
                };
                done!(gone);
                self.names.remove(&name);
                self.files[file].linked = false;
                self.hidden.insert(name, file);
                if !self.slots.iter().flatten().any(|open| open.file == file) {
                    self.sever(name);
                }
            }
            Op::Rename(a, b) => {
                let renamed = self
                    .fs
                    .rename((ROOT, NAMES[a]), (ROOT, NAMES[b]), true)
                    .await;
                let Some(file) = self.names.get(&a).copied() else {
                    let error = renamed.unwrap_err();
                    return Ok((error != FsError::NotFound).then(|| error.errno()));
                };
                done!(renamed);
                if a == b {
                    return Ok(None);
                }
                self.committed(file);
                self.sever(b);
                if let Some(replaced) = self.names.remove(&b) {
                    self.files[replaced].linked = false;
                    self.files[replaced].severed = true;
                }
                self.names.remove(&a);
                self.names.insert(b, file);
                self.durable.remove(&a);
                self.durable.insert(b, self.files[file].content.clone());
            }
            Op::List => {
                let opened = done!(self.fs.open_directory(ROOT).await);
                let entries = self.fs.read_directory(opened.handle).unwrap();
                self.fs.release(opened.handle).await.unwrap();
                let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
                prop_assert_eq!(names, self.sorted(self.names.keys()));
            }
            Op::Crash | Op::Failing(..) => {}
        }
        Ok(None)
    }

    async fn write(
        &mut self,
        slot: usize,
        offset: Option<usize>,
        len: usize,
        seed: u8,
    ) -> Result<Option<i32>, TestCaseError> {
        let Some(open) = self.slots[slot].filter(|open| open.write) else {
            return Ok(None);
        };
        let data = bytes(len, seed);
        let file = &mut self.files[open.file];
        let offset = offset.unwrap_or(file.content.len());
        match self.fs.write(open.handle, offset as u64, &data).await {
            Ok(()) => {}
            Err(FsError::Stale) if file.severed => return Ok(None),
            Err(error) => return Ok(Some(error.errno())),
        }
        if len > 0 {
            let length = file.content.len().max(offset + len);
            file.content.resize(length, 0);
            file.content[offset..offset + len].copy_from_slice(&data);
            file.dirty = true;
        }
        Ok(None)
    }

    fn writer(&self, file: usize) -> Option<Slot> {
        let mut open = self.slots.iter().flatten();
        open.find(|open| open.file == file && open.write).copied()
    }

    /// A commit of a file succeeded.
    fn committed(&mut self, file: usize) {
        self.files[file].dirty = false;
        self.suspects.remove(&file);
        let name = self.names.iter().find(|(_, at)| **at == file);
        if let Some((name, _)) = name {
            self.durable.insert(*name, self.files[file].content.clone());
        }
    }

    /// The blob that an unlinked file left under a name is gone.
    fn sever(&mut self, name: usize) {
        if let Some(file) = self.hidden.remove(&name) {
            self.files[file].severed = true;
            self.durable.remove(&name);
        }
    }

    fn sorted<'a>(&self, names: impl Iterator<Item = &'a usize>) -> Vec<&'static str> {
        let mut names: Vec<_> = names.map(|name| NAMES[*name]).collect();
        names.sort_unstable();
        names
    }

    /// The process is gone; what is left is what was committed.
    async fn crash(&mut self, seed: u8) -> Result<(), TestCaseError> {
        if self.is_tight() {
            // Short memory commits early: only what was synced has a known state.
            for slot in 0..SLOTS {
                self.succeed(Op::Close(slot), seed).await?;
            }
        }
        let durable = self.durable.clone();
        self.remount(|name, content| durable.get(&name).map(Vec::as_slice) == content)
            .await
    }

    /// After an operation that failed: every name is in a state from before or after it.
    async fn recover(&mut self, before: Before) -> Result<(), TestCaseError> {
        let mut states: Vec<Vec<u8>> = before
            .durable
            .values()
            .cloned()
            .chain(before.files.iter().map(|file| file.content.clone()))
            .chain(self.files.iter().map(|file| file.content.clone()))
            .collect();
        if let Op::Truncate(name, len) = &before.op
            && let Some(file) = before.names.get(name)
        {
            let mut content = before.files[*file].content.clone();
            content.resize(*len, 0);
            states.push(content);
        }
        let tight = self.is_tight();
        let (durable, names, op) = (&before.durable, &before.names, &before.op);
        self.remount(|name, content| match content {
            // Short memory commits early, and so parts of a write, too.
            Some(content) => tight || states.iter().any(|state| state == content),
            None => {
                let given_up = match op {
                    Op::Unlink(gone) => *gone == name,
                    Op::Rename(from, _) => *from == name,
                    _ => false,
                };
                !durable.contains_key(&name) || !names.contains_key(&name) || given_up
            }
        })
        .await?;
        if let Op::Rename(from, to) = op
            && durable.contains_key(from)
            && names.contains_key(from)
        {
            let left = self.names.contains_key(from) || self.names.contains_key(to);
            prop_assert!(left, "a rename lost the file");
        }
        Ok(())
    }

    async fn remount(
        &mut self,
        is_allowed: impl Fn(usize, Option<&[u8]>) -> bool,
    ) -> Result<(), TestCaseError> {
        self.fs = mount(&self.faulty, self.mode, self.budget);
        self.slots = [None; SLOTS];
        self.files.clear();
        self.names.clear();
        self.durable.clear();
        self.hidden.clear();
        self.suspects.clear();
        for (name, text) in NAMES.iter().enumerate() {
            let content = match read_file(&self.fs, text).await {
                Ok(content) => Some(content),
                Err(FsError::NotFound) => None,
                Err(error) => return Err(TestCaseError::fail(format!("{text}: {error:?}"))),
            };
            prop_assert!(
                is_allowed(name, content.as_deref()),
                "{}: {:?}",
                text,
                content.map(|c| c.len())
            );
            if let Some(content) = content {
                self.files.push(File {
                    content: content.clone(),
                    linked: true,
                    ..File::default()
                });
                self.names.insert(name, self.files.len() - 1);
                self.durable.insert(name, content);
            }
        }
        Ok(())
    }

    /// Sealing vouches for exactly what the model has, and another mount reads it.
    pub(super) async fn end(mut self) -> Result<(), TestCaseError> {
        for slot in 0..SLOTS {
            self.succeed(Op::Close(slot), 0).await?;
        }
        let sealed = self.fs.seal().await.unwrap();
        let lengths = self
            .names
            .values()
            .map(|file| self.files[*file].content.len() as u64);
        prop_assert_eq!(
            (sealed.files, sealed.bytes),
            (self.names.len(), lengths.sum())
        );
        let reader = crate::tests::mount(&self.memory, self.mode, 7, true);
        prop_assert_eq!(list(&reader, "").await, self.sorted(self.names.keys()));
        for (name, file) in &self.names {
            let read = read_file(&reader, NAMES[*name]).await.unwrap();
            prop_assert!(read == self.files[*file].content);
        }
        Ok(())
    }
}

fn mount(store: &Faulty, mode: Mode, memory: u64) -> FileSystem {
    let options = Options {
        memory,
        uploads: 2,
        ..options()
    };
    FileSystem::new(std::sync::Arc::new(store.clone()), dek(7), mode, options)
}

fn resize(len: usize) -> Changes {
    Changes {
        size: Some(len as u64),
        ..Changes::default()
    }
}
