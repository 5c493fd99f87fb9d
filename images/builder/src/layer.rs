//! The one layer: sorted ustar with everything that could differ between two machines set to nothing.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::{ImageError, ImageSpec};

enum Content {
    Directory,
    File(PathBuf),
}

/// Writes the layer of `image` to `out` and gives `out` back.
pub(crate) fn write<W: Write>(image: &ImageSpec, out: W, at: &Path) -> Result<W, ImageError> {
    let unwritable = |source| ImageError::Write {
        path: at.to_owned(),
        source,
    };
    let mut archive = Builder::new(out);
    for (path, (mode, content)) in entries(image)? {
        let refused = |reason| ImageError::Target {
            image: image.name.clone(),
            path: format!("/{path}"),
            reason,
        };
        let mut header = Header::new_ustar();
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let shown = if matches!(content, Content::Directory) {
            format!("{path}/")
        } else {
            path.clone()
        };
        header
            .set_path(&shown)
            .map_err(|_| refused("too long for ustar"))?;
        match content {
            Content::Directory => {
                header.set_entry_type(EntryType::Directory);
                header.set_size(0);
                header.set_cksum();
                archive.append(&header, io::empty()).map_err(unwritable)?;
            }
            Content::File(source) => {
                let unreadable = |e| ImageError::Read {
                    path: source.clone(),
                    source: e,
                };
                let file = File::open(&source).map_err(unreadable)?;
                header.set_entry_type(EntryType::Regular);
                header.set_size(file.metadata().map_err(unreadable)?.len());
                header.set_cksum();
                archive.append(&header, file).map_err(unwritable)?;
            }
        }
    }
    archive.into_inner().map_err(unwritable)
}

/// Every entry by its path without the leading slash; parents are made where nothing names them.
fn entries(image: &ImageSpec) -> Result<BTreeMap<String, (u32, Content)>, ImageError> {
    let refused = |path: &str, reason| ImageError::Target {
        image: image.name.clone(),
        path: path.to_owned(),
        reason,
    };
    let program = image.command().into_iter().next().unwrap_or_default();
    let program = (program, 0o755, Content::File(image.binary.clone()));
    let files = image
        .files
        .iter()
        .map(|f| (f.target.clone(), f.mode, Content::File(f.source.clone())));
    let directories = image
        .directories
        .iter()
        .map(|d| (d.target.clone(), d.mode, Content::Directory));
    let mut entries = BTreeMap::new();
    for (target, mode, content) in std::iter::once(program).chain(files).chain(directories) {
        let path = target
            .strip_prefix('/')
            .ok_or_else(|| refused(&target, "not absolute"))?;
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refused(&target, "not plain"));
        }
        if mode > 0o7777 {
            return Err(refused(&target, "mode is no permission bits"));
        }
        if entries.insert(path.to_owned(), (mode, content)).is_some() {
            return Err(refused(&target, "used twice"));
        }
    }
    let parents: Vec<String> = entries
        .keys()
        .flat_map(|path| {
            path.match_indices('/')
                .filter_map(|(at, _)| path.get(..at))
                .map(str::to_owned)
        })
        .collect();
    for parent in parents {
        let entry = entries
            .entry(parent.clone())
            .or_insert((0o755, Content::Directory));
        if matches!(entry.1, Content::File(_)) {
            return Err(refused(&format!("/{parent}"), "a file and a directory"));
        }
    }
    Ok(entries)
}
