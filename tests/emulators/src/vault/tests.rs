use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;

use super::*;
use crate::entra::jwt::SigningKey;
use crate::maa::Maa;
use crate::world::Authority;

mod rules;

const OWNER: &str = "11111111-1111-4111-8111-111111111111";
const STRANGER: &str = "22222222-2222-4222-8222-222222222222";
const OFFICER: &str = "owner-client";
const ROOM: &str = "room-client";
const HOST_DATA: &str = "ab";
const ISSUER: &str = "https://maa.example";

struct Site {
    vault: Vault,
    entra: Entra,
    maa: Maa,
}

fn site(kind: VaultKind) -> Site {
    let fetch = |_| -> futures::future::BoxFuture<'static, _> {
        Box::pin(async { Err("offline".to_owned()) })
    };
    let entra = Entra::new("https://login.microsoftonline.com", Arc::new(fetch)).unwrap();
    entra.add_service_principal(OWNER, OFFICER, "s");
    let maa = Maa::new(ISSUER.to_owned()).unwrap();
    let host = "litware.vault.azure.net";
    let vault = Vault::new(VaultConfig {
        origin: format!("https://{host}:8443"),
        kind,
        owner_tenant: OWNER.to_owned(),
        entra: entra.clone(),
        issuers: BTreeMap::from([(ISSUER.to_owned(), maa.signing_certificates())]),
        signer: VaultSigner::issue(&Authority::new("root").unwrap(), host).unwrap(),
    });
    vault.allow(ROOM);
    Site { vault, entra, maa }
}

fn claims() -> Value {
    let key = SigningKey::generate().unwrap();
    let mut transfer = key.jwk();
    transfer["key_ops"] = json!(["encrypt"]);
    transfer.as_object_mut().unwrap().remove("use");
    let now = OffsetDateTime::now_utc().unix_timestamp();
    json!({
        "iss": ISSUER, "nbf": now - 1, "exp": now + 600,
        "x-ms-sevsnpvm-hostdata": HOST_DATA, "x-ms-compliance-status": "azure-compliant-uvm",
        "x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-vmpl": 0,
        "x-ms-runtime": {"keys": [{"kty": "RSA", "key_ops": ["verify"]}, transfer]},
    })
}

fn policy(conditions: Value) -> Value {
    json!({"version": "1.0.0", "anyOf": [{"authority": ISSUER, "allOf": conditions}]})
}

fn default_policy() -> Value {
    policy(json!([
        {"claim": "x-ms-sevsnpvm-hostdata", "equals": HOST_DATA},
        {"claim": "x-ms-sevsnpvm-is-debuggable", "equals": false},
        {"claim": "x-ms-sevsnpvm-vmpl", "equals": "0"},
    ]))
}

fn symmetric(policy: &Value, exportable: bool) -> Value {
    json!({
        "key": {"kty": "oct-HSM", "k": URL_SAFE_NO_PAD.encode([7; 32]), "key_ops": ["wrapKey"]},
        "attributes": {"exportable": exportable},
        "release_policy": {"contentType": "application/json; charset=utf-8", "data": URL_SAFE_NO_PAD.encode(policy.to_string())},
    })
}

impl Site {
    fn token(&self, tenant: &str, client: &str) -> String {
        let audience = self.vault.0.config.kind.audience();
        self.entra.issue(tenant, client, audience, 600).unwrap()
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.vault.router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn import(&self, body: &Value) -> (StatusCode, Value) {
        self.call(
            "PUT",
            "/keys/kek?api-version=7.4",
            &self.token(OWNER, OFFICER),
            body,
        )
        .await
    }

    async fn release(&self, claims: &Value) -> (StatusCode, Value) {
        let target = self.maa.sign(claims).unwrap();
        let body = json!({"target": target, "enc": "RSA_AES_KEY_WRAP_256", "nonce": "n"});
        self.call(
            "POST",
            "/keys/kek/release?api-version=7.4",
            &self.token(OWNER, ROOM),
            &body,
        )
        .await
    }
}

#[tokio::test]
async fn a_client_without_a_token_learns_where_to_get_one() {
    let site = site(VaultKind::KeyVault);
    let request = Request::get("/secrets/dek?api-version=7.4")
        .body(Body::empty())
        .unwrap();
    let response = site.vault.router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert_eq!(
        challenge,
        format!(
            "Bearer authorization=\"https://login.microsoftonline.com/{OWNER}\", resource=\"https://vault.azure.net\""
        )
    );
}

#[tokio::test]
async fn tokens_for_another_audience_or_out_of_date_open_nothing() {
    let site = site(VaultKind::KeyVault);
    site.vault.set_secret("dek", "wrapped");
    let read = async |token: String| {
        site.call("GET", "/secrets/dek?api-version=7.4", &token, &Value::Null)
            .await
            .0
    };
    assert_eq!(read(site.token(OWNER, ROOM)).await, StatusCode::OK);
    let other = site
        .entra
        .issue(OWNER, ROOM, "https://managedhsm.azure.net", 600)
        .unwrap();
    assert_eq!(read(other).await, StatusCode::UNAUTHORIZED);
    let expired = site
        .entra
        .issue(OWNER, ROOM, "https://vault.azure.net", -1)
        .unwrap();
    assert_eq!(read(expired).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn owners_write_rooms_read_and_strangers_do_neither() {
    let site = site(VaultKind::KeyVault);
    let path = "/secrets/dek?api-version=7.4";
    let body = json!({"value": "wrapped"});
    let (owner, stranger) = (site.token(OWNER, OFFICER), site.token(STRANGER, "x"));
    assert_eq!(
        site.call("PUT", path, &stranger, &body).await.0,
        StatusCode::FORBIDDEN
    );
    let (status, set) = site.call("PUT", path, &owner, &body).await;
    assert_eq!(status, StatusCode::OK);
    let version = set["id"]
        .as_str()
        .unwrap()
        .strip_prefix("https://litware.vault.azure.net:8443/secrets/dek/");
    let path = format!("/secrets/dek/{}?api-version=7.4", version.unwrap());
    site.call(
        "PUT",
        "/secrets/dek?api-version=7.4",
        &owner,
        &json!({"value": "newer"}),
    )
    .await;
    let (_, read) = site.call("GET", &path, &owner, &Value::Null).await;
    assert_eq!(read["value"], "wrapped");
    assert_eq!(site.vault.secret("dek").as_deref(), Some("newer"));
    assert_eq!(
        site.call("GET", &path, &stranger, &Value::Null).await.0,
        StatusCode::FORBIDDEN
    );
    site.vault.allow("x");
    assert_eq!(
        site.call("GET", &path, &stranger, &Value::Null).await.0,
        StatusCode::OK
    );
    assert_eq!(
        site.call("GET", "/secrets/none?api-version=7.4", &owner, &Value::Null)
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        site.call("GET", "/secrets/dek", &owner, &Value::Null)
            .await
            .0,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn an_exportable_key_needs_a_policy_of_the_grammar() {
    let site = site(VaultKind::ManagedHsm);
    let good = default_policy();
    assert_eq!(site.import(&symmetric(&good, true)).await.0, StatusCode::OK);
    let mut without = symmetric(&good, true);
    without.as_object_mut().unwrap().remove("release_policy");
    assert_eq!(site.import(&without).await.0, StatusCode::BAD_REQUEST);
    for bad in [
        json!({"version": "1.0.0", "anyOf": []}),
        json!({"version": "2", "anyOf": good["anyOf"]}),
        json!({"version": "1.0.0", "anyOf": [{"authority": "http://maa.example", "allOf": good["anyOf"][0]["allOf"]}]}),
        policy(json!([])),
        policy(json!([{"claim": "a", "equals": 1, "less": 2}])),
        policy(json!([{"claim": "a", "equals": ["b"]}])),
        policy(json!([{"claim": "a", "greaterOrEquals": "b"}])),
        policy(json!([{"claim": "a", "exists": 1}])),
        json!({"version": "1.0.0", "anyOf": [{"authority": ISSUER, "claim": "a", "equals": 1}]}),
        policy(json!([{"claim": "a", "like": "b"}])),
        policy(json!([{"allOf": [{"claim": "a"}]}])),
    ] {
        assert_eq!(
            site.import(&symmetric(&bad, true)).await.0,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn one_changed_claim_keeps_the_key_and_the_refusal_names_it() {
    let site = site(VaultKind::ManagedHsm);
    site.import(&symmetric(&default_policy(), true)).await;
    let (status, answer) = site.release(&claims()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    for (claim, value) in [
        ("x-ms-sevsnpvm-hostdata", json!("cd")),
        ("x-ms-sevsnpvm-is-debuggable", json!(true)),
        ("x-ms-sevsnpvm-vmpl", json!(1)),
        ("x-ms-sevsnpvm-vmpl", Value::Null),
    ] {
        let mut changed = claims();
        changed[claim] = value.clone();
        let (status, answer) = site.release(&changed).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(
            answer["error"]["innererror"]["code"],
            "ForbiddenByReleasePolicy"
        );
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(
            message.contains(claim) && message.contains(&value.to_string()),
            "{message}"
        );
    }
    let mut missing = claims();
    missing
        .as_object_mut()
        .unwrap()
        .remove("x-ms-sevsnpvm-vmpl");
    let (_, answer) = site.release(&missing).await;
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("actual none"),
        "{answer}"
    );
}

#[tokio::test]
async fn evidence_is_judged_before_any_claim() {
    let site = site(VaultKind::ManagedHsm);
    site.import(&symmetric(&default_policy(), true)).await;
    let mut expired = claims();
    expired["exp"] = json!(1);
    assert_eq!(site.release(&expired).await.0, StatusCode::FORBIDDEN);
    let mut unknown = claims();
    unknown["iss"] = json!("https://other.example");
    assert_eq!(site.release(&unknown).await.0, StatusCode::FORBIDDEN);
    let mut keyless = claims();
    keyless["x-ms-runtime"] = json!({"keys": []});
    assert_eq!(site.release(&keyless).await.0, StatusCode::BAD_REQUEST);
    let foreign = Maa::new(ISSUER.to_owned())
        .unwrap()
        .sign(&claims())
        .unwrap();
    let (token, path) = (site.token(OWNER, ROOM), "/keys/kek/release?api-version=7.4");
    assert_eq!(
        site.call("POST", path, &token, &json!({"target": foreign}))
            .await
            .0,
        StatusCode::FORBIDDEN
    );
    let good = site.maa.sign(&claims()).unwrap();
    assert_eq!(
        site.call("POST", path, &token, &json!({"target": good}))
            .await
            .0,
        StatusCode::OK
    );
    // The owner holds every role but this one.
    let owner = site.token(OWNER, OFFICER);
    assert_eq!(
        site.call("POST", path, &owner, &json!({"target": good}))
            .await
            .0,
        StatusCode::FORBIDDEN
    );
    site.vault.disallow(ROOM);
    assert_eq!(
        site.call("POST", path, &token, &json!({"target": good}))
            .await
            .0,
        StatusCode::FORBIDDEN
    );
}

#[test]
fn policies_nest_tolerate_a_slash_and_know_every_operator() {
    let claims =
        json!({"a": "x", "n": 5, "deep": {"in": {"side": true}}, "list": [1], "dot.ted": 1});
    let holds =
        |condition: Value| policy::evaluate(&policy(json!([condition])), ISSUER, &claims).is_ok();
    assert!(holds(
        json!({"anyOf": [{"claim": "a", "equals": "y"}, {"allOf": [{"claim": "n", "equals": "5"}]}]})
    ));
    assert!(!holds(
        json!({"anyOf": [{"claim": "a", "equals": "y"}, {"claim": "n", "equals": 6}]})
    ));
    assert!(holds(json!({"claim": "deep.in.side", "equals": "true"})));
    assert!(holds(json!({"claim": "dot.ted", "equals": 1})));
    assert!(!holds(json!({"claim": "list.0", "equals": 1})));
    assert!(
        holds(json!({"claim": "a", "notEquals": "y"}))
            && !holds(json!({"claim": "none", "notEquals": "y"}))
    );
    assert!(holds(json!({"claim": "n", "less": 6})) && !holds(json!({"claim": "n", "less": 5})));
    assert!(
        holds(json!({"claim": "n", "lessOrEquals": 5}))
            && !holds(json!({"claim": "n", "lessOrEquals": 4}))
    );
    assert!(
        holds(json!({"claim": "n", "greater": 4})) && !holds(json!({"claim": "n", "greater": 5}))
    );
    assert!(
        holds(json!({"claim": "n", "greaterOrEquals": "5"}))
            && !holds(json!({"claim": "n", "greaterOrEquals": 6}))
    );
    assert!(
        holds(json!({"claim": "a", "exists": true}))
            && holds(json!({"claim": "none", "exists": "false"}))
    );
    let slash = policy::evaluate(
        &policy(json!([{"claim": "a", "equals": "x"}])),
        "https://maa.example/",
        &claims,
    );
    assert!(slash.is_ok());
    let other = policy::evaluate(
        &policy(json!([{"claim": "a", "equals": "x"}])),
        "https://maa.other",
        &claims,
    );
    assert!(other.unwrap_err().contains("authority"));
}

#[tokio::test]
async fn an_empty_version_is_the_current_one() {
    let site = site(VaultKind::ManagedHsm);
    site.import(&symmetric(&default_policy(), true)).await;
    let target = site.maa.sign(&claims()).unwrap();
    let token = site.token(OWNER, ROOM);
    let release = async |version: &str| {
        let path = format!("/keys/kek/{version}/release?api-version=7.4");
        let (status, _) = site
            .call("POST", &path, &token, &json!({"target": target}))
            .await;
        status
    };
    assert_eq!(release("").await, StatusCode::OK);
    assert_eq!(release("none").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn listings_have_pages_and_no_values() {
    let site = site(VaultKind::KeyVault);
    for number in 0..30 {
        site.vault.set_secret(&format!("s{number:02}"), "wrapped");
    }
    let (owner, stranger) = (site.token(OWNER, OFFICER), site.token(STRANGER, "x"));
    let list = async |path: &str, token: &str| site.call("GET", path, token, &Value::Null).await;
    let path = "/secrets?api-version=7.4";
    assert_eq!(list(path, &stranger).await.0, StatusCode::FORBIDDEN);
    let (status, first) = list(path, &owner).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!first.to_string().contains("wrapped"), "{first}");
    let ids = |page: &Value| -> Vec<String> {
        let items = page["value"].as_array().unwrap().iter();
        items
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let next = first["nextLink"].as_str().unwrap();
    let next = next.strip_prefix("https://litware.vault.azure.net:8443");
    let (_, second) = list(next.unwrap(), &owner).await;
    assert_eq!(second["nextLink"], Value::Null);
    let all = [ids(&first), ids(&second)];
    assert_eq!([all[0].len(), all[1].len()], [25, 5]);
    let expected: Vec<_> = (0..30)
        .map(|number| format!("https://litware.vault.azure.net:8443/secrets/s{number:02}"))
        .collect();
    assert_eq!(all.concat(), expected);
    for refused in ["0", "26"] {
        let path = format!("{path}&maxresults={refused}");
        assert_eq!(list(&path, &owner).await.0, StatusCode::BAD_REQUEST);
    }
    site.vault.set_secret("s00", "newer");
    let (_, versions) = list("/secrets/s00/versions?api-version=7.4", &owner).await;
    assert_eq!(ids(&versions).len(), 2);
    let hsm = self::site(VaultKind::ManagedHsm);
    let (status, _) = hsm
        .call("GET", path, &hsm.token(OWNER, OFFICER), &Value::Null)
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
