//! What a transfer has done, on the owner's disk, so that the next one does not do it again.
//!
//! One JSON object a line, appended when a file is done; a line that a kill cut off is ignored. Whether a file is still
//! what the journal says is decided by its content and by the version in storage, never by times.

mod lines;

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use self::lines::{Announced, Arrived, Hex, Left, Line};
pub(super) use self::lines::{Begun, Done, File, Staged};
use super::STRETCH;
use crate::CliError;

/// No line of ours is longer.
const LONGEST_LINE: u64 = 64 << 10;

/// What was noted, by path.
#[derive(Default)]
struct Held {
    done: HashMap<String, Done>,
    begun: HashMap<String, Begun>,
    announced: HashSet<String>,
    /// By the path of the whole file.
    left: HashMap<String, HashSet<String>>,
    arrived: HashMap<String, Coming>,
}

/// What came of a file that is not whole.
#[derive(Default)]
struct Coming {
    name: [u8; 32],
    pieces: HashMap<u64, Vec<Hex<32>>>,
}

impl Held {
    fn take(&mut self, line: Line) {
        match line {
            Line::Done(done) => {
                self.begun.remove(&done.path);
                self.announced.remove(&done.path);
                self.left.remove(&done.path);
                self.arrived.remove(&done.path);
                self.done.insert(done.path.clone(), done);
            }
            Line::Staged(staged) => {
                let begun = self.begun.entry(staged.file.path.clone());
                let begun = begun.or_insert_with(|| Begun {
                    file: staged.file.clone(),
                    blocks: HashMap::new(),
                });
                // Begun anew.
                if begun.file != staged.file {
                    begun.file = staged.file.clone();
                    begun.blocks.clear();
                }
                begun.blocks.insert(staged.index, staged);
            }
            Line::Announced(Announced { announced }) => {
                self.announced.insert(announced);
            }
            Line::Arrived(line) => {
                let coming = self.arrived.entry(line.path).or_default();
                // Another version.
                if coming.name != line.coming.0 {
                    coming.name = line.coming.0;
                    coming.pieces.clear();
                }
                coming.pieces.insert(line.stretch, line.arrived);
            }
            Line::Left(Left { path, partial }) => {
                self.left.entry(path).or_default().insert(partial);
            }
        }
    }
}

/// The journal of one dataset and direction; only one command has it at a time.
pub(crate) struct Journal {
    path: PathBuf,
    held: Held,
    file: Mutex<std::fs::File>,
}

impl Journal {
    /// Opens `<name>.jsonl` in a folder that is made if need be.
    pub(crate) fn open(folder: &Path, name: &str) -> Result<Self, CliError> {
        let path = folder.join(format!("{name}.jsonl"));
        let failed = |error| CliError::io(path.display().to_string(), error);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        let mut file = opened.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(CliError::Busy { path }),
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let held = read(&file).map_err(failed)?;
        // What comes next must not join a line that was cut off.
        file.write_all(b"\n").map_err(failed)?;
        Ok(Self {
            path,
            held,
            file: Mutex::new(file),
        })
    }

    pub(super) fn done(&self, path: &str) -> Option<&Done> {
        self.held.done.get(path)
    }

    /// What was staged of a file of this length, in blocks of this size.
    pub(super) fn begun(&self, path: &str, length: u64, block: u64) -> Option<&Begun> {
        let begun = self.held.begun.get(path);
        begun.filter(|begun| begun.file.length == length && begun.file.block == block)
    }

    /// Notes a file that is done.
    pub(super) fn note(&self, done: Done) -> Result<(), CliError> {
        self.append(&Line::Done(done))
    }

    /// Notes a block that is staged.
    pub(super) fn note_staged(&self, staged: Staged) -> Result<(), CliError> {
        self.append(&Line::Staged(staged))
    }

    /// Whether a file was about to be written when an earlier command ended.
    pub(super) fn is_announced(&self, path: &str) -> bool {
        self.held.announced.contains(path)
    }

    /// Notes that a file is about to be written.
    pub(super) fn announce(&self, path: &str) -> Result<(), CliError> {
        let announced = path.to_owned();
        self.append(&Line::Announced(Announced { announced }))
    }

    /// The files that earlier commands may have left before they were whole.
    pub(super) fn left(&self) -> impl Iterator<Item = &str> {
        self.held.left.values().flatten().map(String::as_str)
    }

    /// Notes a file that will not be whole for a while.
    pub(super) fn note_left(&self, path: &str, partial: &str) -> Result<(), CliError> {
        let left = self.held.left.get(path);
        if left.is_some_and(|left| left.contains(partial)) {
            return Ok(());
        }
        self.append(&Line::Left(Left {
            path: path.to_owned(),
            partial: partial.to_owned(),
        }))
    }

    /// What names a piece of a file that came earlier, by its number.
    pub(super) fn arrived(&self, path: &str, coming: &[u8; 32], piece: u64) -> Option<[u8; 32]> {
        let held = self.held.arrived.get(path);
        let held = held.filter(|held| held.name == *coming)?;
        let stretch = held.pieces.get(&(piece / STRETCH))?;
        let at = usize::try_from(piece % STRETCH).ok()?;
        stretch.get(at).map(|piece| piece.0)
    }

    /// Notes the pieces of a stretch that came.
    pub(super) fn note_arrived(
        &self,
        path: &str,
        coming: &[u8; 32],
        stretch: u64,
        pieces: Vec<[u8; 32]>,
    ) -> Result<(), CliError> {
        self.append(&Line::Arrived(Arrived {
            path: path.to_owned(),
            coming: Hex(*coming),
            stretch,
            arrived: pieces.into_iter().map(Hex).collect(),
        }))
    }

    fn append(&self, line: &Line) -> Result<(), CliError> {
        let mut line =
            serde_json::to_vec(line).map_err(|error| CliError::file(&self.path, error))?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)
            .map_err(|error| CliError::io(self.path.display().to_string(), error))
    }
}

fn read(file: &std::fs::File) -> std::io::Result<Held> {
    let mut held = Held::default();
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut lines)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(held);
        }
        if let Ok(line) = serde_json::from_slice(&line) {
            held.take(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use blob_format::manifest::Entry;

    use super::*;
    use crate::transfer::digest::ContentKey;

    fn key() -> ContentKey {
        ContentKey::of(&cleanroom_crypto::Dek::from_slice(&[7; 32]).unwrap()).unwrap()
    }

    fn done(path: &str, byte: u8) -> Done {
        let entry = Entry {
            path: path.to_owned(),
            length: 7,
            file_id: [byte; 16],
            generation: 1,
            authenticator: [byte; 32],
        };
        Done::new(&key(), &entry, [byte; 32], "etag").unwrap()
    }

    #[test]
    fn what_was_noted_is_there_again_and_a_cut_off_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let journal = Journal::open(&state, "data").unwrap();
        journal.note(done("a", 1)).unwrap();
        journal.note(done("b", 1)).unwrap();
        journal.note(done("a", 2)).unwrap();
        let busy = Journal::open(&state, "data");
        assert!(matches!(busy, Err(CliError::Busy { .. })));
        drop(journal);
        let path = state.join("data.jsonl");
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let journal = Journal::open(&state, "data").unwrap();
        assert_eq!(journal.done("a"), Some(&done("a", 1)));
        let entry = |done: &Done| done.entry(&key()).unwrap();
        assert_eq!(entry(journal.done("b").unwrap()), entry(&done("b", 1)));
        assert_eq!(entry(&done("b", 1)).authenticator, [1; 32]);
        journal.note(done("c", 3)).unwrap();
        drop(journal);
        let journal = Journal::open(&state, "data").unwrap();
        assert_eq!(journal.done("c"), Some(&done("c", 3)));
    }
}
