//! The sidecar between an identity and an skr-agent of the test's making, and a vault that really verifies tokens.
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{OriginalUri, Query};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use emulators::upset::{Kind, Upset};
use emulators::vault::Vault;
use emulators::world::{World, WorldConfig};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sidecar_http::{Coded, Peer, UnixClient, services};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::{Grants, Unwrapper, routes};

const UID: u32 = 10020;
const OTHER: u32 = 10021;
const DEK: [u8; 32] = [0x5A; 32];
const HOST: &str = "litwarekv.vault.azure.net";

/// What the two sidecars were asked.
type Log = Arc<Mutex<Vec<String>>>;

struct Scene {
    world: World,
    kek: PrivateKey,
    unwrapper: Arc<Unwrapper>,
    log: Log,
    request: Value,
    _sockets: TempDir,
}

fn serve(socket: &Path, router: Router) -> UnixClient {
    let listener = tokio::net::UnixListener::bind(socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    UnixClient::new(socket, nix::unistd::geteuid().as_raw())
}

fn request(vault: &str, dek: &str) -> Value {
    json!({
        "clientId": "aaaaaaaa-0000-4000-8000-000000000002", "tenantId": "t", "kid": dek, "akvEndpoint": vault,
        "kek": {"kid": "kek", "akvEndpoint": "https://litwarehsm.managedhsm.azure.net", "maaEndpoint": "https://maa.example"},
    })
}

fn grants(list: &[(u32, &Value)]) -> String {
    let of = |(uid, request): &(u32, &Value)| json!({"access": format!("data-{uid}"), "uid": uid, "request": request, "kekVaultKind": "ManagedHsm"});
    BASE64_STANDARD.encode(Value::from(list.iter().map(of).collect::<Vec<_>>()).to_string())
}

const KEK: &str = "https://litwarehsm.managedhsm.azure.net/keys/kek/01";

/// An answer of skr-agent.
fn released(jwk: &str, kid: &str) -> Value {
    json!({"key": jwk, "kid": kid})
}

/// `released` is what skr-agent answers with: status and body.
async fn scene_with(released: impl Fn(&PrivateKey) -> (StatusCode, Value)) -> Scene {
    sidecar_http::install_crypto_provider();
    let world = World::start(WorldConfig::two_parties()).await.unwrap();
    let party = world.config().parties[0].clone();
    let (log, sockets) = (Log::default(), tempfile::tempdir().unwrap());
    let kek = PrivateKey::generate(2048).unwrap();

    let entra = world.services().entra.clone();
    let client = party.managed_identity.unwrap().client_id;
    let seen = Arc::clone(&log);
    let token = async move |uri: OriginalUri, Query(query): Query<Vec<(String, String)>>| {
        seen.lock().unwrap().push(uri.to_string());
        let scope = query
            .iter()
            .find(|(name, _)| name == "scope")
            .map(|(_, value)| value.clone())
            .unwrap();
        let audience = scope.trim_end_matches("/.default");
        Json(json!({"token": entra.issue(&party.tenant_id, &client, audience, 60).unwrap()}))
    };
    let identity = Router::new().route("/metadata/identity/oauth2/token", get(token));
    let identity = serve(&sockets.path().join("identity.sock"), identity);

    let (status, answer) = released(&kek);
    let seen = Arc::clone(&log);
    let release = async move |Json(question): Json<Value>| {
        seen.lock().unwrap().push(question.to_string());
        (status, Json(answer))
    };
    let skr = serve(
        &sockets.path().join("skr.sock"),
        Router::new().route("/key/release", post(release)),
    );

    let request = request(world.url(HOST).as_str(), "wrapped-dek");
    let other = self::request(world.url(HOST).as_str(), "wrapped-other");
    let grants = Grants::from_base64(&grants(&[(UID, &request), (OTHER, &other)])).unwrap();
    let unwrapper = Arc::new(Unwrapper::new(
        grants,
        identity,
        skr,
        test_support::https(&world).unwrap(),
    ));
    let scene = Scene {
        world,
        kek,
        unwrapper,
        log,
        request,
        _sockets: sockets,
    };
    scene.wrap(&DEK);
    scene
}

async fn scene() -> Scene {
    scene_with(|kek| (StatusCode::OK, released(kek.to_jwk().as_str(), KEK))).await
}

impl Scene {
    fn vault(&self) -> &Vault {
        &self.world.services().vaults[HOST]
    }

    fn wrap(&self, clear: &[u8]) {
        let wrapped = self
            .kek
            .public_key()
            .encrypt_oaep(OaepHash::Sha256, clear)
            .unwrap();
        self.vault()
            .set_secret("wrapped-dek", &BASE64_STANDARD.encode(wrapped));
    }

    async fn ask_as(&self, uid: u32, body: &Value) -> (StatusCode, Value) {
        let router = routes(Arc::clone(&self.unwrapper)).router_as(Peer::Unix { uid, gid: uid });
        let request = Request::post("/secrets/unwrap")
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn ask(&self) -> (StatusCode, Value) {
        self.ask_as(UID, &self.request).await
    }

    fn calls(&self) -> usize {
        self.log.lock().unwrap().len() + self.world.requests("vault").len()
    }
}

fn is(answer: &(StatusCode, Value), status: StatusCode, code: &str) {
    assert_eq!(
        (answer.0, &answer.1["error"]["code"]),
        (status, &json!(code)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_shim_gets_the_key_of_its_dataset() {
    let scene = scene().await;
    let (status, answer) = scene.ask().await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer, json!({"value": BASE64_STANDARD.encode(DEK)}));
    let log = scene.log.lock().unwrap().join("\n");
    assert!(
        log.contains("scope=https%3A%2F%2Fmanagedhsm.azure.net%2F.default"),
        "{log}"
    );
    assert!(
        log.contains("scope=https%3A%2F%2Fvault.azure.net%2F.default"),
        "{log}"
    );
    assert!(
        log.contains(r#""akv_endpoint":"https://litwarehsm.managedhsm.azure.net/""#),
        "{log}"
    );
}

#[tokio::test]
async fn the_grant_of_another_dataset_opens_nothing_and_no_call_is_made() {
    let scene = scene().await;
    let answer = scene.ask_as(OTHER, &scene.request).await;
    is(&answer, StatusCode::FORBIDDEN, "CR-SECRETS-0011");
    assert!(
        answer.1["error"]["message"]
            .as_str()
            .unwrap()
            .ends_with("data-10021: kid"),
        "{answer:?}"
    );
    is(
        &scene.ask_as(10022, &scene.request).await,
        StatusCode::FORBIDDEN,
        "CR-SECRETS-0010",
    );
    for uid in [0, services::APPLICATION_UID, services::SKR_AGENT.uid] {
        is(
            &scene.ask_as(uid, &scene.request).await,
            StatusCode::FORBIDDEN,
            "CR-HTTP-0002",
        );
    }
    assert_eq!(scene.calls(), 0);
    assert_eq!(scene.ask().await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_request_that_differs_in_any_one_member_is_refused_and_names_it() {
    let scene = scene().await;
    for (pointer, value, member) in [
        ("/clientId", json!("other"), "clientId"),
        ("/tenantId", json!("other"), "tenantId"),
        ("/kid", json!("other"), "kid"),
        (
            "/akvEndpoint",
            json!("https://other.vault.azure.net"),
            "akvEndpoint",
        ),
        ("/kek/kid", json!("other"), "kek.kid"),
        (
            "/kek/akvEndpoint",
            json!("https://litwarehsm.managedhsm.azure.net:444"),
            "kek.akvEndpoint",
        ),
        (
            "/kek/maaEndpoint",
            json!("https://evil.example"),
            "kek.maaEndpoint",
        ),
    ] {
        let mut changed = scene.request.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let answer = scene.ask_as(UID, &changed).await;
        is(&answer, StatusCode::FORBIDDEN, "CR-SECRETS-0011");
        assert!(
            answer.1["error"]["message"]
                .as_str()
                .unwrap()
                .ends_with(&format!(": {member}")),
            "{answer:?}"
        );
    }
    let mut token = scene.request.clone();
    token["kek"]["accessToken"] = json!("eyJ");
    is(
        &scene.ask_as(UID, &token).await,
        StatusCode::FORBIDDEN,
        "CR-SECRETS-0011",
    );
    assert_eq!(scene.calls(), 0);
    // What upstream's client sends: null tokens, a host without scheme.
    let mut spelled = scene.request.clone();
    spelled["accessToken"] = Value::Null;
    spelled["kek"]["maaEndpoint"] = json!("maa.example");
    assert_eq!(scene.ask_as(UID, &spelled).await.0, StatusCode::OK);
}

#[tokio::test]
async fn malformed_requests_are_the_callers_fault() {
    let scene = scene().await;
    is(
        &scene.ask_as(UID, &json!({"kid": 1})).await,
        StatusCode::BAD_REQUEST,
        "CR-SECRETS-0002",
    );
    for bad in [
        "http://v.example",
        "https://u:p@v.example",
        "https://v.example/secrets",
        "",
    ] {
        let mut changed = scene.request.clone();
        changed["akvEndpoint"] = json!(bad);
        is(
            &scene.ask_as(UID, &changed).await,
            StatusCode::BAD_REQUEST,
            "CR-SECRETS-0003",
        );
    }
    assert_eq!(scene.calls(), 0);
}

#[tokio::test]
async fn a_wrapped_key_that_was_changed_or_is_no_key_does_not_open() {
    let scene = scene().await;
    assert_eq!(scene.ask().await.0, StatusCode::OK);
    let mut wrapped = BASE64_STANDARD
        .decode(scene.vault().secret("wrapped-dek").unwrap())
        .unwrap();
    wrapped[17] ^= 1;
    scene
        .vault()
        .set_secret("wrapped-dek", &BASE64_STANDARD.encode(wrapped));
    is(
        &scene.ask().await,
        StatusCode::BAD_GATEWAY,
        "CR-SECRETS-0022",
    );
    scene.wrap(&[1; 31]);
    is(
        &scene.ask().await,
        StatusCode::BAD_GATEWAY,
        "CR-SECRETS-0022",
    );
    scene.vault().set_secret("wrapped-dek", "%");
    is(
        &scene.ask().await,
        StatusCode::BAD_GATEWAY,
        "CR-SECRETS-0021",
    );
    scene.wrap(&DEK);
    assert_eq!(scene.ask().await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_refused_release_keeps_the_agents_code_and_names_the_hop() {
    let refusal =
        json!({"error": {"code": "CR-KV-0011", "message": "claim x-ms-sevsnpvm-hostdata"}});
    let scene = scene_with(|_| (StatusCode::FORBIDDEN, refusal.clone())).await;
    let answer = scene.ask().await;
    is(&answer, StatusCode::FORBIDDEN, "CR-KV-0011");
    let message = answer.1["error"]["message"].as_str().unwrap();
    for part in [
        "skr: release of key encryption key kek",
        "x-ms-sevsnpvm-hostdata",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_released_key_of_another_type_is_refused() {
    let scene = scene_with(|_| (StatusCode::OK, released(r#"{"k":"AA","kty":"oct"}"#, KEK))).await;
    is(
        &scene.ask().await,
        StatusCode::BAD_GATEWAY,
        "CR-SECRETS-0020",
    );
}

#[tokio::test]
async fn another_key_than_the_asked_one_opens_nothing() {
    for kid in [
        "https://litwarehsm.managedhsm.azure.net/keys/other/01",
        "https://evil.managedhsm.azure.net/keys/kek/01",
        "https://litwarehsm.managedhsm.azure.net/secrets/kek/01",
    ] {
        let answer = |kek: &PrivateKey| (StatusCode::OK, released(&kek.to_jwk(), kid));
        let answer = scene_with(answer).await.ask().await;
        is(&answer, StatusCode::BAD_GATEWAY, "CR-SECRETS-0023");
        let message = answer.1["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("skr: ") && message.contains(kid),
            "{message}"
        );
    }
    let unnamed = |kek: &PrivateKey| (StatusCode::OK, json!({"key": kek.to_jwk().as_str()}));
    let answer = scene_with(unnamed).await.ask().await;
    is(&answer, StatusCode::BAD_GATEWAY, "CR-HTTP-0014");
}

#[tokio::test]
async fn standing_alone_no_token_goes_to_a_vault_that_is_not_granted() {
    let scene = scene().await;
    let peer = Peer::Tcp("127.0.0.1:1".parse().unwrap());
    for (pointer, value) in [
        ("/akvEndpoint", json!("https://evil.example")),
        ("/kek/akvEndpoint", json!("https://evil.example")),
        (
            "/kek/akvEndpoint",
            json!("https://litwarehsm.managedhsm.azure.net:8443"),
        ),
        ("/kek/maaEndpoint", json!("https://evil.example")),
    ] {
        let mut changed = scene.request.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let request: crate::UnwrapRequest = serde_json::from_value(changed).unwrap();
        let error = scene.unwrapper.unwrap(peer, &request).await.unwrap_err();
        assert_eq!(error.code(), "CR-SECRETS-0010", "{pointer}");
    }
    assert_eq!(scene.calls(), 0);
}

#[tokio::test]
async fn a_vault_that_is_busy_twice_is_asked_again_and_one_that_stays_busy_is_named() {
    let scene = scene().await;
    scene.world.upset(
        Upset::next("vault", Kind::Status(503))
            .at("/secrets/")
            .times(2),
    );
    assert_eq!(scene.ask().await.0, StatusCode::OK);
    scene.world.upset(
        Upset::next("vault", Kind::Status(503))
            .at("/secrets/")
            .times(9),
    );
    let answer = scene.ask().await;
    is(&answer, StatusCode::SERVICE_UNAVAILABLE, "CR-KV-0013");
    assert!(
        answer.1["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("secret: wrapped key wrapped-dek: Key Vault")
    );
}

#[tokio::test]
async fn a_missing_wrapped_key_is_told_as_the_vault_tells_it() {
    let scene = scene().await;
    let other = request(scene.world.url(HOST).as_str(), "wrapped-other");
    is(
        &scene.ask_as(OTHER, &other).await,
        StatusCode::BAD_REQUEST,
        "CR-KV-0012",
    );
    assert_eq!(scene.ask().await.0, StatusCode::OK);
}

#[tokio::test]
async fn askers_at_the_same_time_cause_one_release() {
    let scene = scene().await;
    let (one, two) = tokio::join!(scene.ask(), scene.ask());
    assert_eq!((one.0, two.0), (StatusCode::OK, StatusCode::OK));
    let releases = scene
        .log
        .lock()
        .unwrap()
        .iter()
        .filter(|line| line.contains("akv_endpoint"))
        .count();
    assert_eq!(releases, 1);
}

#[tokio::test]
async fn standing_alone_the_request_selects_its_grant() {
    let scene = scene().await;
    let peer = Peer::Tcp("127.0.0.1:1".parse().unwrap());
    let ask = async |body: &Value| {
        let request: crate::UnwrapRequest = serde_json::from_value(body.clone()).unwrap();
        scene.unwrapper.unwrap(peer, &request).await
    };
    assert_eq!(ask(&scene.request).await.unwrap().expose(), &DEK);
    let foreign = request("https://other.vault.azure.net", "wrapped-dek");
    assert_eq!(ask(&foreign).await.unwrap_err().code(), "CR-SECRETS-0010");
}

#[test]
fn grants_name_each_shim_once_and_nobody_else() {
    let good = request("https://litwarekv.vault.azure.net", "dek");
    assert!(Grants::from_base64(&grants(&[(UID, &good), (OTHER, &good)])).is_ok());
    let mut token = good.clone();
    token["accessToken"] = json!("eyJ");
    let mut plain = good.clone();
    plain["akvEndpoint"] = json!("http://litwarekv.vault.azure.net");
    let kind = json!([{"access": "a", "uid": UID, "request": good, "kekVaultKind": "Vault"}]);
    for bad in [
        "%".to_owned(),
        BASE64_STANDARD.encode("{}"),
        BASE64_STANDARD.encode(kind.to_string()),
        grants(&[(UID, &good), (UID, &good)]),
        grants(&[(0, &good)]),
        grants(&[(services::APPLICATION_UID, &good)]),
        grants(&[(UID, &token)]),
        grants(&[(UID, &plain)]),
    ] {
        assert_eq!(
            Grants::from_base64(&bad).unwrap_err().code(),
            "CR-SECRETS-0001"
        );
    }
}
