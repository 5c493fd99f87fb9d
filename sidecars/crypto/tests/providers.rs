//! Two implementations of the same algorithms agree, in both directions; RSA keys survive every encoding.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::sync::LazyLock;

use cleanroom_crypto::aead::Aes256Gcm;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey, PublicKey};
use cleanroom_crypto::{CryptoError, Dek, digest, kdf, mac, second};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(2048).unwrap());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn providers_agree_on_aes_gcm(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in proptest::collection::vec(any::<u8>(), 0..40),
        clear in proptest::collection::vec(any::<u8>(), 0..300),
        flip: proptest::sample::Index,
    ) {
        let first = Aes256Gcm::new(&key).unwrap();
        let mut a = clear.clone();
        first.seal_in_place(&nonce, &aad, &mut a).unwrap();
        let mut b = clear.clone();
        second::seal(&key, &nonce, &aad, &mut b).unwrap();
        prop_assert_eq!(&a, &b);

        let mut opened = a.clone();
        second::open(&key, &nonce, &aad, &mut opened).unwrap();
        prop_assert_eq!(&opened, &clear);
        first.open_in_place(&nonce, &aad, &mut b).unwrap();
        prop_assert_eq!(&b, &clear);

        let mut into = vec![1; clear.len() + 16];
        first.seal_to(&nonce, &aad, &clear, &mut into).unwrap();
        prop_assert_eq!(&into, &a);
        let mut out = vec![1; clear.len()];
        first.open_to(&nonce, &aad, &a, &mut out).unwrap();
        prop_assert_eq!(&out, &clear);

        let at = flip.index(a.len());
        a[at] ^= 0x10;
        out.fill(1);
        prop_assert_eq!(first.open_to(&nonce, &aad, &a, &mut out), Err(CryptoError::Decrypt));
        prop_assert!(out.iter().all(|byte| *byte == 0));
        out.push(1);
        prop_assert!(matches!(first.open_to(&nonce, &aad, &a, &mut out), Err(CryptoError::Length(_))));
        prop_assert!(matches!(first.seal_to(&nonce, &aad, &out, &mut into), Err(CryptoError::Length(_))));
        let mut copy = a.clone();
        prop_assert_eq!(first.open_in_place(&nonce, &aad, &mut a), Err(CryptoError::Decrypt));
        prop_assert!(a.is_empty());
        prop_assert!(second::open(&key, &nonce, &aad, &mut copy).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn providers_open_each_others_oaep(clear in proptest::collection::vec(any::<u8>(), 0..94)) {
        let (pkcs8, spki) = (KEY.to_pkcs8_der(), KEY.public_key().to_spki_der());
        for (first, other) in [
            (OaepHash::Sha256, second::OaepHash::Sha256),
            (OaepHash::Sha384, second::OaepHash::Sha384),
        ] {
            let sealed = second::encrypt_oaep(&spki, other, &clear).unwrap();
            prop_assert_eq!(&*KEY.decrypt_oaep(first, &sealed).unwrap(), &clear);
            let mut sealed = KEY.public_key().encrypt_oaep(first, &clear).unwrap();
            prop_assert_eq!(&*second::decrypt_oaep(&pkcs8, other, &sealed).unwrap(), &clear);
            sealed[100] ^= 1;
            prop_assert_eq!(KEY.decrypt_oaep(first, &sealed).unwrap_err(), CryptoError::Decrypt);
        }
    }
}

#[test]
fn a_private_key_survives_jwk_and_its_crt_values_are_recomputed() {
    let jwk = KEY.to_jwk();
    let mut value: serde_json::Value = serde_json::from_str(&jwk).unwrap();
    let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["d", "dp", "dq", "e", "kty", "n", "p", "q", "qi"]);
    assert_eq!(value["e"], "AQAB");
    assert_eq!(value["kty"], "RSA");

    for name in ["dp", "dq", "qi"] {
        value.as_object_mut().unwrap().remove(name);
    }
    value["kty"] = "RSA-HSM".into();
    let again = PrivateKey::from_jwk(&value.to_string()).unwrap();
    assert_eq!(*again.to_jwk(), *jwk);
    assert_eq!(again.public_key(), KEY.public_key());
}

#[test]
fn a_jwk_with_inconsistent_numbers_is_refused() {
    let other: serde_json::Value =
        serde_json::from_str(&PrivateKey::generate(2048).unwrap().to_jwk()).unwrap();
    for name in ["d", "n", "p", "q"] {
        let mut value: serde_json::Value = serde_json::from_str(&KEY.to_jwk()).unwrap();
        value[name] = other[name].clone();
        let error = PrivateKey::from_jwk(&value.to_string()).unwrap_err();
        assert!(matches!(error, CryptoError::Key(_)), "{name}");
    }
    for text in [
        "",
        "{}",
        "[]",
        r#"{"kty":"EC"}"#,
        r#"{"kty":"RSA","n":"","e":"","d":"","p":"","q":""}"#,
    ] {
        assert!(PrivateKey::from_jwk(text).is_err(), "{text}");
    }
}

// One library takes any version number, the other knows that version 1 has a public key beside the private one.
#[test]
fn whatever_bit_of_pkcs8_changes_the_key_is_refused_or_read_back() {
    let der = KEY.to_pkcs8_der();
    let version = der.windows(3).position(|bytes| bytes == [2, 1, 0]).unwrap();
    for bit in 0..der.len() * 8 {
        let mut changed = der.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        match PrivateKey::from_pkcs8_der(&changed) {
            Ok(key) => {
                let again = PrivateKey::from_jwk(&key.to_jwk()).unwrap();
                assert_eq!(again.public_key(), key.public_key(), "bit {bit}");
            }
            Err(error) => assert!(matches!(error, CryptoError::Key(_)), "bit {bit}"),
        }
    }
    let mut newer = der.to_vec();
    newer[version + 2] = 1;
    assert!(PrivateKey::from_pkcs8_der(&newer).is_err());
    PrivateKey::from_pkcs8_der(&der).unwrap();
}

#[test]
fn a_public_key_survives_pem_der_and_numbers() {
    let key = KEY.public_key();
    let pem = key.to_spki_pem();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(pem.ends_with("\n-----END PUBLIC KEY-----"));
    assert!(!pem.contains('\r') && pem.lines().all(|line| line.len() <= 64));
    assert_eq!(PublicKey::from_spki_pem(&pem).unwrap(), key);
    assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()).unwrap(), key);
    let padded = [&[0], key.n_be()].concat();
    assert_eq!(PublicKey::from_n_e(&padded, key.e_be()).unwrap(), key);
    assert!(PublicKey::from_n_e(&key.n_be()[..128], key.e_be()).is_err());
}

#[test]
fn signatures_are_bound_to_message_key_and_padding() {
    let public = KEY.public_key();
    let pss = KEY.sign_pss_sha256(b"message").unwrap();
    let pkcs1 = KEY.sign_pkcs1_sha256(b"message").unwrap();
    public.verify_pss_sha256(b"message", &pss).unwrap();
    public.verify_pkcs1_sha256(b"message", &pkcs1).unwrap();
    assert!(public.verify_pss_sha256(b"massage", &pss).is_err());
    assert!(public.verify_pss_sha256(b"message", &pkcs1).is_err());
    assert!(public.verify_pkcs1_sha256(b"message", &pss).is_err());
}

#[test]
fn hkdf_meets_case_1_of_rfc_5869() {
    let prk = kdf::hkdf_extract_sha256(
        &hex::decode("000102030405060708090a0b0c").unwrap(),
        &[0x0b; 22],
    );
    assert_eq!(
        hex::encode(*prk),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    );
    let mut okm = [0; 42];
    let info = hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap();
    kdf::hkdf_expand_sha256(&prk, &[&info[..3], &info[3..]], &mut okm).unwrap();
    assert_eq!(
        hex::encode(okm),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
    assert!(kdf::hkdf_expand_sha256(&prk, &[], &mut vec![0; 255 * 32 + 1]).is_err());
}

#[test]
fn parts_and_the_whole_have_the_same_digest_and_mac() {
    let mut sha = digest::Sha256::new();
    let mut hmac = mac::HmacSha256::new(b"key");
    for part in [&b"clean"[..], b" ", b"room"] {
        sha.update(part);
        hmac.update(part);
    }
    assert_eq!(sha.finish(), digest::sha256(b"clean room"));
    let tag = hmac.finish();
    mac::verify(b"key", b"clean room", &tag).unwrap();
    assert!(mac::verify(b"key", b"clean rooms", &tag).is_err());
    assert!(mac::verify(b"kex", b"clean room", &tag).is_err());
    assert!(mac::verify(b"key", b"clean room", &tag[..31]).is_err());
}

#[test]
fn secrets_print_nothing() {
    let dek = Dek::from_slice(&[0x41; 32]).unwrap();
    assert_eq!(format!("{dek:?}"), "Dek(..)");
    assert_eq!(format!("{:?}", *KEY), "PrivateKey(..)");
    assert!(Dek::from_slice(&[0; 31]).is_err());
}
