//! The OCI image layout on disk and `images.json` beside it.
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, Digest, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder,
    SCHEMA_VERSION,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::str::FromStr as _;

use image_layers::{Expected, Limits, hash_layer};

use crate::hash::{self, Hashing};
use crate::{ExtraFile, ImageError, ImageList, ImageSpec, elf, layer};

/// Annotation under which tools look for an image's name in a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An entry of `images.json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltImage {
    /// Name.
    pub name: String,
    /// `sha256:` digest of the manifest: what a policy pins and a registry serves.
    pub digest: String,
    /// `sha256:` digest of the configuration.
    pub config: String,
    /// Its layers, bottom first.
    pub layers: Vec<BuiltLayer>,
    /// Program path in the image and leading arguments.
    pub entrypoint: Vec<String>,
    /// The program on the machine that built the image, absolute.
    pub executable: PathBuf,
    /// Hex SHA-256 of the program.
    pub executable_sha256: String,
}

/// A layer of an image.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltLayer {
    /// `sha256:` digest of the uncompressed tar.
    pub diff_id: String,
    /// Hex root hash of the device that the platform mounts for it: what a CCE policy pins.
    pub root_hash: String,
}

/// Builds every image of `list` into the layout directory `out` and writes `out/images.json`. Blobs that are there
/// already are replaced by equal ones; images of earlier builds leave the index.
///
/// # Errors
/// [`ImageError`], before anything is written where the list itself is wrong.
pub fn build(list: &ImageList, out: &Path, gzip: bool) -> Result<Vec<BuiltImage>, ImageError> {
    list.check()?;
    let blobs = out.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(|source| ImageError::Write {
        path: blobs.clone(),
        source,
    })?;
    let mut built = Vec::new();
    let mut manifests = Vec::new();
    for image in &list.images {
        let (entry, descriptor) = one(image, &blobs, gzip)?;
        built.push(entry);
        manifests.push(descriptor);
    }
    manifests.sort_by_key(|descriptor| {
        descriptor
            .annotations()
            .as_ref()
            .and_then(|a| a.get(REF_NAME))
            .cloned()
    });
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()?;
    put(
        &out.join("oci-layout"),
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    put(&out.join("index.json"), index.to_string()?.as_bytes())?;
    let images = out.join("images.json");
    let text = serde_json::to_vec_pretty(&built).map_err(|source| ImageError::List {
        path: images.clone(),
        source,
    })?;
    put(&images, &text)?;
    Ok(built)
}

/// Reads `images.json`.
///
/// # Errors
/// [`ImageError::Read`] or [`ImageError::List`].
pub fn read_images(path: &Path) -> Result<Vec<BuiltImage>, ImageError> {
    let text = fs::read(path).map_err(|source| ImageError::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| ImageError::List {
        path: path.to_owned(),
        source,
    })
}

fn one(
    image: &ImageSpec,
    blobs: &Path,
    gzip: bool,
) -> Result<(BuiltImage, Descriptor), ImageError> {
    let unreadable = |source| ImageError::Read {
        path: image.binary.clone(),
        source,
    };
    let executable = fs::canonicalize(&image.binary).map_err(unreadable)?;
    let arch = elf::architecture(&executable, &image.files)?;
    let executable_sha256 = hash::of_file(&executable)?;
    for file in &image.files {
        check_pin(&image.name, file)?;
    }
    let (layer, diff_id) = write_layer(image, blobs, gzip)?;
    let root_hash = root_hash(&blobs.join(layer.digest().digest()), &diff_id)?;

    let mut run = ConfigBuilder::default()
        .entrypoint(image.command())
        .working_dir("/");
    if let Some(user) = &image.user {
        run = run.user(user);
    }
    let configuration = ImageConfigurationBuilder::default()
        .architecture(arch.clone())
        .os(Os::Linux)
        .config(run.build()?)
        .rootfs(
            RootFsBuilder::default()
                .typ("layers")
                .diff_ids(vec![diff_id.clone()])
                .build()?,
        )
        .build()?;
    let config = put_blob(
        blobs,
        MediaType::ImageConfig,
        configuration.to_string()?.as_bytes(),
    )?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config.clone())
        .layers(vec![layer])
        .build()?;
    let manifest = put_blob(
        blobs,
        MediaType::ImageManifest,
        manifest.to_string()?.as_bytes(),
    )?;
    let descriptor = DescriptorBuilder::default()
        .media_type(MediaType::ImageManifest)
        .digest(manifest.digest().clone())
        .size(manifest.size())
        .annotations(HashMap::from([(REF_NAME.to_owned(), image.name.clone())]))
        .platform(platform(arch)?)
        .build()?;
    let entry = BuiltImage {
        name: image.name.clone(),
        digest: manifest.digest().to_string(),
        config: config.digest().to_string(),
        layers: vec![BuiltLayer { diff_id, root_hash }],
        entrypoint: image.command(),
        executable,
        executable_sha256,
    };
    Ok((entry, descriptor))
}

/// A file that others built is the very one that was reviewed.
fn check_pin(image: &str, file: &ExtraFile) -> Result<(), ImageError> {
    let Some(expected) = &file.sha256 else {
        return Ok(());
    };
    let actual = hash::of_file(&file.source)?;
    if actual == *expected {
        return Ok(());
    }
    Err(ImageError::Pin {
        image: image.to_owned(),
        path: file.source.clone(),
        expected: expected.clone(),
        actual,
    })
}

fn platform(arch: Arch) -> Result<oci_spec::image::Platform, ImageError> {
    Ok(PlatformBuilder::default()
        .architecture(arch)
        .os(Os::Linux)
        .build()?)
}

/// The layer's descriptor and diff id; the file is written once, under a name it earns at the end.
fn write_layer(
    image: &ImageSpec,
    blobs: &Path,
    gzip: bool,
) -> Result<(Descriptor, String), ImageError> {
    let unwritable = |source| ImageError::Write {
        path: blobs.to_owned(),
        source,
    };
    let file = tempfile::NamedTempFile::new_in(blobs).map_err(unwritable)?;
    let stored = Hashing::new(BufWriter::new(file));
    let (stored, diff_id) = if gzip {
        // A header without time or system: the bytes depend on the compressor alone.
        let encoder = GzEncoder::new(stored, flate2::Compression::default());
        let (encoder, diff_id, _) = layer::write(image, Hashing::new(encoder), blobs)?.finish();
        (encoder.finish().map_err(unwritable)?, Some(diff_id))
    } else {
        (layer::write(image, stored, blobs)?, None)
    };
    let (writer, digest, size) = stored.finish();
    let file = writer
        .into_inner()
        .map_err(|e| unwritable(e.into_error()))?;
    persist(file, &blobs.join(&digest))?;
    let media_type = if gzip {
        MediaType::ImageLayerGzip
    } else {
        MediaType::ImageLayer
    };
    let diff_id = format!("sha256:{}", diff_id.unwrap_or_else(|| digest.clone()));
    Ok((Descriptor::new(media_type, size, sha256(&digest)?), diff_id))
}

/// The root hash of a stored layer, which is read back for it.
fn root_hash(blob: &Path, diff_id: &str) -> Result<String, ImageError> {
    let file = File::open(blob).map_err(|source| ImageError::Read {
        path: blob.to_owned(),
        source,
    })?;
    let hash = hash_layer(file, &Expected::default(), &Limits::default());
    let hash = hash.map_err(|source| ImageError::Layer {
        path: blob.to_owned(),
        source: Box::new(source),
    })?;
    let actual = hash.diff_id.to_string();
    if actual != diff_id {
        return Err(ImageError::Damaged {
            digest: diff_id.to_owned(),
            actual,
        });
    }
    Ok(hash.root_hash.to_string())
}

fn put_blob(blobs: &Path, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor, ImageError> {
    let digest = hash::of_bytes(bytes);
    put(&blobs.join(&digest), bytes)?;
    Ok(Descriptor::new(
        media_type,
        bytes.len() as u64,
        sha256(&digest)?,
    ))
}

fn sha256(hex: &str) -> Result<Digest, ImageError> {
    Ok(Digest::from_str(&format!("sha256:{hex}"))?)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let unwritable = |source| ImageError::Write {
        path: path.to_owned(),
        source,
    };
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(unwritable)?;
    file.write_all(bytes).map_err(unwritable)?;
    persist(file, path)
}

/// Appears under its name whole or not at all, readable by everyone.
fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt as _;
    let unwritable = |source| ImageError::Write {
        path: path.to_owned(),
        source,
    };
    let file: File = file.persist(path).map_err(|e| unwritable(e.error))?;
    file.set_permissions(fs::Permissions::from_mode(0o644))
        .map_err(unwritable)
}

/// The manifest bytes and digest of the image `name` of a layout.
pub(crate) fn find(layout: &Path, name: &str) -> Result<(String, Vec<u8>), ImageError> {
    let path = layout.join("index.json");
    let text = fs::read(&path).map_err(|source| ImageError::Read {
        path: path.clone(),
        source,
    })?;
    let index: oci_spec::image::ImageIndex =
        serde_json::from_slice(&text).map_err(|source| ImageError::List { path, source })?;
    let named = |d: &&Descriptor| {
        d.annotations()
            .as_ref()
            .is_some_and(|a| a.get(REF_NAME).is_some_and(|n| n == name))
    };
    let descriptor = index
        .manifests()
        .iter()
        .find(named)
        .ok_or_else(|| ImageError::Absent {
            name: name.to_owned(),
        })?;
    let digest = descriptor.digest().to_string();
    let path = blob_path(layout, descriptor.digest());
    let bytes = fs::read(&path).map_err(|source| ImageError::Read { path, source })?;
    let actual = format!("sha256:{}", hash::of_bytes(&bytes));
    if actual != digest {
        return Err(ImageError::Damaged { digest, actual });
    }
    Ok((digest, bytes))
}

pub(crate) fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.digest())
}
