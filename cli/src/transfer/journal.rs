//! What a transfer has done, on the owner's disk, so that the next one does not do it again.
//!
//! One JSON object a line, appended when a file is done; a line that a kill cut off is ignored. Whether a file is still
//! what the journal says is decided by its content and by the version in storage, never by times.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use blob_format::manifest::Entry;
use serde::{Deserialize, Serialize};

use crate::CliError;

/// No line of ours is longer.
const LONGEST_LINE: u64 = 64 << 10;

/// One file that is done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Done {
    pub(super) path: String,
    /// Names the clear content.
    #[serde(with = "digits")]
    pub(super) content: [u8; 32],
    /// Version in storage.
    pub(super) etag: String,
    pub(super) length: u64,
    #[serde(with = "digits")]
    file_id: [u8; 16],
    generation: u64,
    #[serde(with = "digits")]
    authenticator: [u8; 32],
}

/// Bytes as hexadecimal digits.
mod digits {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: impl AsRef<[u8]>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(Error::custom)?;
        Ok(bytes)
    }
}

impl Done {
    pub(super) fn new(entry: &Entry, content: [u8; 32], etag: &str) -> Self {
        Self {
            path: entry.path.clone(),
            content,
            etag: etag.to_owned(),
            length: entry.length,
            file_id: entry.file_id,
            generation: entry.generation,
            authenticator: entry.authenticator,
        }
    }

    /// What a manifest says of it.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            path: self.path.clone(),
            length: self.length,
            file_id: self.file_id,
            generation: self.generation,
            authenticator: self.authenticator,
        }
    }
}

/// The journal of one dataset and direction; only one command has it at a time.
pub(crate) struct Journal {
    path: PathBuf,
    done: HashMap<String, Done>,
    file: Mutex<File>,
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
        let done = read(&file).map_err(failed)?;
        // What comes next must not join a line that was cut off.
        file.write_all(b"\n").map_err(failed)?;
        Ok(Self {
            path,
            done,
            file: Mutex::new(file),
        })
    }

    pub(super) fn done(&self, path: &str) -> Option<&Done> {
        self.done.get(path)
    }

    /// Notes a file that is done.
    pub(super) fn note(&self, done: &Done) -> Result<(), CliError> {
        let mut line =
            serde_json::to_vec(done).map_err(|error| CliError::file(&self.path, error))?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)
            .map_err(|error| CliError::io(self.path.display().to_string(), error))
    }
}

fn read(file: &File) -> std::io::Result<HashMap<String, Done>> {
    let mut done = HashMap::new();
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut lines)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(done);
        }
        if let Ok(one) = serde_json::from_slice::<Done>(&line) {
            done.insert(one.path.clone(), one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(path: &str, byte: u8) -> Done {
        let entry = Entry {
            path: path.to_owned(),
            length: 7,
            file_id: [byte; 16],
            generation: 1,
            authenticator: [byte; 32],
        };
        Done::new(&entry, [byte; 32], "etag")
    }

    #[test]
    fn what_was_noted_is_there_again_and_a_cut_off_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let journal = Journal::open(&state, "data").unwrap();
        journal.note(&done("a", 1)).unwrap();
        journal.note(&done("b", 1)).unwrap();
        journal.note(&done("a", 2)).unwrap();
        let busy = Journal::open(&state, "data");
        assert!(matches!(busy, Err(CliError::Busy { .. })));
        drop(journal);
        let path = state.join("data.jsonl");
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let journal = Journal::open(&state, "data").unwrap();
        assert_eq!(journal.done("a"), Some(&done("a", 1)));
        assert_eq!(journal.done("b").unwrap().entry(), done("b", 1).entry());
        journal.note(&done("c", 3)).unwrap();
        drop(journal);
        let journal = Journal::open(&state, "data").unwrap();
        assert_eq!(journal.done("c"), Some(&done("c", 3)));
    }
}
