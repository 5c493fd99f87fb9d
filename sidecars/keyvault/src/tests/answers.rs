//! Signed answers that say something else than was asked for, or hold something else than they say.
use base64::Engine as _;
use cleanroom_crypto::keywrap::wrap_rsa_aes;
use cleanroom_crypto::rsa::OaepHash;
use cleanroom_crypto::{CryptoError, ec};

use super::*;
use crate::wire::B64URL;

fn echo(error: &KeyVaultError, named: &str) -> bool {
    matches!(error, KeyVaultError::Echo { member, .. } if *member == named)
}

fn set(pointer: &'static str, value: Value) -> impl Fn(&mut Value) {
    move |payload| *payload.pointer_mut(pointer).unwrap() = value.clone()
}

fn kid(from: &'static str, to: &'static str) -> impl Fn(&mut Value) {
    move |payload| {
        let kid = &mut payload["response"]["key"]["key"]["kid"];
        *kid = json!(kid.as_str().unwrap().replace(from, to));
    }
}

#[tokio::test]
async fn an_answer_to_another_question_is_not_believed() {
    let scene = scene().await;
    assert!(scene.release().await.is_ok());
    let enc = scene
        .changed(set("/request/enc", json!("CKM_RSA_AES_KEY_WRAP")))
        .await;
    assert!(echo(&enc, "request.enc"), "{enc}");
    let longer = scene
        .changed(set("/request/enc", json!("RSA_AES_KEY_WRAP_384")))
        .await;
    assert!(echo(&longer, "request.enc"), "{longer}");
    let silent = scene
        .changed(|p| drop(p["request"].as_object_mut().unwrap().remove("enc")))
        .await;
    assert!(echo(&silent, "request.enc"), "{silent}");
    let nonce = scene.changed(set("/request/nonce", json!("another"))).await;
    assert!(echo(&nonce, "request.nonce"), "{nonce}");
    let name = scene.changed(kid("/keys/kek/", "/keys/kek2/")).await;
    assert!(echo(&name, "response.key.key.kid"), "{name}");
    let vault = scene.changed(kid("litwarekv", "fabrikamkv")).await;
    assert!(echo(&vault, "response.key.key.kid"), "{vault}");
    let host = scene.url.host_str().unwrap().to_owned();
    let asked = scene
        .changed(move |p| p["request"]["kid"] = json!(format!("https://{host}/keys/other/1")))
        .await;
    assert!(echo(&asked, "request.kid"), "{asked}");
    assert_eq!(asked.code(), "CR-KV-0023");
    let versionless = scene.changed(|p| {
        let kid = &mut p["response"]["key"]["key"]["kid"];
        *kid = json!(kid.as_str().unwrap().rsplit_once('/').unwrap().0);
    });
    let versionless = versionless.await;
    assert!(
        matches!(
            versionless,
            KeyVaultError::Answer {
                what: "the released key has no version"
            }
        ),
        "{versionless}"
    );
    // A vault that does not echo the nonce is believed: the service's older interfaces do not.
    scene.vault().misbehave(Some(Arc::new(|p| {
        drop(p["request"].as_object_mut().unwrap().remove("nonce"))
    })));
    assert!(scene.release().await.is_ok());
}

#[tokio::test]
async fn another_version_than_the_asked_one_is_not_believed() {
    let scene = scene().await;
    let first = scene.release().await.unwrap().version().to_owned();
    scene.import("kek").await;
    let second = scene.release().await.unwrap().version().to_owned();
    let asked = format!("kek/{first}");
    let claims = scene.claims();
    assert!(scene.release_with(&claims, &asked).await.is_ok());
    scene.vault().misbehave(Some(Arc::new(move |p| {
        let kid = &mut p["response"]["key"]["key"]["kid"];
        *kid = json!(kid.as_str().unwrap().replace(&first, &second));
    })));
    let refused = scene.release_with(&claims, &asked).await.unwrap_err();
    assert!(echo(&refused, "response.key.key.kid"), "{refused}");
}

/// Puts a cipher text made here into the answer.
async fn with_ciphertext(scene: &Scene, kty: &'static str, ciphertext: &[u8]) -> KeyVaultError {
    let envelope = json!({"ciphertext": B64URL.encode(ciphertext)}).to_string();
    let envelope = B64URL.encode(envelope);
    scene
        .changed(move |p| {
            p["response"]["key"]["key"]["key_hsm"] = json!(envelope);
            p["response"]["key"]["key"]["kty"] = json!(kty);
        })
        .await
}

#[tokio::test]
async fn a_key_wrapped_for_somebody_else_or_changed_does_not_unwrap() {
    let scene = scene().await;
    let mut claims = scene.claims();
    let mut jwk = SigningKey::generate().unwrap().jwk();
    jwk["key_ops"] = json!(["encrypt"]);
    claims["x-ms-runtime"]["keys"] = json!([jwk]);
    let other = scene.release_with(&claims, "kek").await.unwrap_err();
    assert!(
        matches!(other, KeyVaultError::Unwrap(CryptoError::Decrypt)),
        "{other}"
    );

    let public = scene.transfer.public_key();
    let wrapped = |hash| wrap_rsa_aes(&public, hash, &scene.kek.to_pkcs8_der()).unwrap();
    let good = wrapped(OaepHash::Sha256);
    let short =
        |error: &KeyVaultError| matches!(error, KeyVaultError::Unwrap(CryptoError::Length(_)));
    let changed =
        |error: &KeyVaultError| matches!(error, KeyVaultError::Unwrap(CryptoError::Decrypt));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut longer = good.clone();
    longer.extend_from_slice(&[0; 8]);
    for (ciphertext, reason) in [
        (&[][..], &short as &dyn Fn(&KeyVaultError) -> bool),
        (&good[..3], &short),
        (&good[..255], &short),
        (&good[..256], &changed),
        (&good[..264], &changed),
        (&good[..good.len() - 1], &changed),
        (&good[..good.len() - 8], &changed),
        (&longer, &changed),
        (&flipped, &changed),
        // The vault says SHA-256 and pads with the service's own default.
        (&wrapped(OaepHash::Sha1), &changed),
        (&wrapped(OaepHash::Sha384), &changed),
    ] {
        let error = with_ciphertext(&scene, "RSA-HSM", ciphertext).await;
        assert!(reason(&error), "{} bytes: {error}", ciphertext.len());
        assert_eq!(error.code(), "CR-KV-0024");
    }
    let envelope = scene
        .changed(set("/response/key/key/key_hsm", json!("%")))
        .await;
    assert!(matches!(envelope, KeyVaultError::Answer { .. }));
    let empty = scene
        .changed(set("/response/key/key/key_hsm", json!("e30")))
        .await;
    assert!(matches!(empty, KeyVaultError::Answer { .. }));
    assert!(scene.release().await.is_ok());
}

#[tokio::test]
async fn the_material_must_be_of_the_type_that_the_vault_names() {
    let scene = scene().await;
    let public = scene.transfer.public_key();
    let wrap = |material: &[u8]| wrap_rsa_aes(&public, OaepHash::Sha256, material).unwrap();
    let rsa = scene.kek.to_pkcs8_der();
    let ec = ec::EcPrivateKey::generate(ec::Curve::P256).unwrap();
    let ec = ec.to_pkcs8_der();
    for (kty, material) in [
        ("RSA-HSM", ec.as_slice()),
        ("RSA", &[7; 32]),
        ("EC-HSM", rsa.as_slice()),
        ("EC", &[7; 32]),
        ("oct-HSM", rsa.as_slice()),
        ("oct", ec.as_slice()),
        ("oct", &[7; 65]),
    ] {
        let error = with_ciphertext(&scene, kty, &wrap(material)).await;
        assert!(
            matches!(&error, KeyVaultError::Material { kty: named, .. } if named == kty),
            "{kty}: {error}"
        );
        assert_eq!(error.code(), "CR-KV-0026");
    }
    let unknown = with_ciphertext(&scene, "OKP", &wrap(&rsa)).await;
    assert!(matches!(&unknown, KeyVaultError::KeyType { kty } if kty == "OKP"));
    assert_eq!(unknown.code(), "CR-KV-0025");
}
