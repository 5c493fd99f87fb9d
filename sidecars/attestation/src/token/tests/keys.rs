//! Key sets as endpoints publish them, and as they should not.

use super::*;

fn entry() -> Value {
    let set: Value = serde_json::from_str(vector!("attestation-mock/maa-certs.json")).unwrap();
    set["keys"][0].clone()
}

fn numbers(key: &cleanroom_crypto::rsa::PublicKey) -> Value {
    json!({
        "kid": KID, "kty": "RSA",
        "n": URL_SAFE_NO_PAD.encode(key.n_be()), "e": URL_SAFE_NO_PAD.encode(key.e_be()),
    })
}

fn read(keys: &Value) -> Result<SigningKeys, AttestError> {
    SigningKeys::from_json(json!({"keys": keys}).to_string().as_bytes())
}

/// What becomes of a good token under these keys.
fn judged(keys: &Value) -> Result<(), AttestError> {
    let jwt = sign(&header(), &claims());
    verify_token(&jwt, &read(keys)?, &expected(), NOW).map(drop)
}

#[test]
fn certificates_numbers_or_both_give_the_key() {
    let ours = numbers(&key().public_key());
    let mut both = entry();
    both["n"] = ours["n"].clone();
    both["e"] = ours["e"].clone();
    let mut padded = ours.clone();
    padded["n"] = json!(URL_SAFE.encode(key().public_key().n_be()));
    let mut bare = entry();
    let leaf = bare["x5c"][0]
        .as_str()
        .unwrap()
        .trim_end_matches('=')
        .to_owned();
    bare["x5c"][0] = json!(leaf);
    let anonymous = json!({"kty": "RSA", "x5c": ["AA=="]});
    let other = json!({"kid": "x", "kty": "EC", "crv": "P-256"});
    for keys in [
        json!([entry()]),
        json!([ours]),
        json!([both]),
        json!([padded]),
        json!([bare]),
        json!([entry(), entry()]),
        json!([ours, entry()]),
        json!([anonymous, other, entry()]),
    ] {
        judged(&keys).unwrap();
    }
}

#[test]
fn a_key_that_cannot_be_used_refuses_who_names_it() {
    let stranger = PrivateKey::generate(2048).unwrap().public_key();
    let mut contradicting = entry();
    contradicting["n"] = numbers(&stranger)["n"].clone();
    contradicting["e"] = json!("AQAB");
    for (entry, reason) in [
        (json!({"kid": KID, "kty": "EC"}), "not an RSA key"),
        (json!({"kid": KID}), "not an RSA key"),
        (json!({"kid": KID, "kty": "RSA"}), "neither n and e nor x5c"),
        (json!({"kid": KID, "kty": "RSA", "x5c": []}), "neither"),
        (
            json!({"kid": KID, "kty": "RSA", "x5c": ["%"]}),
            "not base64",
        ),
        (
            json!({"kid": KID, "kty": "RSA", "x5c": ["AA=="]}),
            "not X.509",
        ),
        (
            json!({"kid": KID, "kty": "RSA", "n": "%", "e": "AQAB"}),
            "base64url",
        ),
        (
            json!({"kid": KID, "kty": "RSA", "n": "AQAB", "e": "AQAB"}),
            "2048",
        ),
        (contradicting, "not those of its certificate"),
    ] {
        match judged(&json!([entry])) {
            Err(AttestError::SigningKeys { reason: told }) => {
                assert!(told.contains(reason) && told.contains(KID), "{told}");
            }
            other => panic!("{entry}: {other:?}"),
        }
    }
}

#[test]
fn two_keys_of_one_name_serve_nobody() {
    let stranger = numbers(&PrivateKey::generate(2048).unwrap().public_key());
    for keys in [
        json!([entry(), stranger]),
        json!([stranger, entry()]),
        json!([entry(), stranger, entry()]),
        json!([entry(), {"kid": KID, "kty": "EC"}]),
    ] {
        assert!(
            matches!(judged(&keys), Err(AttestError::SigningKeys { reason }) if reason.contains("twice"))
        );
    }
}

#[test]
fn what_is_no_key_set_or_too_large_a_one_is_refused() {
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        let refused = SigningKeys::from_json(text.as_bytes());
        assert!(
            matches!(refused, Err(AttestError::SigningKeys { .. })),
            "{text}"
        );
    }
    let many = |count: usize| read(&Value::from(vec![json!({"kty": "RSA"}); count]));
    assert!(many(128).is_ok());
    assert!(matches!(many(129), Err(AttestError::SigningKeys { .. })));
}
