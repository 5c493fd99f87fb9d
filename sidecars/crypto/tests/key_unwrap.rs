//! The envelopes in which a vault releases keys, against recorded vectors (`vectors/key-unwrap.json` says whose).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

use aes_gcm::aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::aes::{Aes192, Aes256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cleanroom_crypto::CryptoError;
use cleanroom_crypto::keywrap::{unwrap_kwp, unwrap_rsa_aes, wrap_kwp, wrap_rsa_aes};
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/key-unwrap.json")).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn hex_of(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(value, name)).unwrap()
}

fn blob_of(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD
        .decode(text(value, "ciphertext_b64url"))
        .unwrap()
}

fn hash(enc: &str) -> OaepHash {
    match enc {
        "CKM_RSA_AES_KEY_WRAP" => OaepHash::Sha1,
        "RSA_AES_KEY_WRAP_256" => OaepHash::Sha256,
        "RSA_AES_KEY_WRAP_384" => OaepHash::Sha384,
        other => panic!("{other}"),
    }
}

/// RFC 5649 written out, over any AES, as a judge of the provider.
fn reference_wrap(cipher: &impl BlockCipherEncrypt, key: &[u8]) -> Vec<u8> {
    let mut head = 0xa659_59a6_0000_0000_u64 | key.len() as u64;
    let mut rest: Vec<[u8; 8]> = key
        .chunks(8)
        .map(|chunk| {
            let mut block = [0; 8];
            block[..chunk.len()].copy_from_slice(chunk);
            block
        })
        .collect();
    let encrypt = |head: u64, block: [u8; 8]| {
        let mut both = [head.to_be_bytes(), block].concat();
        cipher.encrypt_block(both.as_mut_slice().try_into().unwrap());
        let (a, b) = both.split_at(8);
        (
            u64::from_be_bytes(a.try_into().unwrap()),
            <[u8; 8]>::try_from(b).unwrap(),
        )
    };
    if let [only] = rest[..] {
        let (a, b) = encrypt(head, only);
        return [a.to_be_bytes(), b].concat();
    }
    let count = rest.len() as u64;
    for round in 0..6 {
        for (index, block) in rest.iter_mut().enumerate() {
            let (a, b) = encrypt(head, *block);
            head = a ^ (count * round + index as u64 + 1);
            *block = b;
        }
    }
    [&[head.to_be_bytes()], &rest[..]].concat().concat()
}

#[test]
fn the_written_out_rfc_5649_meets_its_own_vectors() {
    for case in vectors()["rfc5649"].as_array().unwrap() {
        let cipher = Aes192::new_from_slice(&hex_of(case, "kek_hex")).unwrap();
        assert_eq!(
            hex::encode(reference_wrap(&cipher, &hex_of(case, "plaintext_hex"))),
            text(case, "wrapped_hex")
        );
    }
}

#[test]
fn the_provider_wraps_like_rfc_5649_at_every_length() {
    let kek: [u8; 32] = *b"an AES key encryption key: 32 B.";
    let cipher = Aes256::new_from_slice(&kek).unwrap();
    for length in 1..=100 {
        let key: Vec<u8> = (0..length).collect();
        let wrapped = wrap_kwp(&kek, &key).unwrap();
        assert_eq!(wrapped, reference_wrap(&cipher, &key), "{length} bytes");
        assert_eq!(*unwrap_kwp(&kek, &wrapped).unwrap(), key);
    }
}

#[test]
fn non_zero_padding_and_a_false_length_are_refused() {
    let kek = [7; 32];
    let cipher = Aes256::new_from_slice(&kek).unwrap();
    // One block, so that the clear block can be forged directly.
    for (length, padding, good) in [
        (5_u32, 0, true),
        (5, 1, false),
        (9, 0, false),
        (0, 0, false),
    ] {
        let mut block = [[0xa6, 0x59, 0x59, 0xa6], length.to_be_bytes()].concat();
        block.extend_from_slice(&[1, 2, 3, 4, 5, 0, 0, padding]);
        cipher.encrypt_block(block.as_mut_slice().try_into().unwrap());
        assert_eq!(unwrap_kwp(&kek, &block).is_ok(), good, "{length} {padding}");
    }
}

#[test]
fn a_released_key_of_the_upstream_agent_is_unwrapped() {
    let case = &vectors()["upstream"];
    let key = PrivateKey::from_pem(text(case, "private_key_pem")).unwrap();
    let blob = blob_of(case);
    let clear = unwrap_rsa_aes(&key, hash(text(case, "enc")), &blob).unwrap();
    assert_eq!(hex::encode(&*clear), text(case, "plaintext_hex"));
    assert_eq!(
        unwrap_rsa_aes(&key, hash(text(case, "wrong_enc_must_fail")), &blob).unwrap_err(),
        CryptoError::Decrypt
    );
}

#[test]
fn every_kind_of_release_is_unwrapped_and_none_with_a_changed_byte() {
    let synthetic = &vectors()["synthetic"];
    let key = PrivateKey::from_pem(text(synthetic, "private_key_pem")).unwrap();
    for case in synthetic["cases"].as_array().unwrap() {
        let hash = hash(text(case, "enc"));
        let blob = blob_of(case);
        let clear = unwrap_rsa_aes(&key, hash, &blob).unwrap();
        assert_eq!(hex::encode(&*clear), text(case, "plaintext_hex"));
        for at in [0, 255, 256, blob.len() - 1] {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(unwrap_rsa_aes(&key, hash, &changed).is_err(), "byte {at}");
        }
        assert!(unwrap_rsa_aes(&key, hash, &blob[..255]).is_err());
        assert!(unwrap_rsa_aes(&key, hash, &blob[..256]).is_err());
        let again = wrap_rsa_aes(&key.public_key(), hash, &clear).unwrap();
        assert_eq!(unwrap_rsa_aes(&key, hash, &again).unwrap(), clear);
    }
}
