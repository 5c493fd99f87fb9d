//! The clients against a vault that really verifies, evaluates, wraps and signs, over TLS.
use std::sync::Arc;

use cleanroom_crypto::rsa::PrivateKey;
use emulators::entra::jwt::SigningKey;
use emulators::upset::{Kind, Upset};
use emulators::vault::Vault;
use emulators::world::{Party, World, WorldConfig};
use serde_json::{Value, json};
use sidecar_http::{Coded, Fault, HttpsClient, Trust};
use url::Url;

use crate::{
    KeyClient, KeyVaultError, ReleaseClient, ReleasePolicy, ReleasedKey, SecretClient, VaultKind,
};

mod agreement;
mod answers;
mod kinds;
mod signatures;
mod vectors;

const HOST_DATA: [u8; 32] = [0xAB; 32];

struct Scene {
    world: World,
    party: Party,
    url: Url,
    kek: PrivateKey,
    transfer: PrivateKey,
    https: HttpsClient,
    release: ReleaseClient,
}

/// litware's vault with a key that goes to the group with [`HOST_DATA`].
async fn scene() -> Scene {
    sidecar_http::install_crypto_provider();
    let world = World::start(WorldConfig::two_parties()).await.unwrap();
    let party = world.config().parties[0].clone();
    let url = world.url(&party.vaults[0].host());
    let https = test_support::https(&world).unwrap();
    let release = ReleaseClient::new(https.clone(), test_support::trust(&world).unwrap());
    let scene = Scene {
        kek: PrivateKey::generate(2048).unwrap(),
        transfer: PrivateKey::generate(2048).unwrap(),
        world,
        party,
        url,
        https,
        release,
    };
    scene.import("kek").await;
    scene
}

impl Scene {
    fn vault(&self) -> &Vault {
        &self.world.services().vaults[self.url.host_str().unwrap()]
    }

    fn token(&self, client: &str) -> String {
        let entra = &self.world.services().entra;
        entra
            .issue(
                &self.party.tenant_id,
                client,
                VaultKind::KeyVault.audience(),
                600,
            )
            .unwrap()
    }

    fn owner(&self) -> String {
        self.token(&self.party.service_principal.as_ref().unwrap().client_id)
    }

    fn room(&self) -> String {
        self.token(&self.party.managed_identity.as_ref().unwrap().client_id)
    }

    fn policy(&self) -> ReleasePolicy {
        let authority = Url::parse(self.world.services().maa.issuer()).unwrap();
        ReleasePolicy::for_host_data(&authority, &HOST_DATA).unwrap()
    }

    async fn import(&self, name: &str) {
        let client = KeyClient::new(self.https.clone());
        let policy = self.policy();
        client
            .import_rsa(&self.url, name, &self.kek, &policy, &self.owner())
            .await
            .unwrap();
    }

    fn claims(&self) -> Value {
        let pkcs8 = self.transfer.to_pkcs8_der();
        let mut jwk = SigningKey::from_pkcs8(&pkcs8).unwrap().jwk();
        jwk["key_ops"] = json!(["encrypt"]);
        json!({
            "iss": self.world.services().maa.issuer(), "exp": 4_000_000_000_u64,
            "x-ms-sevsnpvm-hostdata": "ab".repeat(32), "x-ms-compliance-status": "azure-compliant-uvm",
            "x-ms-attestation-type": "sevsnpvm", "x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-vmpl": 0,
            "x-ms-sevsnpvm-guestsvn-int": 104,
            "x-ms-runtime": {"keys": [jwk]},
        })
    }

    async fn release_with(&self, claims: &Value, kid: &str) -> Result<ReleasedKey, KeyVaultError> {
        let target = self.world.services().maa.sign(claims).unwrap();
        self.release
            .release(&self.url, kid, &self.room(), &target, &self.transfer)
            .await
    }

    async fn release(&self) -> Result<ReleasedKey, KeyVaultError> {
        self.release_with(&self.claims(), "kek").await
    }

    /// A release in which the vault changes the payload before it signs.
    async fn changed(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) -> KeyVaultError {
        self.vault().misbehave(Some(Arc::new(change)));
        let refused = self.release().await.unwrap_err();
        self.vault().misbehave(None);
        refused
    }
}

#[tokio::test]
async fn a_key_comes_back_as_it_was_imported() {
    let scene = scene().await;
    let released = scene.release().await.unwrap();
    let back = PrivateKey::from_jwk(&released.to_jwk()).unwrap();
    assert_eq!(
        back.to_pkcs8_der().as_slice(),
        scene.kek.to_pkcs8_der().as_slice()
    );
    let jwk: Value = serde_json::from_str(&released.to_jwk()).unwrap();
    assert_eq!(jwk["key_ops"], json!(["encrypt", "wrapKey"]));
    assert_eq!(
        released.kid(),
        format!("{}keys/kek/{}", scene.url, released.version())
    );
    let first = format!("kek/{}", released.version());
    scene.import("kek").await;
    let again = scene.release_with(&scene.claims(), &first).await.unwrap();
    assert_eq!(again.version(), released.version());
    assert_ne!(scene.release().await.unwrap().version(), released.version());
}

#[tokio::test]
async fn an_imported_key_shows_its_policy_and_public_half_and_a_missing_one_nothing() {
    let scene = scene().await;
    let client = KeyClient::new(scene.https.clone());
    let info = client
        .get(&scene.url, "kek", &scene.owner())
        .await
        .unwrap()
        .unwrap();
    assert!(info.exportable);
    assert_eq!(info.release_policy.unwrap(), scene.policy());
    assert_eq!(info.public_key.unwrap(), scene.kek.public_key());
    assert!(
        client
            .get(&scene.url, "none", &scene.owner())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn evidence_of_another_group_gets_no_key_and_the_claim_is_named() {
    let scene = scene().await;
    assert!(scene.release().await.is_ok());
    let mut claims = scene.claims();
    claims["x-ms-sevsnpvm-hostdata"] = json!("cd".repeat(32));
    let refused = scene.release_with(&claims, "kek").await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.fault()),
        ("CR-KV-0011", Fault::Denied)
    );
    let text = refused.to_string();
    for part in ["x-ms-sevsnpvm-hostdata", &"ab".repeat(32), &"cd".repeat(32)] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn one_changed_condition_of_the_policy_keeps_the_key() {
    let scene = scene().await;
    let mut policy = scene.vault().release_policy("kek").unwrap();
    assert!(scene.release().await.is_ok());
    policy["anyOf"][0]["allOf"][3]["equals"] = json!(true);
    scene.vault().set_release_policy("kek", policy);
    let refused = scene.release().await.unwrap_err();
    assert!(
        refused.to_string().contains("x-ms-sevsnpvm-is-debuggable"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_token_for_another_audience_or_principal_is_refused_as_such() {
    let scene = scene().await;
    let target = scene.world.services().maa.sign(&scene.claims()).unwrap();
    let ask = async |token: &str| {
        let key = &scene.transfer;
        scene
            .release
            .release(&scene.url, "kek", token, &target, key)
            .await
            .map(drop)
    };
    assert!(ask(&scene.room()).await.is_ok());
    let identity = &scene.party.managed_identity.as_ref().unwrap().client_id;
    let entra = &scene.world.services().entra;
    let storage = entra
        .issue(
            &scene.party.tenant_id,
            identity,
            "https://storage.azure.com",
            600,
        )
        .unwrap();
    assert_eq!(ask(&storage).await.unwrap_err().code(), "CR-KV-0010");
    assert_eq!(ask(&scene.owner()).await.unwrap_err().code(), "CR-KV-0011");
}

#[tokio::test]
async fn a_vault_that_is_busy_twice_releases_at_the_third_try() {
    let scene = scene().await;
    scene.world.upset(
        Upset::next("vault", Kind::Status(503))
            .at("/release")
            .times(2),
    );
    assert!(scene.release().await.is_ok());
    let requests = scene.world.requests("vault");
    let tries: Vec<_> = requests
        .iter()
        .filter(|r| r.path.contains("/release"))
        .map(|r| r.status)
        .collect();
    assert_eq!(tries, [503, 503, 200]);
}

#[tokio::test]
async fn a_vault_that_stays_busy_or_breaks_off_is_an_upstream_failure() {
    let scene = scene().await;
    scene.world.upset(
        Upset::next("vault", Kind::Status(503))
            .at("/release")
            .times(9),
    );
    let busy = scene.release().await.unwrap_err();
    assert_eq!(
        (busy.code(), busy.fault()),
        ("CR-KV-0013", Fault::Upstream { retry: true })
    );
    scene.world.upsets().calm();
    let asked = |scene: &Scene| scene.world.requests("vault").len();
    let before = asked(&scene);
    scene
        .world
        .upset(Upset::next("vault", Kind::Throttle(86_400)).at("/release"));
    let throttled = scene.release().await.unwrap_err();
    assert!(
        matches!(&throttled, KeyVaultError::Unavailable { status, retry_after: Some(wait), .. }
            if status.as_u16() == 429 && wait.as_secs() == 86_400),
        "{throttled}"
    );
    assert_eq!(asked(&scene), before + 1);
    scene.world.upsets().calm();
    scene.world.upset(
        Upset::next("vault", Kind::TruncateBody)
            .at("/release")
            .times(9),
    );
    let cut = scene.release().await.unwrap_err();
    assert_eq!(cut.code(), "CR-HTTP-0025", "{cut}");
    scene.world.upsets().calm();
    let url = scene.url.clone();
    let (release, room) = (scene.release.clone(), scene.room());
    scene.world.stop().await;
    let down = release
        .release(&url, "kek", &room, "t", &scene.transfer)
        .await
        .unwrap_err();
    assert_eq!(down.code(), "CR-HTTP-0023", "{down}");
}

#[tokio::test]
async fn secrets_are_written_by_the_owner_and_read_by_the_room() {
    let scene = scene().await;
    let client = SecretClient::new(scene.https.clone());
    let set = client
        .set(&scene.url, "dek", "d3JhcHBlZA==", &scene.owner())
        .await
        .unwrap();
    assert!(set.id().starts_with(&format!("{}secrets/dek/", scene.url)));
    let read = client.get(&scene.url, "dek", &scene.room()).await.unwrap();
    assert_eq!(read.expose(), "d3JhcHBlZA==");
    assert!(!format!("{read:?}").contains("d3JhcHBlZA"));
    let missing = client
        .get(&scene.url, "none", &scene.room())
        .await
        .unwrap_err();
    assert_eq!(missing.code(), "CR-KV-0012");
    let stranger = scene
        .world
        .services()
        .entra
        .issue("elsewhere", "x", "https://vault.azure.net", 60)
        .unwrap();
    let refused = client.get(&scene.url, "dek", &stranger).await.unwrap_err();
    assert_eq!(refused.code(), "CR-KV-0011");
}

#[tokio::test]
async fn the_version_asked_under_is_configuration() {
    let scene = scene().await;
    let target = scene.world.services().maa.sign(&scene.claims()).unwrap();
    let ask = async |version: &str| {
        let client = scene.release.clone();
        let client = client.with_api_version(version.parse().unwrap());
        let released = client
            .release(&scene.url, "kek", &scene.room(), &target, &scene.transfer)
            .await;
        released.map(drop)
    };
    ask("2025-07-01").await.unwrap();
    let last = scene.world.requests("vault").pop().unwrap();
    assert_eq!(last.path, "/keys/kek/release?api-version=2025-07-01");
    let unknown = ask("1.0").await.unwrap_err();
    assert!(
        matches!(&unknown, KeyVaultError::Rejected { status, .. } if status.as_u16() == 400),
        "{unknown}"
    );
    let version = || "7.6".parse().unwrap();
    let keys = KeyClient::new(scene.https.clone()).with_api_version(version());
    assert!(
        keys.get(&scene.url, "kek", &scene.owner())
            .await
            .unwrap()
            .is_some()
    );
    let secrets = SecretClient::new(scene.https.clone()).with_api_version(version());
    let missing = secrets.get(&scene.url, "none", &scene.room()).await;
    assert!(matches!(missing, Err(KeyVaultError::NotFound { .. })));
    let requests = scene.world.requests("vault");
    let [.., key, secret] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert_eq!(key.path, "/keys/kek?api-version=7.6");
    assert_eq!(secret.path, "/secrets/none?api-version=7.6");
}
