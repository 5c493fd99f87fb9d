//! `cleanroom policy hash` over every published vector, and where it must refuse.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a test may fail by panicking"
)]

#[path = "../../policy/layers/tests/common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::common::draft::{Draft, draft, layers};
use crate::common::tar;

/// Larger tars are only written compressed.
const LARGE: u64 = 4 << 20;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/cce")
}

fn cleanroom(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cleanroom"));
    command
        .args(["policy", "hash"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder);
    command
}

fn hash(folder: &Path, arguments: &[&str]) -> Output {
    cleanroom(folder, arguments).output().unwrap()
}

/// The layers that were printed.
fn printed(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document.as_object().unwrap().len(), 1, "{document}");
    document["layers"].clone()
}

fn root_hashes(layers: &Value) -> Value {
    let layers = layers.as_array().unwrap().iter();
    layers.map(|layer| layer["root_hash"].clone()).collect()
}

/// The error's code and message; nothing may be on standard output.
fn refusal(output: &Output) -> (String, String) {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    let part = |name: &str| error["error"][name].as_str().unwrap().to_owned();
    (part("code"), part("message"))
}

/// Writes a case's tar as one of the forms that layers come in.
fn write(case: &Value, form: usize, path: &Path) {
    let mut tar = tar(case);
    let file = BufWriter::new(File::create(path).unwrap());
    match form {
        0 => {
            let mut file = file;
            std::io::copy(&mut tar, &mut file).unwrap();
            file.flush().unwrap();
        }
        1 => {
            let mut encoder = GzEncoder::new(file, flate2::Compression::fast());
            std::io::copy(&mut tar, &mut encoder).unwrap();
            encoder.finish().unwrap().flush().unwrap();
        }
        _ => {
            let mut encoder = zstd::stream::write::Encoder::new(file, 1).unwrap();
            std::io::copy(&mut tar, &mut encoder).unwrap();
            encoder.finish().unwrap().flush().unwrap();
        }
    }
}

#[test]
fn every_layer_is_printed_with_both_hashes_or_refused_with_its_reason() {
    let text = fs::read_to_string(vectors().join("vectors.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let cases = document["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 66);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer");
    let mut refused = 0;
    for (index, case) in cases.iter().enumerate() {
        let id = case["id"].as_str().unwrap();
        let large = case["tar_size"].as_u64().unwrap() > LARGE;
        write(case, if large { 2 } else { index % 3 }, &path);
        let output = hash(folder.path(), &["layer", "--json"]);
        match case["expect"]["root_hash"].as_str() {
            Some(root_hash) => {
                let diff_id = format!("sha256:{}", case["tar_sha256"].as_str().unwrap());
                let expected = json!([{ "diff_id": diff_id, "root_hash": root_hash }]);
                assert_eq!(printed(&output), expected, "{id}");
            }
            None => {
                refused += 1;
                let (code, message) = refusal(&output);
                assert!(code.starts_with("CR-LAYER-00"), "{id}: {code}");
                assert!(message.starts_with("layer: "), "{id}: {message}");
            }
        }
    }
    assert_eq!(refused, 14);
}

#[test]
fn a_refusal_names_the_entry() {
    let text = fs::read_to_string(vectors().join("vectors.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (id, code, entry) in [
        ("file_over_dir", "CR-LAYER-0008", "layer: d: "),
        ("dup_data", "CR-LAYER-0008", "layer: a: "),
        ("hardlink_forward", "CR-LAYER-0009", "a hard link to "),
        ("file_as_parent", "CR-LAYER-0007", "layer: d/y: "),
        ("name_256", "CR-LAYER-0006", "256 bytes"),
    ] {
        let cases = document["cases"].as_array().unwrap();
        let case = cases.iter().find(|case| case["id"] == id).unwrap();
        write(case, 0, &folder.path().join("layer"));
        let (got, message) = refusal(&hash(folder.path(), &["layer", "--json"]));
        assert_eq!(got, code, "{id}: {message}");
        assert!(message.contains(entry), "{id}: {message}");
    }
}

#[test]
fn every_image_is_hashed_from_its_file_and_as_a_stream() {
    let text = fs::read_to_string(vectors().join("images/images.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut images = 0;
    for case in document["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let path = vectors().join(case["file"].as_str().unwrap());
        let from_file = printed(&hash(folder.path(), &[path.to_str().unwrap(), "--json"]));
        let expected = match (
            &case["better"]["layers_linux_amd64"],
            &case["expect"]["root_hash"],
        ) {
            (Value::Array(better), _) => json!(better),
            (_, Value::String(hash)) => json!([hash]),
            _ => case["expect"]["layers"].clone(),
        };
        assert_eq!(root_hashes(&from_file), expected, "{id}");
        let streamed = cleanroom(folder.path(), &["-", "--json", "--no-layer-cache"])
            .stdin(Stdio::from(File::open(&path).unwrap()))
            .output()
            .unwrap();
        if case["kind"] == "layer" {
            assert_eq!(refusal(&streamed).0, "CR-LAYER-0031", "{id}");
        } else {
            images += 1;
            assert_eq!(printed(&streamed), from_file, "{id}");
        }
    }
    assert_eq!(images, 7);
}

#[test]
fn the_platform_is_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = vectors().join("images/oci-multiarch-arm64-first.tar");
    let path = path.to_str().unwrap();
    let platform = |platform| hash(folder.path(), &[path, "--platform", platform, "--json"]);
    let (amd, arm) = (
        printed(&platform("linux/amd64")),
        printed(&platform("linux/arm64")),
    );
    assert_ne!(amd, arm);
    assert_eq!(printed(&hash(folder.path(), &[path, "--json"])), amd);
    assert_eq!(refusal(&platform("linux/s390x")).0, "CR-LAYER-0039");
    assert_eq!(refusal(&platform("linux")).0, "CR-CLI-0003");
}

#[test]
fn the_cache_is_used_by_default_and_only_if_nobody_else_may_write_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let layout = draft(|_| {}).write();
    let path = layout.path().to_str().unwrap();
    let cold = printed(&hash(folder.path(), &[path, "--json"]));
    let cache = folder.path().join(".cache/cleanroom/layers");
    let mode = fs::metadata(&cache).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // Warm: the layers need not be there.
    for layer in cold.as_array().unwrap() {
        let name = layer["diff_id"]
            .as_str()
            .unwrap()
            .trim_start_matches("sha256:");
        fs::remove_file(layout.path().join("blobs/sha256").join(name)).unwrap();
    }
    assert_eq!(printed(&hash(folder.path(), &[path, "--json"])), cold);
    let without = hash(folder.path(), &[path, "--no-layer-cache"]);
    assert_eq!(refusal(&without).0, "CR-LAYER-0033");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(refusal(&hash(folder.path(), &[path])).0, "CR-LAYER-0044");
}

/// A `docker save` of our own: layers first, as the engine writes it.
fn archive(draft: &Draft) -> Vec<u8> {
    let folder = draft.write();
    let mut archive = ::tar::Builder::new(Vec::new());
    archive
        .append_dir_all("blobs", folder.path().join("blobs"))
        .unwrap();
    for name in ["index.json", "oci-layout"] {
        archive
            .append_path_with_name(folder.path().join(name), name)
            .unwrap();
    }
    archive.into_inner().unwrap()
}

fn stream(bytes: &[u8]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut child = cleanroom(folder.path(), &["-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have had enough before the end.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

#[test]
fn a_stream_is_held_against_every_digest() {
    let good = archive(&draft(|_| {}));
    let expected = printed(&stream(&good));
    assert_eq!(expected.as_array().unwrap().len(), layers().len());
    // One byte of a file in a layer: the tar is still one, the digest another.
    let layer = &layers()[0];
    let is_layer = |window: &[u8]| window == layer.as_slice();
    let at = good.windows(layer.len()).position(is_layer).unwrap();
    let mut changed = good.clone();
    changed[at + 512] ^= 1;
    let (code, message) = refusal(&stream(&changed));
    assert_eq!(code, "CR-LAYER-0015", "{message}");
    let (code, _) = refusal(&stream(&good[..good.len() / 3]));
    assert_eq!(code, "CR-LAYER-0002");
    assert_eq!(refusal(&stream(b"")).0, "CR-LAYER-0031");
}
