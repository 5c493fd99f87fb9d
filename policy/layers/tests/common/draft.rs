//! Images that tests make and falsify, and short ways to read them.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use image_layers::source::{Image, ImageSource, Input, Wanted, open_path};
use image_layers::{Digest, HashedLayer, ImageError, Settings, hash_image};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{bytes, tar_of};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

pub(crate) fn wanted(platform: &str, name: Option<&str>) -> Wanted {
    Wanted {
        platform: platform.parse().unwrap(),
        name: name.map(str::to_owned),
    }
}

pub(crate) fn images(path: &Path) -> Result<Box<dyn ImageSource>, ImageError> {
    match open_path(path)? {
        Input::Images(source) => Ok(source),
        Input::Layer(_) => panic!("{} is taken for a layer", path.display()),
    }
}

pub(crate) fn find(path: &Path, wanted: &Wanted) -> Result<Image, ImageError> {
    images(path)?.image(wanted)
}

pub(crate) fn hash(path: &Path) -> Result<Vec<HashedLayer>, ImageError> {
    hash_with(path, &Settings::default())
}

pub(crate) fn hash_with(
    path: &Path,
    settings: &Settings<'_>,
) -> Result<Vec<HashedLayer>, ImageError> {
    let source = images(path)?;
    let image = source.image(&wanted("linux/amd64", None))?;
    hash_image(source.as_ref(), &image, settings)
}

/// An image under construction: parts are changed before it is written.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    pub(crate) index: Vec<Value>,
}

impl Draft {
    pub(crate) fn empty() -> Self {
        Self {
            blobs: BTreeMap::new(),
            index: Vec::new(),
        }
    }

    pub(crate) fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content);
        self.blobs.insert(digest.hex(), content.to_vec());
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": content.len() })
    }

    pub(crate) fn document(&mut self, media_type: &str, content: &Value) -> Value {
        self.blob(media_type, content.to_string().as_bytes())
    }

    /// Adds an image; `change` may falsify its manifest.
    pub(crate) fn image(
        &mut self,
        architecture: &str,
        layers: &[Vec<u8>],
        change: impl FnOnce(&mut Value),
    ) -> Value {
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|tar| Digest::of(tar).to_string())
            .collect();
        let config = json!({ "os": "linux", "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let config = self.document(CONFIG, &config);
        let layers: Vec<Value> = layers.iter().map(|tar| self.blob(LAYER, tar)).collect();
        let mut manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        change(&mut manifest);
        let media_type = manifest["mediaType"]
            .as_str()
            .unwrap_or(MANIFEST)
            .to_owned();
        self.document(&media_type, &manifest)
    }

    pub(crate) fn list(&mut self, mut descriptor: Value, more: Value) {
        for (key, value) in more.as_object().unwrap() {
            descriptor[key] = value.clone();
        }
        self.index.push(descriptor);
    }

    pub(crate) fn index(&self) -> Value {
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.index })
    }

    pub(crate) fn write(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        fs::write(
            folder.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        fs::write(folder.path().join("index.json"), self.index().to_string()).unwrap();
        for (name, content) in &self.blobs {
            fs::write(folder.path().join("blobs/sha256").join(name), content).unwrap();
        }
        folder
    }
}

pub(crate) fn layers() -> Vec<Vec<u8>> {
    let file = |name: &str| bytes(tar_of(&[json!({ "name": name, "data": { "text": name } })]));
    vec![file("one"), file("two")]
}

/// A layout with one image.
pub(crate) fn draft(change: impl FnOnce(&mut Value)) -> Draft {
    let mut draft = Draft::empty();
    let image = draft.image("amd64", &layers(), change);
    draft.list(image, json!({}));
    draft
}
