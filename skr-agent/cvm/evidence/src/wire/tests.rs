use serde_json::{Value, json};

use super::*;
use crate::vectors::vector;

fn sample() -> Value {
    serde_json::from_slice(vector!("cleanroom-encryption.json")).unwrap()
}

#[test]
fn an_attestation_is_written_as_it_was_read() {
    let attestation = Attestation::from_json(vector!("cleanroom-encryption.json")).unwrap();
    assert_eq!(serde_json::to_value(&attestation).unwrap(), sample());
}

#[test]
fn pcrs_are_written_in_the_order_of_their_numbers() {
    let attestation = Attestation::from_json(vector!("cleanroom-encryption.json")).unwrap();
    let text = serde_json::to_string(&attestation.evidence).unwrap();
    let at = |key: &str| text.find(key).unwrap();
    assert!(at("\"2\":") < at("\"10\":"));
}

#[test]
fn members_that_cannot_be_read_are_refused() {
    for (pointer, value, part) in [
        ("/evidence/tpmQuote", json!("?"), "not base64"),
        ("/evidence/hclReport", json!(7), "invalid type"),
        ("/evidence/pcrs", json!({"24": ""}), "PCR 24"),
        ("/evidence/pcrs", json!({"0": "AAAA"}), "base64 of 32 bytes"),
        ("/evidence/pcrs", json!([]), "PCR index"),
        ("/evidence/pcrs", json!({"00": ""}), "invalid"),
        ("/nonce", Value::Null, "invalid type"),
    ] {
        let mut json = sample();
        *json.pointer_mut(pointer).unwrap() = value;
        let refusal = Attestation::from_json(json.to_string().as_bytes()).unwrap_err();
        assert!(refusal.to_string().contains(part), "{pointer}: {refusal}");
    }
}

#[test]
fn a_pcr_that_occurs_twice_is_refused() {
    let value = "A".repeat(43) + "=";
    let twice = format!(r#"{{"0":"{value}","0":"{value}"}}"#);
    let text = sample().to_string();
    let pcrs = sample().pointer("/evidence/pcrs").unwrap().to_string();
    let text = text.replace(&pcrs, &twice);
    let refusal = Attestation::from_json(text.as_bytes()).unwrap_err();
    assert!(
        refusal.to_string().contains("PCR 0 occurs twice"),
        "{refusal}"
    );
}

#[test]
fn what_an_image_does_not_have_may_be_null_or_missing() {
    let image: ImageReference =
        serde_json::from_value(json!({"id": null, "sku": "22_04-lts-cvm"})).unwrap();
    assert_eq!(image.sku, "22_04-lts-cvm");
    assert_eq!(image.id, "");
}
