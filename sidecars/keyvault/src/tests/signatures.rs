//! Who may sign a release, and over what.
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use emulators::vault::VaultSigner;
use emulators::world::Authority;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use super::*;
use crate::wire::B64URL;
use crate::{JwsFlaw, jws};

const HOST: &str = "litwarekv.vault.azure.net";

/// A root that is believed, and a vault's signer under it.
struct Desk {
    root: Authority,
    signer: VaultSigner,
    trust: Trust,
}

fn desk() -> Desk {
    let root = Authority::new("root").unwrap();
    Desk {
        signer: VaultSigner::issue(&root, HOST).unwrap(),
        trust: Trust::web().with_extra_pem(root.pem().as_bytes()).unwrap(),
        root,
    }
}

fn now() -> Duration {
    std::time::UNIX_EPOCH.elapsed().unwrap()
}

impl Desk {
    fn verify(&self, jws: &str) -> Result<Value, KeyVaultError> {
        jws::verify(jws, HOST, &self.trust.anchors(), now())
    }

    fn flaw(&self, jws: &str) -> JwsFlaw {
        match self.verify(jws) {
            Err(KeyVaultError::Jws(flaw)) => flaw,
            other => panic!("{other:?}"),
        }
    }

    fn distrusted(&self, jws: &str) -> webpki::Error {
        match self.verify(jws) {
            Err(KeyVaultError::Certificate(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    /// Signed with one member of the header replaced.
    fn with_header(&self, change: impl Fn(&mut Value)) -> String {
        let mut header = self.signer.header();
        change(&mut header);
        self.signer.sign_with(&header, &payload()).unwrap()
    }
}

fn payload() -> Value {
    json!({"a": 1})
}

fn parts(jws: &str) -> [&str; 3] {
    let parts: Vec<_> = jws.split('.').collect();
    parts.try_into().unwrap()
}

#[test]
fn the_vaults_own_certificate_over_the_very_bytes_is_believed() {
    let desk = desk();
    let good = desk.signer.sign(&payload()).unwrap();
    assert_eq!(desk.verify(&good).unwrap(), payload());
    let bare = desk.with_header(|h| drop(h.as_object_mut().unwrap().remove("x5t#S256")));
    assert_eq!(desk.verify(&bare).unwrap(), payload());
    let leaf = |h: &Value| STANDARD.decode(h["x5c"][0].as_str().unwrap()).unwrap();
    let unpadded = desk.with_header(|h| h["x5c"][0] = json!(STANDARD_NO_PAD.encode(leaf(h))));
    assert_eq!(desk.verify(&unpadded).unwrap(), payload());
    let padded = desk.with_header(|h| {
        let digest = cleanroom_crypto::digest::sha256(&leaf(h));
        h["x5t#S256"] = json!(URL_SAFE.encode(digest));
    });
    assert_eq!(desk.verify(&padded).unwrap(), payload());
    assert_eq!(
        desk.verify(&desk.with_header(|h| h["x5c"].as_array_mut().unwrap().truncate(1)))
            .unwrap(),
        payload()
    );
}

#[test]
fn a_changed_text_or_another_signer_is_refused() {
    let desk = desk();
    let good = desk.signer.sign(&payload()).unwrap();
    let [header, body, signature] = parts(&good);
    let signature_of = |jws: &str| matches!(desk.verify(jws), Err(KeyVaultError::Signature));
    let mut bytes = B64URL.decode(signature).unwrap();
    bytes[100] ^= 1;
    assert!(signature_of(&format!(
        "{header}.{body}.{}",
        B64URL.encode(&bytes)
    )));
    assert!(signature_of(&format!("{header}.{body}.")));
    let other = B64URL.encode(json!({"a": 2}).to_string());
    assert!(signature_of(&format!("{header}.{other}.{signature}")));
    let mut renamed: Value = serde_json::from_slice(&B64URL.decode(header).unwrap()).unwrap();
    renamed["kid"] = json!("x");
    let renamed = B64URL.encode(renamed.to_string());
    assert!(signature_of(&format!("{renamed}.{body}.{signature}")));
    // A good certificate of the vault over the signature of another key.
    let second = VaultSigner::issue(&desk.root, HOST).unwrap();
    let borrowed = second.sign_with(&desk.signer.header(), &payload()).unwrap();
    assert!(signature_of(&borrowed));
}

#[test]
fn another_vaults_certificate_an_unknown_root_and_a_dead_chain_are_refused() {
    let desk = desk();
    let elsewhere = VaultSigner::issue(&desk.root, "fabrikamkv.vault.azure.net").unwrap();
    let elsewhere = elsewhere.sign(&payload()).unwrap();
    assert!(matches!(
        desk.distrusted(&elsewhere),
        webpki::Error::CertNotValidForName(_)
    ));
    let stranger = VaultSigner::issue(&Authority::new("other").unwrap(), HOST).unwrap();
    let stranger = stranger.sign(&payload()).unwrap();
    assert_eq!(desk.distrusted(&stranger), webpki::Error::UnknownIssuer);
    let good = desk.signer.sign(&payload()).unwrap();
    for (at, early) in [
        (Duration::from_secs(100_000_000_000), false),
        (Duration::from_secs(0), true),
    ] {
        match jws::verify::<Value>(&good, HOST, &desk.trust.anchors(), at) {
            Err(KeyVaultError::Certificate(webpki::Error::CertExpired { .. })) => assert!(!early),
            Err(KeyVaultError::Certificate(webpki::Error::CertNotValidYet { .. })) => {
                assert!(early)
            }
            other => panic!("{other:?}"),
        }
    }
    // The root is no leaf, and garbage no certificate.
    let root = desk.with_header(|h| {
        h["x5c"] = json!([STANDARD.encode(desk.root.der())]);
        drop(h.as_object_mut().unwrap().remove("x5t#S256"));
    });
    assert_eq!(desk.distrusted(&root), webpki::Error::CaUsedAsEndEntity);
    let garbage = desk.with_header(|h| {
        h["x5c"] = json!(["AA=="]);
        drop(h.as_object_mut().unwrap().remove("x5t#S256"));
    });
    assert!(matches!(
        desk.distrusted(&garbage),
        webpki::Error::TrailingData(_)
    ));
}

#[test]
fn every_other_form_is_refused_for_its_own_reason() {
    let desk = desk();
    let good = desk.signer.sign(&payload()).unwrap();
    let [header, body, signature] = parts(&good);
    for text in [
        String::new(),
        header.to_owned(),
        format!("{header}.{body}"),
        format!("{good}.x"),
    ] {
        assert_eq!(desk.flaw(&text), JwsFlaw::Parts, "{text}");
    }
    for alg in ["none", "HS256", "PS256", "RS384", "ES256", "rs256"] {
        let other = desk.with_header(|h| h["alg"] = json!(alg));
        assert_eq!(desk.flaw(&other), JwsFlaw::Algorithm, "{alg}");
    }
    let digest = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (jws, flaw) in [
        (
            desk.with_header(|h| h["crit"] = json!(["exp"])),
            JwsFlaw::Critical,
        ),
        (
            desk.with_header(|h| h["x5c"] = json!([])),
            JwsFlaw::NoCertificate,
        ),
        (
            desk.with_header(|h| drop(h.as_object_mut().unwrap().remove("x5c"))),
            JwsFlaw::NoCertificate,
        ),
        (
            desk.with_header(|h| h["x5c"] = json!(vec!["AA=="; 9])),
            JwsFlaw::ManyCertificates,
        ),
        (
            desk.with_header(|h| h["x5c"] = json!(["%"])),
            JwsFlaw::CertificateBase64,
        ),
        (
            desk.with_header(|h| h["x5t#S256"] = json!(digest)),
            JwsFlaw::Thumbprint,
        ),
        (
            desk.with_header(|h| h["x5t#S256"] = json!("")),
            JwsFlaw::Thumbprint,
        ),
        (
            desk.with_header(|h| h["x5t#S256"] = json!("%")),
            JwsFlaw::Base64("x5t#S256"),
        ),
        (format!("%.{body}.{signature}"), JwsFlaw::Base64("header")),
        (format!("{header}.{body}.%"), JwsFlaw::Base64("signature")),
        // 256 bytes leave four bits behind the last one.
        (
            format!("{header}.{body}.{}", trailing_bits(signature)),
            JwsFlaw::Base64("signature"),
        ),
        (
            format!("{}.{body}.{signature}", B64URL.encode("[]")),
            JwsFlaw::Json("header"),
        ),
        (
            format!(
                "{}.{body}.{signature}",
                B64URL.encode(r#"{"alg":"RS256","alg":"RS256"}"#)
            ),
            JwsFlaw::Json("header"),
        ),
    ] {
        assert_eq!(desk.flaw(&jws), flaw, "{jws}");
    }
    let text = desk.signer.sign(&json!("text")).unwrap();
    let read = jws::verify::<Vec<u8>>(&text, HOST, &desk.trust.anchors(), now());
    assert!(matches!(
        read,
        Err(KeyVaultError::Jws(JwsFlaw::Json("payload")))
    ));
}

fn trailing_bits(signature: &str) -> String {
    let (head, last) = signature.split_at(signature.len() - 1);
    format!("{head}{}", char::from(last.as_bytes()[0] + 1))
}

#[test]
fn a_leaf_whose_key_cannot_sign_so_is_refused_as_such() {
    let desk = desk();
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let leaf = desk.root.leaf(&[HOST], &pair).unwrap();
    let curved = desk.with_header(|h| {
        h["x5c"][0] = json!(STANDARD.encode(&leaf));
        drop(h.as_object_mut().unwrap().remove("x5t#S256"));
    });
    assert_eq!(desk.flaw(&curved), JwsFlaw::LeafKey);
}

#[tokio::test]
async fn a_release_changed_on_its_way_is_refused() {
    let scene = scene().await;
    assert!(scene.release().await.is_ok());
    let tampered = async |change: fn(String) -> String| {
        scene.vault().tamper(Some(Arc::new(change)));
        let refused = scene.release().await.unwrap_err();
        scene.vault().tamper(None);
        refused
    };
    let payload = tampered(|jws| {
        let [header, body, signature] = parts(&jws);
        let mut value: Value = serde_json::from_slice(&B64URL.decode(body).unwrap()).unwrap();
        value["response"]["key"]["attributes"]["exportable"] = json!(false);
        format!("{header}.{}.{signature}", B64URL.encode(value.to_string()))
    });
    let payload = payload.await;
    assert!(matches!(payload, KeyVaultError::Signature), "{payload}");
    let unsigned = tampered(|jws| jws.rsplit_once('.').unwrap().0.to_owned()).await;
    assert!(matches!(unsigned, KeyVaultError::Jws(JwsFlaw::Parts)));
    assert!(scene.release().await.is_ok());
}
