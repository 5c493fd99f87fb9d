//! Datasets on their way: folders to sealed blobs, back, and from one layout to another.
//!
//! Constant memory whatever the size of a file: what is under way belongs to one [`Engine`], which bounds it. A file that
//! fails does not stop the others; what fails for all of them (no login, no service, a full disk) stops the command.

mod clear;
mod convert;
mod digest;
mod download;
mod engine;
mod failure;
mod journal;
mod known;
mod layout;
mod list;
mod partial;
mod place;
mod read;
mod target;
#[cfg(test)]
mod tests;
mod tree;
mod upload;
mod verify;
mod write;

use std::sync::Arc;

use cleanroom_crypto::Dek;
use serde_json::{Value, json};

pub(crate) use self::convert::Convert;
pub(crate) use self::download::Download;
pub(crate) use self::engine::{Engine, Limits};
pub use self::failure::Failed;
pub(crate) use self::journal::Journal;
pub(crate) use self::known::{Coming, Expect, Known};
pub(crate) use self::layout::Layout;
use self::partial::is_partial;
pub(crate) use self::place::{Folder, Place};
pub(crate) use self::upload::Upload;
pub(crate) use self::verify::{Report, Verify};

/// Clear bytes of a part: what is read, sealed and sent as one; a whole number of units of every layout we write but v1
/// with 16 MiB, whose parts are one unit.
const PART: u64 = 4 << 20;
/// Parts after which what was written is on the disk: where a transfer that was killed goes on.
const STRETCH: u64 = 8;
/// Names that a dataset keeps for itself.
const OWN: &str = ".cleanroom";
/// No dataset has more files: a manifest could not list them.
const MOST_FILES: usize = 10_000_000;

/// A dataset that can be read and written: where it is, how it is laid out, and its key.
pub(crate) struct Dataset {
    pub(crate) name: String,
    pub(crate) layout: Layout,
    pub(crate) dek: Arc<Dek>,
    pub(crate) place: Place,
}

/// What a transfer did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Moved {
    /// Files of the dataset.
    pub(crate) files: u64,
    /// Clear bytes of them.
    pub(crate) bytes: u64,
    /// Files that were there already, as the journal and the content show.
    pub(crate) unchanged: u64,
    /// Of a dataset with a manifest: the keyed root of it, hexadecimal.
    pub(crate) root: Option<String>,
    /// Of a dataset that was read: whether its manifest had to be a certain one.
    pub(crate) pinned: Option<bool>,
}

impl Moved {
    fn count(&mut self, bytes: u64, unchanged: bool) {
        self.files += 1;
        self.bytes += bytes;
        self.unchanged += u64::from(unchanged);
    }

    /// As a command prints it.
    pub(crate) fn to_json(&self) -> Value {
        let mut shown = json!({
            "files": self.files,
            "bytes": self.bytes,
            "unchanged": self.unchanged,
            "manifestHmac": self.root,
        });
        if let (Some(pinned), Some(shown)) = (self.pinned, shown.as_object_mut()) {
            shown.insert("pinned".to_owned(), pinned.into());
        }
        shown
    }
}

/// Whether a path belongs to the dataset itself.
fn is_own(path: &str) -> bool {
    path.strip_prefix(OWN)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Why a mount could not show a path, or storage not take it.
fn refusal(path: &str) -> Option<&'static str> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if !path.split('/').all(plain) {
        return Some("it is no path");
    }
    if is_partial(path) {
        return Some("it is the name of a file that was not downloaded whole");
    }
    if is_own(path) {
        return Some("the folder .cleanroom belongs to the dataset itself");
    }
    if path.split('/').any(|part| part.len() > 255) {
        return Some("a name has more than 255 bytes");
    }
    if path.len() > 1024 || path.split('/').count() > 254 {
        return Some("the path has more than 1024 bytes or 254 names");
    }
    if path.chars().any(char::is_control) {
        return Some("it has control characters");
    }
    None
}
