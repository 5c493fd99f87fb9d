//! Where images come from.
//!
//! A source finds one image for one platform, checks every document on the way against its digest, and opens layers. Files,
//! directories and archives that come as a stream are here; a registry is one more implementation of [`Blobs`].

mod archive;
mod docker;
mod document;
mod json;
mod layout;
mod oci;
mod packed;
mod platform;
mod stream;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use self::archive::Archive;
pub use self::docker::DockerArchive;
pub use self::layout::Layout;
pub use self::oci::{Blobs, OciImages};
pub use self::platform::{NotAPlatform, Platform};
pub use self::stream::read_stream;
use crate::layer::Compression;
use crate::{Digest, ImageError, LayerError, LayerHash};

/// Which image of a source.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it must run on.
    pub platform: Platform,
    /// A name that the source lists, or a digest. `None`: the only image there is for the platform.
    pub name: Option<String>,
}

/// One image of a source.
#[derive(Clone, Debug)]
pub struct Image {
    /// Of the manifest, where the source has one.
    pub manifest: Option<Digest>,
    /// Of the configuration.
    pub config_digest: Digest,
    /// The configuration: JSON, as its digest says.
    pub config: Vec<u8>,
    /// What the configuration says.
    pub platform: Platform,
    /// From the bottom up.
    pub layers: Vec<Layer>,
}

/// One layer of an image, not yet read.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Of the uncompressed tar, from the configuration.
    pub diff_id: Digest,
    /// Of the blob, where the source says it.
    pub blob: Option<Digest>,
    /// Bytes of the blob, where the source says it.
    pub size: Option<u64>,
    /// From the media type, where there is one.
    pub compression: Option<Compression>,
    /// The member of an archive without digests.
    pub(crate) member: Option<String>,
}

/// A place with images.
pub trait ImageSource: fmt::Debug + Send + Sync {
    /// Finds an image.
    ///
    /// # Errors
    ///
    /// There is none or more than one, or a document is not what it should be.
    fn image(&self, wanted: &Wanted) -> Result<Image, ImageError>;

    /// Opens a layer of an image of this source. What is read is not checked yet.
    ///
    /// # Errors
    ///
    /// The layer is not there.
    fn open(&self, layer: &Layer) -> Result<Opened<'_>, ImageError>;
}

/// A layer, opened.
pub enum Opened<'s> {
    /// Its blob, to be read.
    Blob(Box<dyn Read + Send + 's>),
    /// A source that passes by only once has read it already.
    Hashed(Result<LayerHash, LayerError>),
}

impl fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(_) => f.write_str("Blob(..)"),
            Self::Hashed(result) => f.debug_tuple("Hashed").field(result).finish(),
        }
    }
}

/// What a path turned out to be.
#[derive(Debug)]
pub enum Input {
    /// One layer's tar, perhaps compressed.
    Layer(File),
    /// Images: an archive or a layout.
    Images(Box<dyn ImageSource>),
}

/// Opens a layer's tar, a Docker archive, an OCI image layout or an archive of one, by what is in it. A tar with a file
/// `manifest.json` at its root, or both `index.json` and `oci-layout`, is taken for an archive of images. A hash of such an
/// archive as if it were a layer would stand for nothing that runs, so that one that is compressed or damaged is refused.
///
/// # Errors
///
/// The path cannot be read, or is none of these.
pub fn open_path(path: &Path) -> Result<Input, ImageError> {
    let unreadable = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Ok(Input::Images(Box::new(OciImages(Layout::open(path)?))));
    }
    // A pipe would block; nothing but a file can be read twice.
    if !metadata.is_file() {
        return Err(ImageError::Unrecognised {
            path: path.to_owned(),
            reason: "it is no file and no directory",
        });
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut magic = Vec::new();
    (&file)
        .take(4)
        .read_to_end(&mut magic)
        .map_err(unreadable)?;
    if Compression::sniff(&magic) != Compression::None {
        let packed = File::open(path).map_err(unreadable)?;
        if packed::is_image_archive(packed) {
            return Err(ImageError::Unrecognised {
                path: path.to_owned(),
                reason: "it is a compressed image archive; decompress it first",
            });
        }
    } else if let Some(archive) = Archive::index(path, &file)? {
        if archive.has("index.json") && archive.has("oci-layout") {
            return Ok(Input::Images(Box::new(OciImages(archive))));
        }
        return Ok(Input::Images(Box::new(DockerArchive::new(archive)?)));
    }
    Ok(Input::Layer(File::open(path).map_err(unreadable)?))
}
