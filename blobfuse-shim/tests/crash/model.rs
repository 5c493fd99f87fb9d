//! An application and what it may find after a crash.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) type Content = Arc<Vec<u8>>;
pub(crate) type Files = BTreeMap<String, Content>;

/// Files of one writer.
const NAMES: u64 = 3;

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

struct Open {
    file: File,
    content: Vec<u8>,
}

pub(crate) struct Writer {
    number: u64,
    dice: Dice,
    /// What was acknowledged.
    durable: Files,
    /// What storage may have instead, by name: an operation that the crash cut off, a file that was removed while the end
    /// of its last handle was on its way.
    doubts: BTreeMap<String, Vec<Option<Content>>>,
    /// A rename that was cut off: at least one of the names has the content.
    renaming: Option<(String, String)>,
    commits: u64,
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
        }
    }

    /// Works until the mount is dead.
    pub(crate) fn work(&mut self, mount: &Path, killed: &AtomicBool) {
        let mut open = BTreeMap::new();
        loop {
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

    fn step(&mut self, mount: &Path, open: &mut BTreeMap<String, Open>) -> io::Result<()> {
        let name = self.name();
        match self.dice.roll(16) {
            0..=5 => self.write(mount, open, &name),
            6..=8 => match open.get(&name) {
                Some(at) => {
                    let content = Arc::new(at.content.clone());
                    self.commit(&name, &content, || at.file.sync_all())
                }
                None => Ok(()),
            },
            9 | 10 => self.close(open, &name),
            11 => match open.get_mut(&name) {
                Some(at) => {
                    let length = self.dice.roll(400_000);
                    at.file.set_len(length)?;
                    at.content.resize(usize::try_from(length).unwrap(), 0);
                    Ok(())
                }
                None => Ok(()),
            },
            12 => {
                self.close(open, &name)?;
                if let Some(content) = self.durable.get(&name).cloned() {
                    self.doubt(&name, None);
                    fs::remove_file(mount.join(&name))?;
                    self.durable.remove(&name);
                    self.doubts.insert(name, vec![Some(content)]);
                }
                Ok(())
            }
            13 => {
                let to = self.name();
                self.close(open, &name)?;
                self.close(open, &to)?;
                self.rename(mount, &name, &to)
            }
            _ => {
                let read = fs::read(mount.join(&name));
                let expected = match open.get(&name) {
                    Some(at) => Some(&at.content),
                    None => self.durable.get(&name).map(|content| &**content),
                };
                match read {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        assert!(expected.is_none(), "{name} is gone")
                    }
                    read => assert!(Some(&read?) == expected, "{name} reads differently"),
                }
                Ok(())
            }
        }
    }

    fn write(
        &mut self,
        mount: &Path,
        open: &mut BTreeMap<String, Open>,
        name: &str,
    ) -> io::Result<()> {
        if !open.contains_key(name) {
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .open(mount.join(name))?;
            let content = self.durable.get(name).map(|content| content.to_vec());
            let content = content.unwrap_or_default();
            open.insert(name.to_owned(), Open { file, content });
        }
        // Now and then over the border of two extents.
        let (far, long) = match self.dice.roll(24) {
            0 => (4 << 20, 1 << 20),
            _ => (300_000, 60_000),
        };
        let (offset, length) = (self.dice.roll(far), 1 + self.dice.roll(long));
        let part =
            vec![u8::try_from(1 + self.dice.roll(255)).unwrap(); usize::try_from(length).unwrap()];
        if let Some(at) = open.get_mut(name) {
            at.file.write_all_at(&part, offset)?;
            let start = usize::try_from(offset).unwrap();
            let end = start + part.len();
            at.content.resize(at.content.len().max(end), 0);
            at.content[start..end].copy_from_slice(&part);
        }
        Ok(())
    }

    fn close(&mut self, open: &mut BTreeMap<String, Open>, name: &str) -> io::Result<()> {
        let Some(Open { file, content }) = open.remove(name) else {
            return Ok(());
        };
        self.commit(name, &Arc::new(content), || Ok(nix::unistd::close(file)?))
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
        self.doubts.entry(name.to_owned()).or_default().push(state);
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
                || doubts.iter().any(|doubt| doubt.as_ref() == state);
            assert!(
                allowed,
                "round {round}, {name}: found {:?}, acknowledged {:?}, possible {:?}",
                state.map(|content| content.len()),
                self.durable.get(&name).map(|content| content.len()),
                doubts
                    .iter()
                    .map(|doubt| doubt.as_ref().map(|content| content.len()))
                    .collect::<Vec<_>>()
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
    }
}
