//! An application, and what it may find after a crash or after operations that failed.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use nix::sys::statfs::{FUSE_SUPER_MAGIC, statfs};

pub(crate) type Content = Arc<Vec<u8>>;
pub(crate) type Files = BTreeMap<String, Content>;

/// Files of one writer.
const NAMES: u64 = 3;
/// Steps that are remembered.
const HISTORY: usize = 60;

pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % sides
    }
}

/// A file that is open for writing.
pub(crate) struct Open {
    file: File,
    content: Vec<u8>,
    /// What the content may be instead, after a write or truncation that failed.
    torn: Option<Doubt>,
}

pub(crate) type OpenFiles = BTreeMap<String, Open>;

/// What storage may have instead of what was acknowledged.
enum Doubt {
    State(Option<Content>),
    /// Some bytes of a write that failed, in this content.
    Torn(Content, usize, Vec<u8>),
}

impl Doubt {
    fn explains(&self, found: Option<&Content>) -> bool {
        match (self, found) {
            (Self::State(state), found) => state.as_ref() == found,
            (Self::Torn(..), None) => false,
            (Self::Torn(before, offset, part), Some(found)) => {
                let longest = before.len().max(offset + part.len());
                let written = |at: usize| at.checked_sub(*offset).and_then(|at| part.get(at));
                let old = |at| before.get(at).copied().unwrap_or(0);
                (before.len()..=longest).contains(&found.len())
                    && (0..)
                        .zip(found.iter())
                        .all(|(at, byte)| *byte == old(at) || written(at) == Some(byte))
            }
        }
    }
}

fn is_mounted(mount: &Path) -> io::Result<bool> {
    Ok(statfs(mount)?.filesystem_type() == FUSE_SUPER_MAGIC)
}

pub(crate) struct Writer {
    number: u64,
    dice: Dice,
    /// What was acknowledged.
    durable: Files,
    /// What storage may have instead, by name: an operation that the crash cut off, a file that was removed while the
    /// end of its last handle was on its way.
    doubts: BTreeMap<String, Vec<Doubt>>,
    /// A rename that was cut off: at least one of the names has the content.
    renaming: Option<(String, String)>,
    commits: u64,
    /// The last steps, for whoever has to find out.
    history: VecDeque<String>,
}

impl Writer {
    pub(crate) fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            dice: Dice::new(seed),
            durable: Files::new(),
            doubts: BTreeMap::new(),
            renaming: None,
            commits: 0,
            history: VecDeque::new(),
        }
    }

    /// Works until the mount is dead, and tells of each step that begins.
    pub(crate) fn work(&mut self, mount: &Path, killed: &AtomicBool, steps: &Sender<()>) {
        let mut open = BTreeMap::new();
        loop {
            // Nobody listens once the process is killed.
            let _ = steps.send(());
            if let Err(error) = self.step(mount, &mut open) {
                assert!(
                    killed.load(Ordering::SeqCst),
                    "an error before the crash: {error}"
                );
                return;
            }
        }
    }

    pub(crate) fn take_commits(&mut self) -> u64 {
        std::mem::take(&mut self.commits)
    }

    fn name(&mut self) -> String {
        let number = self.dice.roll(NAMES);
        format!("{}-{number}", self.number)
    }

    pub(crate) fn step(&mut self, mount: &Path, open: &mut OpenFiles) -> io::Result<()> {
        let name = self.name();
        let outcome = match self.dice.roll(16) {
            0..=5 => self.write(mount, open, &name),
            6..=8 => self.sync(open, &name),
            9 | 10 => self.close(open, &name),
            11 => self.set_len(open, &name),
            12 => self
                .close(open, &name)
                .and_then(|()| self.remove(mount, &name)),
            13 => {
                let to = self.name();
                self.close(open, &name)
                    .and_then(|()| self.close(open, &to))
                    .and_then(|()| self.rename(mount, &name, &to))
            }
            _ => self.read(mount, open, &name),
        };
        if let Err(error) = &outcome {
            self.note(format!("failed: {error}"));
        }
        outcome
    }

    fn note(&mut self, step: String) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(step);
    }

    fn sync(&mut self, open: &OpenFiles, name: &str) -> io::Result<()> {
        let Some(at) = open.get(name) else {
            return Ok(());
        };
        self.note(format!("sync {name}: {} bytes", at.content.len()));
        let content = Arc::new(at.content.clone());
        self.commit(name, &content, || at.file.sync_all())
    }

    fn set_len(&mut self, open: &mut OpenFiles, name: &str) -> io::Result<()> {
        let length = self.dice.roll(400_000);
        let Some(at) = open.get_mut(name) else {
            return Ok(());
        };
        self.note(format!("set the length of {name} to {length}"));
        let mut content = at.content.clone();
        content.resize(usize::try_from(length).unwrap(), 0);
        let outcome = at.file.set_len(length);
        if outcome.is_err() {
            at.torn = Some(Doubt::State(Some(Arc::new(content))));
        } else {
            at.content = content;
        }
        outcome
    }

    fn remove(&mut self, mount: &Path, name: &str) -> io::Result<()> {
        let Some(content) = self.durable.get(name).cloned() else {
            return Ok(());
        };
        self.note(format!("remove {name}"));
        self.doubt(name, None);
        fs::remove_file(mount.join(name))?;
        self.durable.remove(name);
        self.doubts
            .insert(name.to_owned(), vec![Doubt::State(Some(content))]);
        Ok(())
    }

    fn read(&mut self, mount: &Path, open: &OpenFiles, name: &str) -> io::Result<()> {
        let expected = match open.get(name) {
            Some(at) => Some(&at.content),
            None => self.durable.get(name).map(|content| &**content),
        };
        match fs::read(mount.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The helper of a killed process may have unmounted already; then nothing is there at all.
                if !is_mounted(mount)? {
                    return Err(error);
                }
                assert!(expected.is_none(), "{name} is gone: {:#?}", self.history);
            }
            read => {
                let differs = Some(&read?) != expected;
                assert!(!differs, "{name} reads differently: {:#?}", self.history);
            }
        }
        Ok(())
    }

    fn write(&mut self, mount: &Path, open: &mut OpenFiles, name: &str) -> io::Result<()> {
        if !open.contains_key(name) {
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .open(mount.join(name))?;
            let content = self.durable.get(name).map(|content| content.to_vec());
            let content = content.unwrap_or_default();
            open.insert(
                name.to_owned(),
                Open {
                    file,
                    content,
                    torn: None,
                },
            );
        }
        // Now and then over the border of two extents.
        let (far, long) = match self.dice.roll(24) {
            0 => (4 << 20, 1 << 20),
            _ => (300_000, 60_000),
        };
        let (offset, length) = (self.dice.roll(far), 1 + self.dice.roll(long));
        self.note(format!("write {name} at {offset}: {length} bytes"));
        let part =
            vec![u8::try_from(1 + self.dice.roll(255)).unwrap(); usize::try_from(length).unwrap()];
        if let Some(at) = open.get_mut(name) {
            let start = usize::try_from(offset).unwrap();
            if let Err(error) = at.file.write_all_at(&part, offset) {
                at.torn = Some(Doubt::Torn(Arc::new(at.content.clone()), start, part));
                return Err(error);
            }
            let end = start + part.len();
            at.content.resize(at.content.len().max(end), 0);
            at.content[start..end].copy_from_slice(&part);
        }
        Ok(())
    }

    fn close(&mut self, open: &mut OpenFiles, name: &str) -> io::Result<()> {
        let Some(Open {
            file,
            content,
            torn,
        }) = open.remove(name)
        else {
            return Ok(());
        };
        self.note(format!("close {name}: {} bytes", content.len()));
        if let Some(doubt) = torn {
            let doubts = self.doubts.entry(name.to_owned()).or_default();
            doubts.push(doubt);
            doubts.push(Doubt::State(Some(Arc::new(content))));
            return Ok(nix::unistd::close(file)?);
        }
        self.commit(name, &Arc::new(content), || Ok(nix::unistd::close(file)?))
    }

    /// After an operation that failed: closes every file, whether that works or not. Returns whether it worked.
    pub(crate) fn close_all(&mut self, mut open: OpenFiles) -> bool {
        let names: Vec<_> = open.keys().cloned().collect();
        let closed = names
            .iter()
            .filter(|name| self.close(&mut open, name).is_ok());
        closed.count() == names.len()
    }

    /// Storage has the old or the new version until it is acknowledged.
    fn commit(
        &mut self,
        name: &str,
        content: &Content,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.doubt(name, Some(Arc::clone(content)));
        work()?;
        self.durable.insert(name.to_owned(), Arc::clone(content));
        self.doubts.remove(name);
        self.commits += 1;
        Ok(())
    }

    fn rename(&mut self, mount: &Path, from: &str, to: &str) -> io::Result<()> {
        let Some(content) = self.durable.get(from).cloned().filter(|_| from != to) else {
            return Ok(());
        };
        self.note(format!("rename {from} to {to}: {} bytes", content.len()));
        self.doubt(from, None);
        self.doubt(to, Some(Arc::clone(&content)));
        self.renaming = Some((from.to_owned(), to.to_owned()));
        fs::rename(mount.join(from), mount.join(to))?;
        self.renaming = None;
        self.durable.remove(from);
        self.durable.insert(to.to_owned(), content);
        self.doubts.remove(from);
        self.doubts.remove(to);
        Ok(())
    }

    fn doubt(&mut self, name: &str, state: Option<Content>) {
        let doubts = self.doubts.entry(name.to_owned()).or_default();
        doubts.push(Doubt::State(state));
    }

    /// Compares what is there after a crash with what may be, and goes on from it.
    pub(crate) fn recover(&mut self, found: &Files, round: u64) {
        for number in 0..NAMES {
            let name = format!("{}-{number}", self.number);
            let state = found.get(&name);
            let doubts = self
                .doubts
                .get(&name)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let allowed = state == self.durable.get(&name)
                || doubts.iter().any(|doubt| doubt.explains(state));
            assert!(
                allowed,
                "round {round}, {name}: found {:?} bytes, acknowledged {:?}, and {} other possibilities: {:#?}",
                state.map(|content| content.len()),
                self.durable.get(&name).map(|content| content.len()),
                doubts.len(),
                self.history
            );
        }
        if let Some((from, to)) = self.renaming.take() {
            let content = &self.durable[&from];
            let left = [&from, &to]
                .iter()
                .any(|name| found.get(*name) == Some(content));
            assert!(left, "round {round}: a rename lost {from}");
        }
        let own = format!("{}-", self.number);
        let own = found.iter().filter(|(name, _)| name.starts_with(&own));
        self.durable = own
            .map(|(name, content)| (name.clone(), Arc::clone(content)))
            .collect();
        self.doubts.clear();
        self.note("recovered".to_owned());
    }
}
