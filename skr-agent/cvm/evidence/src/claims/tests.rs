use cleanroom_crypto::digest::sha256;
use serde_json::{Value, json};

use super::*;
use crate::HclReport;
use crate::vectors::{HCL_2048, HCL_2600, attestations, milan};

fn refusal(claims: &Value) -> String {
    RuntimeClaims::parse(claims.to_string().as_bytes())
        .unwrap_err()
        .to_string()
}

fn key() -> Value {
    json!({"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB", "n": "q".repeat(341) + "w"})
}

#[test]
fn user_data_is_the_hash_of_the_key_that_the_agents_client_bound() {
    for (attestation, key) in attestations() {
        let hcl = HclReport::parse(&attestation.evidence.hcl_report).unwrap();
        let mut expected = [0; 64];
        expected[..32].copy_from_slice(&sha256(key));
        let claims = hcl.claims().unwrap();
        claims.check_user_data(&expected).unwrap();
        expected[63] = 1;
        assert!(matches!(
            claims.check_user_data(&expected),
            Err(EvidenceError::UserData { .. })
        ));
    }
}

#[test]
fn hosts_without_user_data_bind_none() {
    let older = HclReport::parse(HCL_2048).unwrap().claims().unwrap();
    assert_eq!(older.user_data(), None);
    assert!(older.check_user_data(&[0; 64]).is_err());
    let untouched = HclReport::parse(HCL_2600).unwrap().claims().unwrap();
    assert_eq!(untouched.user_data(), Some(&[0; 64]));
}

#[test]
fn a_nonce_may_be_bound_twice() {
    let machine = milan();
    let claims = HclReport::parse(&machine.hcl).unwrap().claims().unwrap();
    assert_eq!(
        machine.quote.extra_data(),
        &claims.user_data().unwrap()[..48]
    );
}

#[test]
fn there_is_exactly_one_attestation_key_of_a_strong_kind() {
    let with_e = |e: &str| {
        let mut key = key();
        key["e"] = json!(e);
        json!({"keys": [key]})
    };
    RuntimeClaims::parse(with_e("AQAB").to_string().as_bytes()).unwrap();
    for (claims, part) in [
        (json!({"keys": []}), "0 keys are named HCLAkPub"),
        (json!({"keys": [key(), key()]}), "2 keys"),
        (
            json!({"keys": [{"kid": "HCLAkPub", "kty": "EC"}]}),
            "not of type RSA",
        ),
        (
            json!({"keys": [{"kid": "HCLAkPub", "kty": "RSA"}]}),
            "HCLAkPub.n",
        ),
        (
            json!({"keys": [{"kid": "HCLAkPub", "kty": "RSA", "n": "qqqq", "e": "AQAB"}]}),
            "2048",
        ),
        (with_e("+/+/"), "HCLAkPub.e"),
        (
            json!({"keys": [key()], "user-data": "00"}),
            "128 hex digits",
        ),
        (
            json!({"keys": [key()], "user-data": "g".repeat(128)}),
            "128 hex digits",
        ),
        (json!({"keys": 7}), "runtime claims"),
        (json!([]), "runtime claims"),
    ] {
        let refusal = refusal(&claims);
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn members_that_occur_twice_are_refused() {
    for twice in [
        format!(r#"{{"keys":[{0}],"keys":[{0}]}}"#, key()),
        format!(r#"{{"keys":[{}],"user-data":"","user-data":""}}"#, key()),
    ] {
        let refusal = RuntimeClaims::parse(twice.as_bytes()).unwrap_err();
        assert!(refusal.to_string().contains("duplicate field"), "{refusal}");
    }
    assert!(RuntimeClaims::parse("[".repeat(1 << 12).as_bytes()).is_err());
}
