//! The sidecar between a governance sidecar of the test's making and an Entra ID that really verifies assertions.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::Query;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use emulators::entra::FederatedCredential;
use emulators::upset::{Kind, Upset};
use emulators::world::{ENTRA_HOST, World, WorldConfig};
use governance_client::GovernanceClient;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sidecar_http::{Coded, Peer, UnixClient, services};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::{EntraClient, Identities, Tokens, routes};

const CONTRACT: &str = "contract-1";
const EXCHANGE: &str = "api://AzureADTokenExchange";
const VAULT: &str = "https://vault.azure.net";

struct Scene {
    world: World,
    tenant: String,
    client: String,
    tokens: Arc<Tokens>,
    /// ID tokens asked for.
    asked: Arc<AtomicUsize>,
    _sockets: TempDir,
}

fn identities(client: &str, kind: &str) -> String {
    let application = json!({
        "ClientId": client,
        "Credential": {
            "CredentialType": kind,
            "FederationConfiguration": {
                "IdTokenEndpoint": "http://localhost:8300", "Subject": CONTRACT, "Audience": EXCHANGE,
            },
        },
    });
    encoded(
        &json!({"Identities": {"ManagedIdentities": [], "ApplicationIdentities": [application]}}),
    )
}

fn encoded(value: &Value) -> String {
    BASE64_STANDARD.encode(value.to_string())
}

/// Answers `/oauth/token` with what `sign` makes of the asked subject and audience.
fn governance(
    socket: &Path,
    asked: Arc<AtomicUsize>,
    sign: impl Fn(&str, &str) -> String + Clone + Send + Sync + 'static,
) {
    let answer = async move |Query(query): Query<Vec<(String, String)>>| {
        asked.fetch_add(1, Ordering::SeqCst);
        let of = |name: &str| {
            query
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
                .unwrap()
        };
        Json(json!({"value": sign(&of("sub"), &of("aud"))}))
    };
    let listener = tokio::net::UnixListener::bind(socket).unwrap();
    let router = Router::new().route("/oauth/token", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
}

/// litware's identity trusts the world's MAA as its OIDC issuer: it publishes keys as any other does. `change` edits the
/// claims of the ID tokens.
async fn scene(change: impl Fn(&mut Value) + Clone + Send + Sync + 'static) -> Scene {
    sidecar_http::install_crypto_provider();
    let world = World::start(WorldConfig::two_parties()).await.unwrap();
    let party = world.config().parties[0].clone();
    let client = party.managed_identity.unwrap().client_id;
    let maa = world.services().maa.clone();
    let credential = FederatedCredential {
        issuer: maa.issuer().to_owned(),
        subject: CONTRACT.to_owned(),
        audiences: vec![EXCHANGE.to_owned()],
    };
    world
        .services()
        .entra
        .add_federated_credential(&party.tenant_id, &client, "cgs", credential);
    let sockets = tempfile::tempdir().unwrap();
    let socket = sockets.path().join("governance.sock");
    let asked = Arc::new(AtomicUsize::new(0));
    governance(&socket, Arc::clone(&asked), move |sub, aud| {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let mut claims = json!({
            "iss": maa.issuer(), "sub": sub, "aud": aud, "exp": (now + 300).to_string(), "nbf": now.to_string(),
        });
        change(&mut claims);
        maa.sign(&claims).unwrap()
    });
    let uid = nix::unistd::geteuid().as_raw();
    let entra =
        EntraClient::new(test_support::https(&world).unwrap(), world.url(ENTRA_HOST)).unwrap();
    let tokens = Tokens::new(
        Identities::from_base64(&identities(&client, "FederatedCredential")).unwrap(),
        GovernanceClient::new(UnixClient::new(socket, uid)),
        entra,
    );
    let tokens = Arc::new(tokens);
    Scene {
        tenant: party.tenant_id,
        world,
        client,
        tokens,
        asked,
        _sockets: sockets,
    }
}

impl Scene {
    async fn ask(&self, uid: u32, request: Request<Body>) -> (StatusCode, Value) {
        let router = routes(Arc::clone(&self.tokens)).router_as(Peer::Unix { uid, gid: uid });
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(
            services::SECRETS.uid,
            Request::get(path).body(Body::empty()).unwrap(),
        )
        .await
    }

    fn by_scope(&self, client: &str, scope: &str) -> String {
        let tenant = &self.tenant;
        format!(
            "/metadata/identity/oauth2/token?scope={scope}&tenantId={tenant}&clientId={client}&apiVersion=2018-02-01"
        )
    }

    fn exchanges(&self) -> usize {
        self.world
            .requests("entra")
            .iter()
            .filter(|request| request.method == "POST")
            .count()
    }
}

#[tokio::test]
async fn a_token_of_the_contract_is_exchanged_for_the_audience_that_was_asked_for() {
    let scene = scene(|_| ()).await;
    for scope in [
        format!("{VAULT}/.default"),
        "https%3A%2F%2Fstorage.azure.com%2F.default".to_owned(),
    ] {
        let (status, answer) = scene.get(&scene.by_scope(&scene.client, &scope)).await;
        assert_eq!(
            (status, &answer["tokenType"]),
            (StatusCode::OK, &json!("Bearer")),
            "{answer}"
        );
        let audience = if scope.contains("vault") {
            VAULT
        } else {
            "https://storage.azure.com"
        };
        let principal = scene
            .world
            .services()
            .entra
            .verify(answer["token"].as_str().unwrap(), audience)
            .unwrap();
        assert_eq!(
            (&principal.tenant_id, &principal.client_id),
            (&scene.tenant, &scene.client)
        );
        assert!(answer["expiresOn"].as_str().unwrap().contains('T'));
    }
}

#[tokio::test]
async fn the_metadata_shape_answers_get_and_post_with_numbers() {
    let scene = scene(|_| ()).await;
    let path = format!(
        "/metadata/identity/{}/{}/oauth2/token",
        scene.tenant, scene.client
    );
    let get = scene
        .get(&format!("{path}?resource={VAULT}&apiVersion=2018-02-01"))
        .await;
    let form = Request::post(&path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("resource=https%3A%2F%2Fvault.azure.net"));
    let post = scene
        .ask(services::shim_uid(0).unwrap(), form.unwrap())
        .await;
    for (status, answer) in [get, post] {
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert!(
            scene
                .world
                .services()
                .entra
                .verify(answer["access_token"].as_str().unwrap(), VAULT)
                .is_ok()
        );
        assert!((3500..=3600).contains(&answer["expires_in"].as_u64().unwrap()));
        assert!(answer["expires_on"].is_i64());
        assert_eq!(
            (&answer["token_type"], &answer["resource"]),
            (&json!("Bearer"), &json!(VAULT))
        );
    }
    assert_eq!(scene.get(&path).await.1["error"]["code"], "CR-ID-0002");
}

#[tokio::test]
async fn only_secrets_the_agent_the_shims_and_the_launcher_get_tokens() {
    let scene = scene(|_| ()).await;
    let path = scene.by_scope(&scene.client, &format!("{VAULT}/.default"));
    let ask = |uid| scene.ask(uid, Request::get(&path).body(Body::empty()).unwrap());
    for uid in [
        services::SECRETS.uid,
        services::CODE_LAUNCHER.uid,
        services::SKR_AGENT.uid,
        10020,
        10028,
        10200,
    ] {
        assert_eq!(ask(uid).await.0, StatusCode::OK, "{uid}");
    }
    for uid in [
        0,
        services::APPLICATION_UID,
        services::GOVERNANCE.uid,
        services::OTEL_COLLECTOR.uid,
    ] {
        let (status, answer) = ask(uid).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::FORBIDDEN, &json!("CR-HTTP-0002")),
            "{uid}"
        );
    }
}

#[tokio::test]
async fn the_agent_gets_tokens_for_vaults_and_for_nothing_else() {
    let scene = scene(|_| ()).await;
    let agent = services::SKR_AGENT.uid;
    let ask = |path: String| scene.ask(agent, Request::get(path).body(Body::empty()).unwrap());
    for vault in [VAULT, "https://managedhsm.azure.net"] {
        let path = scene.by_scope(&scene.client, &format!("{vault}/.default"));
        assert_eq!(ask(path).await.0, StatusCode::OK, "{vault}");
    }
    let exchanges = scene.exchanges();
    for other in [
        "https://storage.azure.com/.default",
        "https://vault.azure.net.evil.example/.default",
        "https://vault.azure.net/.default%20https://storage.azure.com/.default",
        "https://vault.azure.net",
        "",
    ] {
        let (status, answer) = ask(scene.by_scope(&scene.client, other)).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::FORBIDDEN, &json!("CR-ID-0007")),
            "{other}"
        );
    }
    let path = format!(
        "/metadata/identity/{}/{}/oauth2/token?resource={VAULT}",
        scene.tenant, scene.client
    );
    let (status, answer) = ask(path).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::FORBIDDEN, &json!("CR-HTTP-0002"))
    );
    assert_eq!(scene.exchanges(), exchanges);
}

#[tokio::test]
async fn unknown_clients_and_hostile_values_are_refused_before_any_call() {
    let scene = scene(|_| ()).await;
    let scope = format!("{VAULT}/.default");
    for (path, code) in [
        (scene.by_scope("another-client", &scope), "CR-ID-0003"),
        (scene.by_scope("", &scope), "CR-ID-0003"),
        (scene.by_scope(&scene.client, ""), "CR-ID-0002"),
        (scene.by_scope(&scene.client, "a%0Ab"), "CR-ID-0002"),
        (
            format!(
                "/metadata/identity/oauth2/token?scope={scope}&tenantId=..&clientId={}",
                scene.client
            ),
            "CR-ID-0002",
        ),
        (
            format!(
                "/metadata/identity/oauth2/token?scope={scope}&tenantId=a%2Fb&clientId={}",
                scene.client
            ),
            "CR-ID-0002",
        ),
        (
            format!(
                "/metadata/identity/a%3Fb/{}/oauth2/token?resource={VAULT}",
                scene.client
            ),
            "CR-ID-0002",
        ),
    ] {
        let (status, answer) = scene.get(&path).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!(code)),
            "{path}"
        );
    }
    assert_eq!(
        (scene.asked.load(Ordering::SeqCst), scene.exchanges()),
        (0, 0)
    );
}

#[tokio::test]
async fn many_askers_cause_one_flow_and_later_ones_none() {
    let scene = scene(|_| ()).await;
    let scope = format!("{VAULT}/.default");
    let ask = || scene.tokens.get(&scene.tenant, &scene.client, &scope);
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    let later = ask().await.unwrap();
    for token in [one, two, three] {
        assert_eq!(token.unwrap().expose(), later.expose());
    }
    assert_eq!(
        (scene.asked.load(Ordering::SeqCst), scene.exchanges()),
        (1, 1)
    );
    let other = scene
        .tokens
        .get(
            &scene.tenant,
            &scene.client,
            "https://storage.azure.com/.default",
        )
        .await
        .unwrap();
    assert_ne!(other.expose(), later.expose());
    assert_eq!(scene.exchanges(), 2);
}

#[tokio::test]
async fn a_refused_assertion_keeps_entras_words_and_is_not_tried_again_at_once() {
    let scene = scene(|claims| claims["sub"] = json!("contract-2")).await;
    let path = scene.by_scope(&scene.client, &format!("{VAULT}/.default"));
    for _ in 0..3 {
        let (status, answer) = scene.get(&path).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::FORBIDDEN, &json!("CR-ID-0004"))
        );
        assert!(
            answer["error"]["message"]
                .as_str()
                .unwrap()
                .contains("AADSTS700213"),
            "{answer}"
        );
    }
    assert_eq!(
        (scene.asked.load(Ordering::SeqCst), scene.exchanges()),
        (1, 1)
    );
}

#[tokio::test]
async fn expired_assertions_and_other_audiences_are_refused() {
    let past = scene(|claims| claims["exp"] = json!("1")).await;
    let other = scene(|claims| claims["aud"] = json!("https://vault.azure.net")).await;
    for (scene, number) in [(past, "AADSTS700024"), (other, "AADSTS700212")] {
        let (status, answer) = scene
            .get(&scene.by_scope(&scene.client, &format!("{VAULT}/.default")))
            .await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(
            answer["error"]["message"]
                .as_str()
                .unwrap()
                .contains(number),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_busy_authority_is_asked_again_and_one_that_stays_busy_is_named() {
    let scene = scene(|_| ()).await;
    let path = scene.by_scope(&scene.client, &format!("{VAULT}/.default"));
    scene.world.upset(
        Upset::next("entra", Kind::Status(503))
            .at("/oauth2/")
            .times(2),
    );
    assert_eq!(scene.get(&path).await.0, StatusCode::OK);
    scene.world.upset(
        Upset::next("entra", Kind::Status(503))
            .at("/oauth2/")
            .times(9),
    );
    let path = scene.by_scope(&scene.client, "https://storage.azure.com/.default");
    let (status, answer) = scene.get(&path).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("CR-ID-0005"))
    );
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Entra ID")
    );
}

#[test]
fn configurations_other_than_federated_credentials_are_refused_by_name() {
    assert!(Identities::from_base64(&identities("c", "FederatedCredential")).is_ok());
    let application = |client: &str, subject: &str| {
        json!({"ClientId": client, "Credential": {
            "CredentialType": "FederatedCredential",
            "FederationConfiguration": {"Subject": subject, "Audience": EXCHANGE},
        }})
    };
    let list = |applications: Value| {
        encoded(&json!({"Identities": {"ApplicationIdentities": applications}}))
    };
    assert!(
        Identities::from_base64(&list(json!([application("c", "1"), application("C", "1")])))
            .is_ok()
    );
    for bad in [
        "%".to_owned(),
        BASE64_STANDARD.encode("{"),
        encoded(&json!({})),
        identities("c", "Secret"),
        identities("", "FederatedCredential"),
        encoded(&json!({"Identities": {"ManagedIdentities": [{"ClientId": "c"}]}})),
        list(json!([application("c", "")])),
        list(json!([application("c", "1"), application("C", "2")])),
    ] {
        let error = Identities::from_base64(&bad).unwrap_err();
        assert_eq!(error.code(), "CR-ID-0001", "{bad}");
    }
}

#[tokio::test]
async fn an_authority_is_an_https_origin() {
    sidecar_http::install_crypto_provider();
    let https = || sidecar_http::HttpsClient::new(&sidecar_http::Trust::web()).unwrap();
    let make = |text: &str| EntraClient::new(https(), text.parse().unwrap());
    assert!(make("https://login.microsoftonline.com:8443").is_ok());
    for bad in [
        "http://login.microsoftonline.com",
        "https://u:p@login.microsoftonline.com",
        "https://a.example/t",
    ] {
        assert_eq!(make(bad).unwrap_err().code(), "CR-ID-0001", "{bad}");
    }
}
