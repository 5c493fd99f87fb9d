//! Root hashes that have been computed before, one small file each.
//!
//! A root hash depends on the tar and the converter alone, so the key is both, and an entry is never wrong, only damaged:
//! each carries its own digest. Files are written beside their place and renamed, so that concurrent runs do no harm.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::{Digest, ImageError, RootHash};

/// What computed a hash. It changes when any tar gets another root hash than before.
pub const CONVERTER: &str = "tar2ext4-whiteouts-128gib-1";

/// No honest entry is larger.
const MOST_BYTES: u64 = 4096;

/// A directory of root hashes.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// What the cache knows of a layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cached {
    /// Its root hash.
    Hit(RootHash),
    /// Nothing.
    Miss,
    /// An entry that is damaged, or was written by another program. It is written anew when the hash is known.
    Damaged,
}

impl Cache {
    /// Opens a cache, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, or another user may write there.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let folder = path.join(CONVERTER);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| unwritable(&folder, source))?;
        for part in [path, &folder] {
            let metadata = fs::symlink_metadata(part).map_err(|source| unwritable(part, source))?;
            let unsafe_because = |reason| ImageError::CacheUnsafe {
                path: part.to_owned(),
                reason,
            };
            if !metadata.is_dir() {
                return Err(unsafe_because("it is no directory, or a link to one"));
            }
            if metadata.uid() != nix::unistd::geteuid().as_raw() {
                return Err(unsafe_because("it belongs to another user"));
            }
            if metadata.mode() & 0o022 != 0 {
                return Err(unsafe_because("other users may write there"));
            }
        }
        Ok(Self { folder })
    }

    /// Looks a layer up.
    #[must_use]
    pub fn get(&self, diff_id: &Digest) -> Cached {
        let file = match File::open(self.path(diff_id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Cached::Miss,
            Err(_) => return Cached::Damaged,
        };
        let mut text = String::new();
        if file.take(MOST_BYTES).read_to_string(&mut text).is_err() {
            return Cached::Damaged;
        }
        let root_hash = text
            .lines()
            .find_map(|line| line.strip_prefix("root-hash "));
        match root_hash.and_then(|text| text.parse().ok()) {
            // The only text that says this of this layer.
            Some(root_hash) if text == entry(diff_id, &root_hash) => Cached::Hit(root_hash),
            _ => Cached::Damaged,
        }
    }

    /// Keeps a root hash.
    ///
    /// # Errors
    ///
    /// The directory cannot be written.
    pub fn put(&self, diff_id: &Digest, root_hash: &RootHash) -> Result<(), ImageError> {
        let path = self.path(diff_id);
        let failed = |source| unwritable(&path, source);
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed)?;
        file.write_all(entry(diff_id, root_hash).as_bytes())
            .map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn path(&self, diff_id: &Digest) -> PathBuf {
        self.folder.join(diff_id.hex())
    }
}

fn entry(diff_id: &Digest, root_hash: &RootHash) -> String {
    let facts = format!("converter {CONVERTER}\ndiff-id {diff_id}\nroot-hash {root_hash}\n");
    format!("{facts}check {}\n", Digest::of(facts.as_bytes()))
}

fn unwritable(path: &Path, source: io::Error) -> ImageError {
    ImageError::CacheWrite {
        path: path.to_owned(),
        source,
    }
}
