//! Elliptic curve keys as vaults release them and callers get them.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256K1_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cleanroom_crypto::CryptoError;
use cleanroom_crypto::ec::{Curve, EcPrivateKey, P384PublicKey};
use cleanroom_crypto::rsa::PrivateKey;
use serde_json::Value;

fn number(jwk: &Value, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap()
}

fn jwk(key: &EcPrivateKey) -> Value {
    serde_json::from_str(&key.to_jwk()).unwrap()
}

/// PKCS#8 of a P-256 key without its public half (RFC 5915 makes it optional).
fn bare_p256(d: &[u8; 32]) -> Vec<u8> {
    let head = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";
    [hex::decode(head).unwrap().as_slice(), d].concat()
}

#[test]
fn a_jwk_names_its_curve_and_has_every_number_at_full_width() {
    for (curve, name, length) in [
        (Curve::P256, "P-256", 32),
        (Curve::P384, "P-384", 48),
        (Curve::P521, "P-521", 66),
    ] {
        let key = EcPrivateKey::generate(curve).unwrap();
        assert_eq!(key.curve(), curve);
        let value = jwk(&key);
        let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["crv", "d", "kty", "x", "y"]);
        assert_eq!((&value["crv"], &value["kty"]), (&name.into(), &"EC".into()));
        for member in ["d", "x", "y"] {
            assert_eq!(number(&value, member).len(), length, "{name} {member}");
        }
        let text = key.to_jwk();
        assert!(text.starts_with(&format!("{{\"crv\":\"{name}\",\"d\":\"")));
        let point = [&[4][..], &number(&value, "x"), &number(&value, "y")].concat();
        assert_eq!(point, key.public_point());
        let again = EcPrivateKey::from_pkcs8_der(&key.to_pkcs8_der()).unwrap();
        assert_eq!(again.to_jwk(), key.to_jwk());
        assert_eq!(format!("{key:?}"), "EcPrivateKey(..)");
    }
}

#[test]
fn a_small_number_keeps_its_leading_zeros() {
    // d = 1: the public half is the generator of P-256 (FIPS 186-5, SP 800-186 §3.2.1.3).
    let mut d = [0; 32];
    d[31] = 1;
    let value = jwk(&EcPrivateKey::from_pkcs8_der(&bare_p256(&d)).unwrap());
    assert_eq!(number(&value, "d"), d);
    assert_eq!(
        hex::encode(number(&value, "x")),
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    );
    assert_eq!(
        hex::encode(number(&value, "y")),
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    );
}

#[test]
fn keys_that_are_no_keys_are_refused() {
    let refused = |der: &[u8]| EcPrivateKey::from_pkcs8_der(der).unwrap_err();
    for d in [[0; 32], [0xff; 32]] {
        assert!(matches!(refused(&bare_p256(&d)), CryptoError::Key(_)));
    }
    assert!(EcPrivateKey::from_pkcs8_der(&bare_p256(&[7; 32])).is_ok());

    let good = EcPrivateKey::generate(Curve::P384).unwrap().to_pkcs8_der();
    let mut inconsistent = good.to_vec();
    *inconsistent.last_mut().unwrap() ^= 1;
    assert!(matches!(refused(&inconsistent), CryptoError::Key(_)));
    assert!(matches!(
        refused(&good[..good.len() - 1]),
        CryptoError::Key(_)
    ));
    assert!(matches!(
        refused(&[good.as_slice(), &[0]].concat()),
        CryptoError::Key(_)
    ));
    let rsa = PrivateKey::generate(2048).unwrap().to_pkcs8_der();
    assert!(matches!(refused(&rsa), CryptoError::Key(_)));
    assert!(PrivateKey::from_pkcs8_der(&good).is_err());
}

#[test]
fn p_256k_is_refused_by_name() {
    let key =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256K1_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .unwrap();
    let refused = EcPrivateKey::from_pkcs8_der(key.as_ref()).unwrap_err();
    assert_eq!(refused, CryptoError::Curve("P-256K (secp256k1)"));
}

#[test]
fn a_point_off_the_curve_or_in_another_form_is_no_public_key() {
    let key = EcPrivateKey::generate(Curve::P384).unwrap();
    let point = key.public_point();
    assert_eq!(P384PublicKey::from_point(point).unwrap().point(), point);
    let mut off = point.to_vec();
    *off.last_mut().unwrap() ^= 1;
    let compressed = [&[2 + (point[96] & 1)], &point[1..49]].concat();
    let p256 = EcPrivateKey::generate(Curve::P256).unwrap();
    for bad in [&off, &compressed, &p256.public_point().to_vec(), &vec![0]] {
        let refused = P384PublicKey::from_point(bad).unwrap_err();
        assert!(matches!(refused, CryptoError::Key(_)));
    }
}
