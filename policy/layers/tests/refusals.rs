//! Each layer that is refused, with the reason and the entry.
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

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use image_layers::{Compression, Digest, Expected, LayerError, LayerHash, Limits, hash_layer};
use serde_json::{Value, json};

use crate::common::{bytes, splitmix, tar_of};

fn hash(bytes: &[u8]) -> Result<LayerHash, LayerError> {
    hash_layer(bytes, &Expected::default(), &Limits::default())
}

fn hash_entries(entries: &[Value]) -> Result<LayerHash, LayerError> {
    hash(&bytes(tar_of(entries)))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layer of a few hundred kilobytes.
fn layer() -> Vec<u8> {
    bytes(tar_of(&[
        json!({ "type": "5", "name": "opt/" }),
        json!({ "name": "opt/data", "data": { "splitmix": 7, "len": 300_000 } }),
    ]))
}

#[test]
fn entries_that_the_reference_refuses_are_named() {
    let file = |name: &str, text: &str| json!({ "name": name, "data": { "text": text } });
    let dir = |name: &str| json!({ "type": "5", "name": name });
    let link = |name: &str, target: &str| json!({ "type": "1", "name": name, "linkname": target });
    let cases = [
        ("CR-LAYER-0006", vec![file(&"n".repeat(256), "x")], "nnn"),
        (
            "CR-LAYER-0006",
            vec![file(&format!("{}/f", "n".repeat(256)), "x")],
            "nnn",
        ),
        (
            "CR-LAYER-0007",
            vec![file("d", "x"), file("d/e", "y")],
            "d/e",
        ),
        (
            "CR-LAYER-0007",
            vec![
                json!({ "type": "2", "name": "l", "linkname": "/" }),
                file("l/e", "y"),
            ],
            "l/e",
        ),
        ("CR-LAYER-0008", vec![file("a", "1"), file("a", "2")], "a"),
        ("CR-LAYER-0008", vec![dir("d/"), file("d", "x")], "d"),
        ("CR-LAYER-0008", vec![file("d", ""), dir("d/")], "d/"),
        ("CR-LAYER-0008", vec![dir("d/"), file(".wh.d", "")], "d"),
        ("CR-LAYER-0008", vec![file("d/.wh.", "")], "d/"),
        (
            "CR-LAYER-0009",
            vec![link("l", "later"), file("later", "x")],
            "later",
        ),
        ("CR-LAYER-0009", vec![dir("d/"), link("l", "d")], "l"),
        (
            "CR-LAYER-0009",
            vec![file("a", "A"), file("b", "B"), link("b", "a")],
            "b",
        ),
        ("CR-LAYER-0009", vec![file("a", "A"), link("/", "a")], "/"),
        (
            "CR-LAYER-0011",
            vec![json!({ "name": "x", "pax": [["SCHILY.xattr.user.huge", "h".repeat(5000)]] })],
            "user.huge",
        ),
        (
            "CR-LAYER-0012",
            vec![json!({ "name": "big", "size": 46_000_000_000_u64 })],
            "big",
        ),
        ("CR-LAYER-0014", vec![file(&"d/".repeat(2100), "x")], "d/d/"),
    ];
    for (code, entries, named) in cases {
        let error = hash_entries(&entries).unwrap_err();
        assert_eq!(error.code(), code, "{error}: {entries:?}");
        assert!(
            error.to_string().contains(named),
            "{error} does not name {named}"
        );
    }
}

#[test]
fn sixty_five_thousand_links_are_the_most() {
    let mut entries = vec![json!({ "name": "a" })];
    entries.push(
        json!({ "repeat": 64_999, "entry": { "type": "1", "name": "l{i}", "linkname": "a" } }),
    );
    hash_entries(&entries).unwrap();
    entries.push(json!({ "type": "1", "name": "more", "linkname": "a" }));
    let error = hash_entries(&entries).unwrap_err();
    assert!(
        matches!(&error, LayerError::Links { entry } if entry == "more"),
        "{error:?}"
    );
}

#[test]
fn malformed_tars_are_refused() {
    let good = layer();
    let mut checksum = good.clone();
    checksum[0] ^= 1;
    let mut after_zeros = vec![0; 512];
    after_zeros.extend_from_slice(&good);
    let record =
        |body: &str| json!({ "name": "f", "raw": [[156, "78"]], "data": { "text": body } });
    let malformed = [
        checksum,
        after_zeros,
        bytes(tar_of(&[
            json!({ "name": "f", "raw": [[108, hex::encode("9999999\0")]] }),
        ])),
        bytes(tar_of(&[record("99 path=x\n"), json!({ "name": "f" })])),
        bytes(tar_of(&[json!({ "name": "f", "pax": [["size", "-1"]] })])),
        bytes(tar_of(&[
            json!({ "name": "f", "pax": [["mtime", "yesterday"]] }),
        ])),
        bytes(tar_of(&[json!({ "name": "f", "type": "S" })])),
        bytes(tar_of(&[
            json!({ "name": "f", "pax": [["GNU.sparse.map", "0,9,5,2"], ["GNU.sparse.numblocks", "2"], ["GNU.sparse.size", "20"]] }),
        ])),
        bytes(tar_of(&[
            json!({ "name": "f", "type": "x", "size": 2_000_000 }),
        ])),
    ];
    for (index, tar) in malformed.iter().enumerate() {
        let error = hash(tar).unwrap_err();
        assert!(
            matches!(error, LayerError::Tar { .. }),
            "{index}: {error:?}"
        );
    }
}

#[test]
fn a_layer_cut_anywhere_within_an_entry_is_refused() {
    let good = layer();
    for length in [1, 511, 513, 1023, 1025, 4096, 200_000, 512 + 512 + 299_999] {
        let error = hash(&good[..length]).unwrap_err();
        assert!(
            matches!(error, LayerError::Truncated { .. }),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn damaged_compressed_layers_are_refused() {
    let good = layer();
    for compressed in [gzip(&good), zstd(&good)] {
        hash(&compressed).unwrap();
        let cut = &compressed[..compressed.len() - 1];
        let mut flipped = compressed.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let mut middle = compressed.clone();
        middle[compressed.len() / 2] ^= 0xff;
        let garbage = [compressed.as_slice(), b"garbage"].concat();
        for damaged in [cut, &flipped, &middle, &garbage] {
            let error = hash(damaged).unwrap_err();
            assert!(matches!(error, LayerError::Compression { .. }), "{error:?}");
        }
    }
}

#[test]
fn members_and_frames_may_follow_each_other() {
    let good = layer();
    let (one, two) = good.split_at(100_000);
    let plain = hash(&good).unwrap();
    for compressed in [
        [gzip(one), gzip(two)].concat(),
        [zstd(one), zstd(two)].concat(),
    ] {
        let hashed = hash(&compressed).unwrap();
        assert_eq!(
            (hashed.root_hash, hashed.diff_id),
            (plain.root_hash, plain.diff_id)
        );
        assert_eq!(hashed.blob, Digest::of(&compressed));
        assert_eq!(hashed.blob_size, compressed.len() as u64);
    }
    assert_eq!(
        (plain.blob, plain.diff_id),
        (Digest::of(&good), Digest::of(&good))
    );
}

#[test]
fn a_zstd_frame_with_a_huge_window_is_refused_before_its_memory_is_taken() {
    // Magic, a descriptor without content size, and a window of 2^31 bytes.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    let error = hash(&frame).unwrap_err();
    assert!(
        matches!(error, LayerError::Compression { format: "zstd", .. }),
        "{error:?}"
    );
}

#[test]
fn another_compression_than_declared_is_refused() {
    for declared in [Compression::Gzip, Compression::Zstd] {
        let expected = Expected {
            compression: Some(declared),
            ..Expected::default()
        };
        let error = hash_layer(layer().as_slice(), &expected, &Limits::default()).unwrap_err();
        assert!(
            matches!(error, LayerError::NotAsDeclared { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn digests_and_sizes_are_checked_and_come_before_complaints_about_content() {
    let good = layer();
    let packed = gzip(&good);
    let right = Expected {
        compression: Some(Compression::Gzip),
        blob: Some(Digest::of(&packed)),
        size: Some(packed.len() as u64),
        diff_id: Some(Digest::of(&good)),
    };
    let try_with =
        |bytes: &[u8], expected: &Expected| hash_layer(bytes, expected, &Limits::default());
    try_with(&packed, &right).unwrap();

    let other = Expected {
        blob: Some(Digest::of(b"other")),
        ..right.clone()
    };
    assert!(matches!(
        try_with(&packed, &other),
        Err(LayerError::BlobDigest { .. })
    ));
    // The digest is wrong whatever else is: nobody should look for an error in a tar that is not theirs.
    for wrong in [&packed[..packed.len() / 2], b"\x1f\x8bnonsense", b"plain"] {
        let expected = Expected {
            size: None,
            ..right.clone()
        };
        let error = try_with(wrong, &expected).unwrap_err();
        assert!(matches!(error, LayerError::BlobDigest { .. }), "{error:?}");
    }
    let mut flipped = good.clone();
    flipped[700] ^= 1;
    let flipped_packed = gzip(&flipped);
    let expected = Expected {
        blob: Some(Digest::of(&flipped_packed)),
        size: Some(flipped_packed.len() as u64),
        ..right.clone()
    };
    assert!(matches!(
        try_with(&flipped_packed, &expected),
        Err(LayerError::DiffId { .. })
    ));

    let longer = Expected {
        size: Some(packed.len() as u64 - 1),
        ..right.clone()
    };
    assert!(matches!(
        try_with(&packed, &longer),
        Err(LayerError::BlobSize { .. })
    ));
    let shorter = Expected {
        size: Some(packed.len() as u64 + 1),
        ..right
    };
    assert!(matches!(
        try_with(&packed, &shorter),
        Err(LayerError::BlobSize { .. })
    ));
}

#[test]
fn a_blob_is_not_read_beyond_its_announced_size() {
    struct Endless(u64);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += buffer.len() as u64;
            assert!(self.0 < 100 << 20, "read on and on");
            buffer.fill(0xff);
            Ok(buffer.len())
        }
    }
    let expected = Expected {
        size: Some(1 << 20),
        ..Expected::default()
    };
    let error = hash_layer(Endless(0), &expected, &Limits::default()).unwrap_err();
    assert!(matches!(error, LayerError::BlobSize { .. }), "{error:?}");
}

#[test]
fn limits_hold_against_bombs() {
    let limits = Limits {
        entries: 1000,
        bytes: 1 << 20,
        ..Limits::default()
    };
    let limited = |bytes: &[u8]| hash_layer(bytes, &Expected::default(), &limits);
    let bombs = [
        // Zeros that compress well.
        gzip(&bytes(tar_of(&[
            json!({ "name": "f", "data": { "fill": 0, "len": 4 << 20 } }),
        ]))),
        // More after the end of the tar.
        gzip(&vec![0; 4 << 20]),
        // A hole.
        bytes(tar_of(&[
            json!({ "name": "f", "pax": [["GNU.sparse.map", ""], ["GNU.sparse.major", "0"], ["GNU.sparse.minor", "1"], ["GNU.sparse.numblocks", "0"], ["GNU.sparse.size", "9000000000"]] }),
        ])),
        bytes(tar_of(&[
            json!({ "repeat": 1001, "entry": { "name": "f{i}" } }),
        ])),
        // Directories that no entry names.
        bytes(tar_of(&[json!({ "name": "d/".repeat(1500) })])),
        bytes(tar_of(&[
            json!({ "repeat": 600, "entry": { "name": "{i}/{i}" } }),
        ])),
    ];
    for (index, bomb) in bombs.iter().enumerate() {
        let error = limited(bomb).unwrap_err();
        assert!(
            matches!(error, LayerError::Limit { .. }),
            "{index}: {error:?}"
        );
    }
}

#[test]
fn names_are_escaped_and_clipped_in_messages() {
    let name = [b"\x1b[31m\n".as_slice(), &splitmix(1, 0)].concat();
    let entry = json!({ "name_hex": hex::encode(&name), "data": { "text": "x" } });
    let message = hash_entries(&[entry.clone(), entry])
        .unwrap_err()
        .to_string();
    assert!(message.starts_with(r"\x1b[31m\n: "), "{message}");
}

#[test]
fn a_failing_source_is_reported_as_such() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        }
    }
    let good = gzip(&layer());
    for start in [0, 2, 1000] {
        let source = io::Cursor::new(good[..start].to_vec()).chain(Failing);
        let error = hash_layer(source, &Expected::default(), &Limits::default()).unwrap_err();
        assert!(
            matches!(&error, LayerError::Read { source } if source.kind() == io::ErrorKind::ConnectionReset),
            "{error:?}"
        );
    }
}

/// Gives a few bytes at a time, and is interrupted twenty times before each of them.
struct Interrupted<'a>(&'a [u8], usize);

impl Read for Interrupted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if !self.1.is_multiple_of(21) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = buffer.len().min(5);
        self.0.read(&mut buffer[..most])
    }
}

#[test]
fn an_interrupted_read_is_repeated_however_the_layer_is_compressed() {
    let good = layer();
    let expected = hash(&good).unwrap().root_hash;
    for blob in [good.clone(), gzip(&good), zstd(&good)] {
        let source = Interrupted(&blob, 0);
        let hash = hash_layer(source, &Expected::default(), &Limits::default()).unwrap();
        assert_eq!(hash.root_hash, expected);
    }
}
