//! An OCI image layout: a directory with `oci-layout`, `index.json` and `blobs/sha256`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::document::{MOST_BYTES, malformed};
use super::json;
use super::oci::{Blobs, read_document};
use crate::{Digest, ImageError};

/// A directory in the OCI image layout.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
}

impl Layout {
    /// Opens a layout of version 1.
    ///
    /// # Errors
    ///
    /// The directory has no `oci-layout`, or one of another version.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let layout = Self {
            path: path.to_owned(),
        };
        let marker = layout
            .file(Path::new("oci-layout"))
            .map_err(|error| match error {
                ImageError::Missing { .. } => ImageError::Unrecognised {
                    path: path.to_owned(),
                    reason: "the directory has no file oci-layout",
                },
                other => other,
            })?;
        check_version(&read_document("oci-layout", marker, MOST_BYTES)?)?;
        Ok(layout)
    }

    fn file(&self, name: &Path) -> Result<File, ImageError> {
        let path = self.path.join(name);
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => ImageError::Missing {
                what: format!("file {}", name.display()),
            },
            _ => ImageError::Read {
                path: path.clone(),
                source,
            },
        };
        // Before it is opened: a pipe would block.
        if !std::fs::metadata(&path).map_err(unreadable)?.is_file() {
            return Err(unreadable(io::ErrorKind::InvalidInput.into()));
        }
        File::open(&path).map_err(unreadable)
    }
}

impl Blobs for Layout {
    fn top(&self) -> Result<Vec<u8>, ImageError> {
        read_document(
            "index.json",
            self.file(Path::new("index.json"))?,
            MOST_BYTES,
        )
    }

    fn blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let name = Path::new("blobs/sha256").join(digest.hex());
        Ok(Box::new(self.file(&name)?))
    }
}

/// `oci-layout` must say version 1.
pub(super) fn check_version(bytes: &[u8]) -> Result<(), ImageError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    let marker: Marker = json::read(bytes).map_err(|error| malformed("oci-layout", error))?;
    if marker.image_layout_version.starts_with("1.") {
        return Ok(());
    }
    Err(malformed("oci-layout", "its version is not 1"))
}
