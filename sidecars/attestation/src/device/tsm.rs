//! configfs-tsm: one directory per request, whose attribute files take the question and give the answer
//! (`Documentation/ABI/testing/configfs-tsm-report` of the kernel).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cleanroom_crypto::random;

use super::Refusal;
use crate::error::shown;
use crate::{AttestError, Report};

const PROVIDER: &str = "sev_guest";
/// A fresh directory counts from zero, and every write counts one: ours is the write of `inblob`.
const OUR_GENERATION: u64 = 1;
/// The kernel's own limit of `outblob`.
const BLOB_CAP: u64 = 32 << 10;
/// One page: the kernel's limit of a text attribute.
const TEXT_CAP: u64 = 4096;

pub(super) fn report(root: &Path, report_data: &[u8; 64]) -> Result<Report, Refusal> {
    let entry = Entry::make(root)?;
    let provider = entry.text("provider")?;
    if provider != PROVIDER {
        return Err(Refusal::Final(AttestError::TsmProvider {
            path: entry.0.join("provider"),
            expected: PROVIDER,
            actual: shown(&provider),
        }));
    }
    // `privlevel` stays at its default, VMPL 0.
    entry.write("inblob", report_data)?;
    let blob = entry.read("outblob", BLOB_CAP)?;
    // Whoever wrote into our directory meanwhile had the answer made for another question.
    let generation = entry.text("generation")?;
    if generation.parse() != Ok(OUR_GENERATION) {
        return Err(Refusal::Busy(AttestError::TsmRaced {
            path: entry.0.join("generation"),
            expected: OUR_GENERATION,
            actual: shown(&generation),
        }));
    }
    Report::parse(&blob).map_err(|error| Refusal::Final(error.into()))
}

/// A directory of our own; removed when it is dropped.
struct Entry(PathBuf);

impl Entry {
    fn make(root: &Path) -> Result<Self, Refusal> {
        // A name that nobody can foresee: an entry that is there already is somebody else's.
        let name = random::bytes::<16>().map_err(|error| Refusal::Final(error.into()))?;
        let path = root.join(format!("cleanroom-{}", hex::encode(name)));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(Refusal::of(&path, "cannot be made", source)),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let path = self.0.join(name);
        let written = open(OpenOptions::new().write(true), &path).and_then(|mut file| {
            // The kernel takes the blob when the file is closed.
            file.write_all(bytes)
        });
        written.map_err(|source| Refusal::of(&path, "cannot be written", source))
    }

    fn read(&self, name: &str, cap: u64) -> Result<Vec<u8>, Refusal> {
        let path = self.0.join(name);
        let mut bytes = Vec::new();
        let read = open(OpenOptions::new().read(true), &path)
            .and_then(|file| file.take(cap + 1).read_to_end(&mut bytes));
        let length = read.map_err(|source| Refusal::of(&path, "cannot be read", source))?;
        if length as u64 > cap {
            return Err(Refusal::firmware(
                &path,
                format!("more than {cap} bytes, the kernel's limit"),
            ));
        }
        Ok(bytes)
    }

    fn text(&self, name: &str) -> Result<String, Refusal> {
        let bytes = self.read(name, TEXT_CAP)?;
        Ok(String::from_utf8_lossy(bytes.trim_ascii()).into_owned())
    }
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options
        .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW)
        .open(path)
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a configfs-tsm entry stays behind");
        }
    }
}
