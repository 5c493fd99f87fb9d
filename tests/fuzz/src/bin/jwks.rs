//! Signing keys that an attestation service publishes.
#![no_main]

use std::sync::LazyLock;

use attestation::{Expected, Report, SigningKeys, verify_token};
use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use fuzz::mock::{REPORT, contains};
use fuzz::{bounded, sign, vector_text};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const TOKEN: &str = vector_text!("maa/maa-token.jwt");
const ISSUED: i64 = 1_767_225_600;
const KID: &str = "pgxk85nQ94K8e8EzyljIZk9yy9DbzJzmHL6Uo1jnbnk=";

static EXPECTED: LazyLock<Expected> = LazyLock::new(|| {
    Expected::of(
        &Report::parse(REPORT).unwrap(),
        "https://mockmaa.attest.azure.net".to_owned(),
        "13202930541250959283".to_owned(),
    )
});

fuzz_target!(|input: &[u8]| {
    let Ok(keys) = bounded(input, 256, || SigningKeys::from_json(input)) else {
        return;
    };
    let set: Value = serde_json::from_slice(input).unwrap();
    let listed = set["keys"].as_array().unwrap();
    assert!(listed.len() <= 128);
    let again = SigningKeys::from_json(set.to_string().as_bytes()).unwrap();
    assert_eq!(format!("{keys:?}"), format!("{again:?}"));

    if verify_token(TOKEN.trim(), &keys, &EXPECTED, ISSUED).is_ok() {
        let modulus = sign::RSA.public_key().n_be().to_vec();
        let named: Vec<_> = listed.iter().filter(|key| key["kid"] == KID).collect();
        let ours = |key: &&Value| key["kty"] == "RSA" && holds(key, &modulus);
        assert!(
            !named.is_empty() && named.iter().all(ours),
            "another key verified"
        );
    }
});

/// Whether the key is this modulus, as number or in its certificate.
fn holds(key: &Value, modulus: &[u8]) -> bool {
    let bytes = |text: &Value, alphabet: &Alphabet| {
        let lenient =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let text = text.as_str()?;
        GeneralPurpose::new(alphabet, lenient).decode(text).ok()
    };
    let number = bytes(&key["n"], &URL_SAFE).is_some_and(|n| n.ends_with(modulus));
    let leaf = bytes(&key["x5c"][0], &STANDARD);
    number || leaf.is_some_and(|leaf| contains(&leaf, modulus))
}
