//! A vault's signed answer to a release: a JWS, or, where the input is a JSON object, a payload that is signed first. In such
//! a payload `key_hsm` may be an object, which is encoded, and hold `clear` (base64url) instead of `ciphertext`, which is
//! wrapped for the transfer key.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cleanroom_crypto::keywrap::wrap_rsa_aes;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use fuzz::mock::NOW;
use fuzz::sign::{self, Vault};
use fuzz::{bounded, vector, whole};
use keyvault::{Asked, ReleasedKey};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use url::Url;

const NONCE: &str = "AAECAwQFBgcICQoLDA0ODw";
const KEYS: [&str; 3] = ["mock-rsa-hsm", "mock-ec-hsm", "mock-oct-hsm"];

struct World {
    vault: Vault,
    url: Url,
    transfer: PrivateKey,
    genuine: Vec<String>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let keys = include_bytes!("../../../../sidecars/crypto/tests/vectors/key-unwrap.json");
    let keys: Value = serde_json::from_slice(keys).unwrap();
    let recorded: Value =
        serde_json::from_slice(vector!("keyvault/akv-release-responses.json")).unwrap();
    let signed = recorded["cases"].as_array().unwrap().iter().map(|case| {
        let jws = case["response"]["value"].as_str().unwrap();
        jws.rsplit_once('.').unwrap().0.to_owned()
    });
    World {
        vault: Vault::new("mockvault.vault.azure.net"),
        url: Url::parse("https://mockvault.vault.azure.net").unwrap(),
        transfer: PrivateKey::from_pem(keys["synthetic"]["private_key_pem"].as_str().unwrap())
            .unwrap(),
        genuine: signed.collect(),
    }
});

fuzz_target!(|input: &[u8]| {
    let world = &*WORLD;
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let ours = text.starts_with('{');
    let jws = if ours {
        sign::jws(&world.vault.header, &payload(text))
    } else {
        text.to_owned()
    };
    for kid in KEYS {
        let asked = Asked {
            vault: &world.url,
            kid,
            nonce: NONCE,
            transfer_key: &world.transfer,
        };
        let now = Duration::from_secs(NOW.unsigned_abs());
        let opened = bounded(jws.as_bytes(), 256, || {
            asked.open(&jws, &world.vault.anchors, now)
        });
        if let Ok(key) = opened {
            let (signed, _) = jws.rsplit_once('.').unwrap();
            assert!(
                ours || world.genuine.iter().any(|known| known == signed),
                "a forged release"
            );
            as_asked(&key, kid, signed.split_once('.').unwrap().1);
        }
    }
});

/// The payload to sign: the input itself, unless its `key_hsm` is to be made first.
fn payload(text: &str) -> Vec<u8> {
    let Ok(mut payload) = serde_json::from_str::<Value>(text) else {
        return text.into();
    };
    let Some(place) = payload
        .pointer_mut("/response/key/key/key_hsm")
        .filter(|it| it.is_object())
    else {
        return text.into();
    };
    let clear = place["clear"]
        .as_str()
        .and_then(|clear| URL_SAFE_NO_PAD.decode(clear).ok());
    let wrapped = clear.and_then(|clear| {
        wrap_rsa_aes(&WORLD.transfer.public_key(), OaepHash::Sha256, &clear).ok()
    });
    if let Some(wrapped) = wrapped {
        *place = json!({"ciphertext": URL_SAFE_NO_PAD.encode(wrapped)});
    }
    *place = Value::from(URL_SAFE_NO_PAD.encode(place.to_string()));
    payload.to_string().into()
}

/// What an accepted release must say, read once more.
fn as_asked(key: &ReleasedKey, kid: &str, payload: &str) {
    let payload = URL_SAFE_NO_PAD
        .decode(payload.trim_end_matches('='))
        .unwrap();
    let Some(payload) = whole(&payload) else {
        return;
    };
    let (request, given) = (&payload["request"], &payload["response"]["key"]["key"]);
    assert_eq!(request["enc"], "RSA_AES_KEY_WRAP_256");
    assert!(
        request["nonce"].is_null() || request["nonce"] == NONCE,
        "another nonce"
    );
    assert_eq!(given["kid"], key.kid());
    for named in [&given["kid"], &request["kid"]] {
        let Some(named) = named.as_str() else {
            continue;
        };
        let url = Url::parse(named).unwrap();
        assert_eq!(
            (url.scheme(), url.domain(), url.port()),
            ("https", WORLD.url.domain(), None)
        );
        let name = url
            .path()
            .strip_prefix("/keys/")
            .and_then(|path| path.split('/').next());
        assert!(name.unwrap().eq_ignore_ascii_case(kid), "another key");
    }
    assert!(!key.version().is_empty() && key.kid().contains(key.version()));
    let kind = given["kty"].as_str().unwrap().trim_end_matches("-HSM");
    let jwk: Value = serde_json::from_str(&key.to_jwk()).unwrap();
    assert_eq!(jwk["kty"], kind);
    match kind {
        "RSA" => {
            let again = PrivateKey::from_jwk(&key.to_jwk()).unwrap();
            assert_eq!(again.public_key(), key.rsa().unwrap().public_key());
        }
        "EC" => assert!(key.ec().is_some() && jwk["d"].is_string()),
        "oct" => assert!((1..=64).contains(&key.symmetric().unwrap().len())),
        other => panic!("type {other}"),
    }
}
