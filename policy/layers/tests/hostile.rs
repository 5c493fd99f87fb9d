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
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::write::GzEncoder;
use image_layers::source::{Blobs, ImageSource, Input, OciImages, open_path, read_stream};
use image_layers::{Digest, ImageError, Limits};
use serde_json::json;

use crate::common::draft::{Draft, INDEX, draft, find, layers, wanted};
use crate::common::{bytes, tar_of};

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

fn written(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

/// Why a file is refused; `None`: it passes for a layer.
fn refusal(content: &[u8]) -> Option<&'static str> {
    match open_path(written(content).path()) {
        Ok(Input::Layer(_)) => None,
        Err(ImageError::Unrecognised { reason, .. }) => Some(reason),
        other => panic!("{other:?}"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn headers_that_would_fill_the_memory_are_not_read() {
    for kind in ["L", "K", "x"] {
        let tar = bytes(tar_of(&[
            json!({ "name": "h", "type": kind, "size": 1_u64 << 30, "num": "base256", "fmt": "gnu" }),
        ]));
        let file = written(&tar[..512]);
        // A hole, then a member: without the limit the header is read to its end, and the file passes for a layer.
        file.as_file().set_len(512 + (1 << 30)).unwrap();
        let mut end = file.reopen().unwrap();
        std::io::Seek::seek(&mut end, std::io::SeekFrom::End(0)).unwrap();
        end.write_all(&bytes(tar_of(&[json!({ "name": "f" })])))
            .unwrap();
        let error = open_path(file.path()).unwrap_err();
        assert_eq!(error.code(), "CR-LAYER-0031");
        assert!(error.to_string().contains("256 MiB"), "{kind}: {error}");
    }
}

#[test]
fn the_content_of_members_is_no_header() {
    let tar = bytes(tar_of(&[
        json!({ "name": "f", "size": 1_u64 << 30, "num": "base256" }),
    ]));
    let file = written(&tar[..512]);
    file.as_file().set_len(512 + (1 << 30) + 1024).unwrap();
    assert!(matches!(open_path(file.path()), Ok(Input::Layer(_))));
}

#[test]
fn a_compressed_image_archive_is_no_layer() {
    let images =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/cce/images");
    let mut archives = 0;
    for file in fs::read_dir(images).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let content = fs::read(&path).unwrap();
        for packed in [
            gzip(&content),
            zstd::encode_all(content.as_slice(), 1).unwrap(),
        ] {
            let refused = refusal(&packed).is_some_and(|reason| reason.contains("decompress"));
            let is_archive = name.starts_with("docker") || name.starts_with("oci");
            assert_eq!(refused, is_archive, "{name}");
            archives += usize::from(refused);
        }
    }
    assert_eq!(archives, 14);
}

#[test]
fn an_image_archive_that_cannot_be_read_is_no_layer() {
    let file = |name: &str| json!({ "name": name, "data": { "text": "[]" } });
    let many = json!({ "repeat": 100_001, "entry": { "name": "f{i}" } });
    // The list may come last.
    for entries in [
        [many.clone(), file("manifest.json")].as_slice(),
        &[file("manifest.json"), many.clone()],
        &[file("index.json"), many.clone(), file("oci-layout")],
    ] {
        let reason = refusal(&bytes(tar_of(entries))).unwrap();
        assert!(reason.contains("100000 members"), "{reason}");
    }
    assert_eq!(refusal(&bytes(tar_of(&[file("index.json"), many]))), None);

    for marker in ["manifest.json", "index.json", "./oci-layout"] {
        let good = bytes(tar_of(&[file(marker), file("a")]));
        let mut checksum = good.clone();
        checksum[1024] ^= 1;
        for damaged in [&checksum, &good[..1024 + 512]] {
            let reason = refusal(damaged).unwrap();
            assert!(reason.contains("damaged"), "{marker}: {reason}");
        }
    }
    // The list is a link out of the archive.
    let link = json!({ "name": "manifest.json", "type": "2", "linkname": "/etc/passwd" });
    let error = open_path(written(&bytes(tar_of(&[link]))).path()).unwrap_err();
    assert!(matches!(error, ImageError::Missing { .. }), "{error:?}");
}

/// An archive of members, as a stream.
fn archive(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn the_members_of_a_stream_may_not_cost_more_together_than_one_may() {
    let limits = Limits {
        bytes: 4 << 20,
        ..Limits::default()
    };
    let refused = |members: &[(String, Vec<u8>)]| match read_stream(
        archive(members).as_slice(),
        "the stream",
        &limits,
    ) {
        Ok(source) => panic!("{source:?}"),
        Err(error) => error,
    };
    let gzip = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let megabyte = json!({ "name": "f", "data": { "fill": 7, "len": 1 << 20 } });
    let layer = gzip(&bytes(tar_of(&[megabyte])));
    let no_layer = gzip(&[b"no tar".as_slice(), &vec![7; 1 << 20]].concat());
    let holes = bytes(tar_of(&[json!({
        "name": "s", "pax": [["GNU.sparse.major", "0"], ["GNU.sparse.minor", "1"], ["GNU.sparse.numblocks", "0"],
                             ["GNU.sparse.size", "1048576"]],
    })]));
    for content in [layer, no_layer, holes] {
        let members = |count: usize| -> Vec<_> {
            (0..count)
                .map(|number| (format!("{number}.tar"), content.clone()))
                .collect()
        };
        // Each alone, and three of them, are within the limit; the stream is no image only because it has no list.
        assert_eq!(refused(&members(3)).code(), "CR-LAYER-0031");
        let error = refused(&members(6));
        assert_eq!(error.code(), "CR-LAYER-0036", "{error}");
        assert!(error.to_string().contains("together"), "{error}");
    }
}
