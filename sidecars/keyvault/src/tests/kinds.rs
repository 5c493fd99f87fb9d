//! Every type of key that a vault keeps, through import and release.
use cleanroom_crypto::ec::{Curve, EcPrivateKey};
use emulators::world::VaultKind as EmulatedKind;

use super::*;
use crate::ImportKey;

/// The key of fabrikam's managed HSM, released to the room.
async fn through_the_hsm(
    scene: &Scene,
    name: &str,
    key: ImportKey<'_>,
) -> Result<ReleasedKey, KeyVaultError> {
    let party = &scene.world.config().parties[1];
    assert_eq!(party.vaults[0].kind, EmulatedKind::ManagedHsm);
    let url = scene.world.url(&party.vaults[0].host());
    let entra = &scene.world.services().entra;
    let audience = VaultKind::ManagedHsm.audience();
    let token = |client: &str| {
        entra
            .issue(&party.tenant_id, client, audience, 600)
            .unwrap()
    };
    let owner = token(&party.service_principal.as_ref().unwrap().client_id);
    let room = token(&party.managed_identity.as_ref().unwrap().client_id);
    KeyClient::new(scene.https.clone())
        .import(&url, name, key, &scene.policy(), &owner)
        .await?;
    let target = scene.world.services().maa.sign(&scene.claims()).unwrap();
    scene
        .release
        .release(&url, name, &room, &target, &scene.transfer)
        .await
}

#[tokio::test]
async fn curves_and_symmetric_keys_come_back_as_they_were_imported() {
    let scene = scene().await;
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let key = EcPrivateKey::generate(curve).unwrap();
        let import = ImportKey::Ec(&key);
        let released = through_the_hsm(&scene, "ec", import).await.unwrap();
        assert_eq!(released.ec().unwrap().to_jwk(), key.to_jwk());
        assert!(released.rsa().is_none() && released.symmetric().is_none());
        let jwk: Value = serde_json::from_str(&released.to_jwk()).unwrap();
        let members: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, ["crv", "d", "key_ops", "kty", "x", "y"]);
        assert_eq!(jwk["crv"], curve.name());
    }
    for length in [16, 32, 64] {
        let key = vec![9; length];
        let import = ImportKey::Oct(&key);
        let released = through_the_hsm(&scene, "oct", import).await.unwrap();
        assert_eq!(released.symmetric(), Some(key.as_slice()));
        assert!(released.ec().is_none() && released.rsa().is_none());
        let jwk: Value = serde_json::from_str(&released.to_jwk()).unwrap();
        assert_eq!(jwk["kty"], "oct");
        assert!(!format!("{released:?}").contains("CQkJ"));
    }
    let released = through_the_hsm(&scene, "rsa", ImportKey::Rsa(&scene.kek)).await;
    assert!(released.unwrap().rsa().is_some());
}

#[tokio::test]
async fn larger_transfer_keys_open_their_releases() {
    let mut scene = scene().await;
    for bits in [3072, 4096] {
        scene.transfer = PrivateKey::generate(bits).unwrap();
        let released = scene.release().await.unwrap();
        let back = released.rsa().unwrap();
        assert_eq!(back.public_key(), scene.kek.public_key(), "{bits}");
    }
}

#[tokio::test]
async fn only_a_managed_hsm_takes_symmetric_keys() {
    let scene = scene().await;
    let client = KeyClient::new(scene.https.clone());
    let policy = scene.policy();
    let import = ImportKey::Oct(&[1; 32]);
    let refused = client
        .import(&scene.url, "oct", import, &policy, &scene.owner())
        .await;
    assert!(
        matches!(&refused, Err(KeyVaultError::Rejected { message, .. }) if message.contains("oct-HSM")),
        "{refused:?}"
    );
}

/// Vaults hold such keys; nothing behind us can use one.
#[tokio::test]
async fn a_key_on_p_256k_is_refused_by_name() {
    let scene = scene().await;
    let generator_x = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let generator_y = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
    let number = |text: &str| {
        let bytes = hex::decode(text).unwrap();
        base64::Engine::encode(&crate::wire::B64URL, bytes)
    };
    let mut d = "0".repeat(63);
    d.push('1');
    let body = json!({
        "key": {
            "kty": "EC-HSM", "crv": "P-256K", "key_ops": ["sign"],
            "d": number(&d), "x": number(generator_x), "y": number(generator_y),
        },
        "attributes": {"exportable": true}, "release_policy": scene.policy().to_wire(),
    });
    let url = scene.url.join("keys/k1?api-version=7.4").unwrap();
    let request = sidecar_http::Request::put("test", url)
        .bearer(&scene.owner())
        .json(&body);
    assert_eq!(scene.https.send(&request).await.unwrap().status, 200);
    let refused = scene.release_with(&scene.claims(), "k1").await.unwrap_err();
    assert!(matches!(refused, KeyVaultError::Curve { .. }), "{refused}");
    assert_eq!(refused.code(), "CR-KV-0027");
    assert!(refused.to_string().contains("P-256K"), "{refused}");
}

#[tokio::test]
async fn a_key_that_does_not_work_now_is_not_released() {
    let scene = scene().await;
    let patch = async |attributes: Value| {
        let url = scene.url.join("keys/kek?api-version=7.4").unwrap();
        let request = sidecar_http::Request::new("test", http::Method::PATCH, url)
            .bearer(&scene.owner())
            .json(&json!({"attributes": attributes}));
        let status = scene.https.send(&request).await.unwrap().status;
        assert_eq!(status, 200);
    };
    for (attributes, code) in [
        (json!({"enabled": false}), "Forbidden/KeyDisabled"),
        (
            json!({"enabled": true, "nbf": 3_000_000_000_u64}),
            "Forbidden/KeyNotYetValid",
        ),
        (json!({"nbf": 1, "exp": 2}), "Forbidden/KeyExpired"),
    ] {
        patch(attributes).await;
        let refused = scene.release().await.unwrap_err();
        assert!(
            matches!(&refused, KeyVaultError::Forbidden { code: told, .. } if told == code),
            "{refused}"
        );
    }
    patch(json!({"nbf": 1, "exp": 3_000_000_000_u64})).await;
    assert!(scene.release().await.is_ok());
}
