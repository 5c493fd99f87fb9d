//! The archive that `docker load` reads.
use std::fs::File;
use std::io::Write;
use std::path::Path;

use oci_spec::image::{Digest, ImageManifest};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::ImageError;
use crate::layout::{blob_path, find, read_images};

/// Writes every image of a layout to `out` as one archive. The images keep their identity: Docker's image ID is the digest of
/// the configuration, and each is tagged `<prefix>/<name>:latest`, for people; nothing refers to the tag.
///
/// # Errors
/// [`ImageError`]: the layout is damaged or the archive cannot be written.
pub fn archive<W: Write>(layout: &Path, prefix: &str, out: W) -> Result<W, ImageError> {
    let unwritable = |source| ImageError::Write {
        path: layout.to_owned(),
        source,
    };
    let mut archive = Builder::new(out);
    let mut description = Vec::new();
    for image in read_images(&layout.join("images.json"))? {
        let (_, manifest) = find(layout, &image.name)?;
        let manifest: ImageManifest =
            serde_json::from_slice(&manifest).map_err(|source| ImageError::List {
                path: layout.to_owned(),
                source,
            })?;
        let config = format!("{}.json", manifest.config().digest().digest());
        append(&mut archive, layout, manifest.config().digest(), &config)?;
        let mut layers = Vec::new();
        for layer in manifest.layers() {
            let name = format!("{}.tar", layer.digest().digest());
            append(&mut archive, layout, layer.digest(), &name)?;
            layers.push(name);
        }
        description.push(json!({
            "Config": config,
            "RepoTags": [format!("{prefix}/{}:latest", image.name)],
            "Layers": layers,
        }));
    }
    let text = json!(description).to_string();
    let mut header = plain(text.len() as u64);
    archive
        .append_data(&mut header, "manifest.json", text.as_bytes())
        .map_err(unwritable)?;
    archive.into_inner().map_err(unwritable)
}

fn append<W: Write>(
    archive: &mut Builder<W>,
    layout: &Path,
    digest: &Digest,
    name: &str,
) -> Result<(), ImageError> {
    let path = blob_path(layout, digest);
    let unreadable = |source| ImageError::Read {
        path: path.clone(),
        source,
    };
    let blob = File::open(&path).map_err(unreadable)?;
    let mut header = plain(blob.metadata().map_err(unreadable)?.len());
    archive
        .append_data(&mut header, name, blob)
        .map_err(|source| ImageError::Write {
            path: layout.to_owned(),
            source,
        })
}

fn plain(size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header
}
