//! Everything that is published beside a layout.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{
    FileDigest, ImageError, ImageList, Materials, Metadata, PublishedImages, checksums, hash,
    layout, provenance, read_images, sbom,
};

/// What a layout was made of.
#[derive(Debug)]
pub struct Described<'a> {
    /// The list that it was built from.
    pub list: &'a Path,
    /// The layout directory.
    pub layout: &'a Path,
    /// What `cargo metadata --format-version 1` printed.
    pub metadata: &'a Path,
    /// The `Cargo.lock` of the build.
    pub lock: &'a Path,
    /// Commit of the source.
    pub commit: String,
    /// What `rustc --version` printed.
    pub toolchain: String,
    /// Whether layers are compressed.
    pub gzip: bool,
}

/// Writes `image-manifest.json`, `provenance.json` and `sbom/<name>.cdx.json` into the layout directory. The manifest comes
/// last: where it is, the others are.
///
/// # Errors
/// [`ImageError`]: an input does not parse, or the layout is damaged.
pub fn describe(what: &Described<'_>) -> Result<PublishedImages, ImageError> {
    let list: ImageList = parsed(what.list)?;
    let metadata: Metadata = parsed(what.metadata)?;
    let lock = read(what.lock)?;
    let checksums = checksums(&String::from_utf8_lossy(&lock));
    let built = read_images(&what.layout.join("images.json"))?;
    let folder = what.layout.join("sbom");
    fs::create_dir_all(&folder).map_err(|source| ImageError::Write {
        path: folder.clone(),
        source,
    })?;
    let mut sboms = Vec::new();
    for image in &built {
        let absent = || ImageError::NoPackage {
            name: image.name.clone(),
        };
        let spec = list.images.iter().find(|spec| spec.name == image.name);
        let bill = sbom(spec.ok_or_else(absent)?, image, &metadata, &checksums);
        let name = format!("sbom/{}.cdx.json", image.name);
        sboms.push(put(what.layout, &name, &bill.ok_or_else(absent)?)?);
    }
    let materials = Materials {
        commit: what.commit.clone(),
        lock_sha256: hash::of_bytes(&lock),
        toolchain: what.toolchain.clone(),
        gzip: what.gzip,
    };
    let statement = provenance(&list, &built, &materials);
    let statement = put(what.layout, "provenance.json", &statement)?;
    let manifest = PublishedImages::of_layout(what.layout, sboms, statement)?;
    let value = serde_json::to_value(&manifest).map_err(|source| ImageError::List {
        path: what.layout.to_owned(),
        source,
    })?;
    put(what.layout, "image-manifest.json", &value)?;
    Ok(manifest)
}

fn put(folder: &Path, name: &str, value: &Value) -> Result<FileDigest, ImageError> {
    let path = folder.join(name);
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| ImageError::List {
        path: path.clone(),
        source,
    })?;
    text.push(b'\n');
    layout::put(&path, &text)?;
    Ok(FileDigest::of(name, &text))
}

fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ImageError> {
    serde_json::from_slice(&read(path)?).map_err(|source| ImageError::List {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    fs::read(path).map_err(|source| ImageError::Read {
        path: path.to_owned(),
        source,
    })
}
