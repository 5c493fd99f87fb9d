//! Every layer of the published set against the reference's own answers.
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

use std::io::BufReader;

use image_layers::{Expected, LayerError, Limits, hash_layer, write_image};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::tar;

fn cases() -> Vec<Value> {
    let document: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/cce/vectors.json")).unwrap();
    document["cases"].as_array().unwrap().clone()
}

fn hash(case: &Value) -> Result<image_layers::LayerHash, LayerError> {
    hash_layer(tar(case), &Expected::default(), &Limits::default())
}

#[test]
fn every_layer_has_the_references_root_hash_or_its_refusal() {
    let cases = cases();
    assert_eq!(cases.len(), 66);
    let mut wrong = Vec::new();
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let expected = case["expect"]["root_hash"].as_str();
        match (hash(case), expected) {
            (Ok(hash), Some(expected)) => {
                let tar_digest = format!("sha256:{}", case["tar_sha256"].as_str().unwrap());
                assert_eq!(
                    hash.diff_id.to_string(),
                    tar_digest,
                    "{id}: the test writes another tar"
                );
                if hash.root_hash.to_string() != expected
                    || Some(hash.image_size) != case["expect"]["image_size"].as_u64()
                {
                    wrong.push(format!("{id}: {hash:?}, not {expected}"));
                }
            }
            (Err(_), None) => {}
            (other, _) => wrong.push(format!("{id}: {other:?}, not {expected:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_image_of_every_layer_is_the_references_byte_for_byte() {
    for case in cases() {
        let id = case["id"].as_str().unwrap();
        let Some(expected) = case["expect"]["image_sha256"].as_str() else {
            continue;
        };
        if case["expect"]["image_size"].as_u64().unwrap() > 32 << 20 {
            continue;
        }
        let mut file = tempfile::tempfile().unwrap();
        let length = write_image(BufReader::new(tar(&case)), &file, &Limits::default()).unwrap();
        assert_eq!(Some(length), case["expect"]["image_size"].as_u64(), "{id}");
        std::io::Seek::rewind(&mut file).unwrap();
        assert_eq!(
            hex::encode(Sha256::digest(common::bytes(file))),
            expected,
            "{id}"
        );
    }
}
