use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const OTHER_TENANT: &str = "22222222-2222-4222-8222-222222222222";
const APP: &str = "app-client";
const IDENTITY: &str = "identity-client";
const ISSUER: &str = "https://oidc.contoso.example/issuer";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// A tenant with one application and one managed identity; the issuer publishes `issuer`'s key.
fn entra(issuer: &SigningKey) -> Entra {
    let keys = json!({"keys": [issuer.jwk()]}).to_string();
    let fetch = move |url: Url| -> BoxFuture<'static, Result<Bytes, String>> {
        let body = match url.as_str().strip_prefix(ISSUER) {
            Some("/.well-known/openid-configuration") => {
                Ok(json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys")}).to_string())
            }
            Some("/keys") => Ok(keys.clone()),
            _ => Err("no such document".to_owned()),
        };
        Box::pin(async move { body.map(Bytes::from) })
    };
    let entra = Entra::new("https://login.microsoftonline.com:8443", Arc::new(fetch)).unwrap();
    entra.add_service_principal(TENANT, APP, "secret");
    entra.add_managed_identity(TENANT, IDENTITY, "room");
    entra.add_tenant(OTHER_TENANT);
    entra
}

fn credential() -> FederatedCredential {
    FederatedCredential {
        issuer: ISSUER.to_owned(),
        subject: "contract-1".to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
    }
}

/// Dates are strings, as CGS writes them.
fn claims() -> Value {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let text = |at: i64| at.to_string();
    json!({
        "iss": ISSUER, "sub": "contract-1", "aud": AUDIENCE,
        "exp": text(now + 300), "nbf": text(now - 10), "iat": text(now - 10),
    })
}

async fn call(router: Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn token(entra: &Entra, tenant: &str, fields: &[(&str, &str)]) -> (StatusCode, Value) {
    let form = serde_urlencoded::to_string(fields).unwrap();
    let request = Request::post(format!("/{tenant}/oauth2/v2.0/token"))
        .body(Body::from(form))
        .unwrap();
    call(entra.router(), request).await
}

fn refused(answer: &(StatusCode, Value), number: u32) {
    let description = answer.1["error_description"].as_str().unwrap_or_default();
    assert!(answer.0.is_client_error(), "{answer:?}");
    assert!(
        description.starts_with(&format!("AADSTS{number}: ")),
        "{description}"
    );
    assert_eq!(answer.1["error_codes"], json!([number]));
}

async fn by_secret(
    entra: &Entra,
    tenant: &str,
    client: &str,
    secret: &str,
    scope: &str,
) -> (StatusCode, Value) {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("client_secret", secret),
        ("scope", scope),
    ];
    token(entra, tenant, &fields).await
}

async fn by_assertion(entra: &Entra, client: &str, assertion: &str) -> (StatusCode, Value) {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion),
        ("scope", "https://vault.azure.net/.default"),
    ];
    token(entra, TENANT, &fields).await
}

#[tokio::test]
async fn a_secret_gives_a_token_for_one_audience_and_a_wrong_secret_none() {
    let entra = entra(&SigningKey::generate().unwrap());
    let scope = "https://vault.azure.net/.default";
    let (status, answer) = by_secret(&entra, TENANT, APP, "secret", scope).await;
    assert_eq!(
        (status, &answer["token_type"]),
        (StatusCode::OK, &json!("Bearer"))
    );
    let token = answer["access_token"].as_str().unwrap();
    let principal = entra.verify(token, "https://vault.azure.net").unwrap();
    assert_eq!(
        (principal.tenant_id.as_str(), principal.client_id.as_str()),
        (TENANT, APP)
    );
    assert!(entra.verify(token, "https://storage.azure.com").is_err());

    refused(
        &by_secret(&entra, TENANT, APP, "guess", scope).await,
        7_000_215,
    );
    refused(
        &by_secret(&entra, OTHER_TENANT, APP, "secret", scope).await,
        700_016,
    );
    refused(
        &by_secret(&entra, "nowhere", APP, "secret", scope).await,
        90002,
    );
    refused(
        &by_secret(&entra, TENANT, APP, "secret", "https://vault.azure.net").await,
        1_002_012,
    );
    refused(
        &by_secret(
            &entra,
            TENANT,
            APP,
            "secret",
            "https://vault.example/.default",
        )
        .await,
        500_011,
    );
}

#[tokio::test]
async fn expired_and_foreign_access_tokens_are_not_verified() {
    let (one, other) = (
        entra(&SigningKey::generate().unwrap()),
        entra(&SigningKey::generate().unwrap()),
    );
    let audience = "https://vault.azure.net";
    let verify = |token: String| one.verify(&token, audience);
    assert!(verify(one.issue(TENANT, APP, audience, 60).unwrap()).is_ok());
    assert!(verify(one.issue(TENANT, APP, audience, -60).unwrap()).is_err());
    assert!(verify(other.issue(TENANT, APP, audience, 60).unwrap()).is_err());
}

#[tokio::test]
async fn an_assertion_of_the_registered_issuer_is_taken_in_both_paddings_and_with_text_dates() {
    let issuer = SigningKey::generate().unwrap();
    let entra = entra(&issuer);
    entra.add_federated_credential(TENANT, IDENTITY, "cgs", credential());
    for alg in ["PS256", "RS256"] {
        let (status, answer) =
            by_assertion(&entra, IDENTITY, &issuer.sign(alg, &claims()).unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{alg} {answer}");
    }
}

#[tokio::test]
async fn an_assertion_that_differs_in_one_thing_is_refused_by_its_number() {
    let issuer = SigningKey::generate().unwrap();
    let entra = entra(&issuer);
    let good = issuer.sign("PS256", &claims()).unwrap();
    refused(&by_assertion(&entra, IDENTITY, &good).await, 70021);
    entra.add_federated_credential(TENANT, IDENTITY, "cgs", credential());
    assert_eq!(
        by_assertion(&entra, IDENTITY, &good).await.0,
        StatusCode::OK
    );

    let past = (OffsetDateTime::now_utc().unix_timestamp() - 3600).to_string();
    let future = (OffsetDateTime::now_utc().unix_timestamp() + 3600).to_string();
    for (member, value, number) in [
        ("iss", "https://oidc.fabrikam.example", 700_211),
        ("sub", "contract-2", 700_213),
        ("aud", "https://vault.azure.net", 700_212),
        ("exp", past.as_str(), 700_024),
        ("nbf", future.as_str(), 700_024),
    ] {
        let mut changed = claims();
        changed[member] = json!(value);
        refused(
            &by_assertion(&entra, IDENTITY, &issuer.sign("PS256", &changed).unwrap()).await,
            number,
        );
    }
    let stranger = SigningKey::generate().unwrap();
    let unknown_kid = stranger.sign("PS256", &claims()).unwrap();
    refused(&by_assertion(&entra, IDENTITY, &unknown_kid).await, 700_027);
    let header = json!({"alg": "PS256", "kid": issuer.jwk()["kid"]});
    let forged = stranger.sign_with(&header, &claims()).unwrap();
    refused(&by_assertion(&entra, IDENTITY, &forged).await, 700_027);
    refused(&by_assertion(&entra, IDENTITY, "not.a.jwt").await, 50027);
}

#[tokio::test]
async fn the_identitys_own_tenant_registers_whose_assertions_it_takes() {
    let issuer = SigningKey::generate().unwrap();
    let entra = entra(&issuer);
    let path = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/room/\
                federatedIdentityCredentials/cgs?api-version=2023-01-31";
    let body =
        json!({"properties": {"issuer": ISSUER, "subject": "contract-1", "audiences": [AUDIENCE]}});
    let put = async |path: &str, token: Option<&str>, body: &Value| {
        let mut request = Request::put(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        call(
            entra.arm_router(),
            request.body(Body::from(body.to_string())).unwrap(),
        )
        .await
    };
    let arm = "https://management.azure.com/";
    let own = entra.issue(TENANT, APP, arm, 60).unwrap();
    let foreign = entra.issue(OTHER_TENANT, APP, arm, 60).unwrap();
    let for_vault = entra
        .issue(TENANT, APP, "https://vault.azure.net", 60)
        .unwrap();
    assert_eq!(put(path, None, &body).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        put(path, Some(&for_vault), &body).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        put(path, Some(&foreign), &body).await.0,
        StatusCode::NOT_FOUND
    );
    let two =
        json!({"properties": {"issuer": ISSUER, "subject": "c", "audiences": [AUDIENCE, "x"]}});
    assert_eq!(put(path, Some(&own), &two).await.0, StatusCode::BAD_REQUEST);
    let assertion = issuer.sign("PS256", &claims()).unwrap();
    refused(&by_assertion(&entra, IDENTITY, &assertion).await, 70021);

    assert_eq!(put(path, Some(&own), &body).await.0, StatusCode::CREATED);
    assert_eq!(put(path, Some(&own), &body).await.0, StatusCode::OK);
    assert_eq!(
        by_assertion(&entra, IDENTITY, &assertion).await.0,
        StatusCode::OK
    );
    let twin = path.replace("/cgs?", "/cgs2?");
    assert_eq!(put(&twin, Some(&own), &body).await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn the_published_key_verifies_the_issued_tokens() {
    let entra = entra(&SigningKey::generate().unwrap());
    let request = Request::get(format!("/{TENANT}/discovery/v2.0/keys"))
        .body(Body::empty())
        .unwrap();
    let (_, keys) = call(entra.router(), request).await;
    let key = jwt::PublicKey::from_jwk(&keys["keys"][0]).unwrap();
    let token = entra
        .issue(TENANT, APP, "https://vault.azure.net", 60)
        .unwrap();
    assert!(key.verifies(&Jwt::parse(&token).unwrap()));
}
