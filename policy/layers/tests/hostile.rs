//! Archives and layouts that pretend to be another image, or none, or that cost more than they are worth.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "tests know their numbers"
)]

mod common;

use std::fs;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

use image_layers::source::{Blobs, ImageSource, OciImages};
use image_layers::{Digest, ImageError};
use serde_json::json;

use crate::common::draft::{Draft, INDEX, draft, find, layers, wanted};

#[test]
fn a_wanted_digest_is_only_ever_the_images_own() {
    let other = Digest::of(b"another image").to_string();
    // A manifest where an index is expected.
    let good = draft(|_| {});
    let folder = good.write();
    let own = good.index[0]["digest"].as_str().unwrap();
    let manifest = &good.blobs[own.strip_prefix("sha256:").unwrap()];
    fs::write(folder.path().join("index.json"), manifest).unwrap();
    for name in [None, Some(own)] {
        find(folder.path(), &wanted("linux/amd64", name)).unwrap();
    }
    for name in [other.as_str(), "app:1"] {
        let error = find(folder.path(), &wanted("linux/amd64", Some(name))).unwrap_err();
        assert!(
            matches!(&error, ImageError::NoSuchImage { present, .. } if present == &[own]),
            "{error:?}"
        );
    }

    // A name that looks like a digest.
    let mut named = Draft::empty();
    let image = named.image("amd64", &layers(), |_| {});
    named.list(
        image,
        json!({ "annotations": { "org.opencontainers.image.ref.name": other } }),
    );
    let error = find(named.write().path(), &wanted("linux/amd64", Some(&other))).unwrap_err();
    assert!(matches!(error, ImageError::NoSuchImage { .. }), "{error:?}");
}

/// A layout in memory that counts how often it is read.
#[derive(Debug)]
struct Counted {
    draft: Draft,
    reads: AtomicUsize,
}

impl Blobs for Counted {
    fn top(&self) -> Result<Vec<u8>, ImageError> {
        Ok(self.draft.index().to_string().into_bytes())
    }

    fn blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(reads < 2000, "reads on and on");
        Ok(Box::new(self.draft.blobs[&digest.hex()].as_slice()))
    }
}

#[test]
fn an_index_that_is_listed_again_is_not_read_again() {
    let mut bomb = Draft::empty();
    let mut descriptor = bomb.image("amd64", &layers(), |_| {});
    for _ in 0..3 {
        let index = json!({ "schemaVersion": 2, "manifests": vec![descriptor; 1000] });
        descriptor = bomb.document(INDEX, &index);
    }
    bomb.index = vec![descriptor; 1000];
    let source = OciImages(Counted {
        draft: bomb,
        reads: AtomicUsize::new(0),
    });
    let image = source.image(&wanted("linux/amd64", None)).unwrap();
    assert_eq!(image.layers.len(), 2);
    // Three indexes, the manifest and the configuration.
    assert_eq!(source.0.reads.load(Ordering::Relaxed), 5);
}

#[test]
fn indexes_count_as_images_do() {
    let mut many = draft(|_| {});
    for number in 0..1000 {
        let index = json!({ "schemaVersion": 2, "manifests": [], "number": number });
        let descriptor = many.document(INDEX, &index);
        many.list(descriptor, json!({}));
    }
    let error = find(many.write().path(), &wanted("linux/amd64", None)).unwrap_err();
    assert!(matches!(error, ImageError::Document { .. }), "{error:?}");
}
