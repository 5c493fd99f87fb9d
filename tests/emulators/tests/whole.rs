//! The services of one world together: tokens, roles, published issuers, client certificates.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use emulators::entra::jwt::SigningKey;
use emulators::upset::{Kind, Upset};
use emulators::world::{ARM_HOST, ENTRA_HOST, Party, World, WorldConfig};
use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};

const ACCOUNT: &str = "litwarestore.blob.core.windows.net";

async fn world_of(config: WorldConfig) -> (World, Client) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let world = World::start(config).await.unwrap();
    let root = Certificate::from_pem(world.ca_pem().as_bytes()).unwrap();
    let builder = Client::builder().tls_certs_only([root]).no_proxy();
    let builder = world
        .hosts()
        .iter()
        .fold(builder, |builder, host| builder.resolve(host, world.addr()));
    (world, builder.build().unwrap())
}

async fn world() -> (World, Client) {
    world_of(WorldConfig::two_parties()).await
}

/// Logs in as the party's service principal.
async fn login(world: &World, client: &Client, party: &Party, resource: &str) -> String {
    let principal = party.service_principal.as_ref().unwrap();
    let scope = format!("{resource}/.default");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &principal.client_id),
        ("client_secret", &principal.secret),
        ("scope", &scope),
    ];
    token(world, client, &party.tenant_id, &form).await.unwrap()
}

async fn token(
    world: &World,
    client: &Client,
    tenant: &str,
    form: &[(&str, &str)],
) -> Result<String, String> {
    let url = world
        .url(ENTRA_HOST)
        .join(&format!("/{tenant}/oauth2/v2.0/token"))
        .unwrap();
    let answer: Value = client
        .post(url)
        .form(form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    text("access_token").ok_or_else(|| text("error_description").unwrap())
}

async fn put_container(world: &World, client: &Client, token: &str) -> u16 {
    let url = world.url(ACCOUNT).join("/data?restype=container").unwrap();
    let request = client
        .put(url)
        .bearer_auth(token)
        .header("x-ms-version", "2021-12-02");
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn storage_takes_the_owners_token_for_storage_and_no_other() {
    let (world, client) = world().await;
    let parties = world.config().parties.clone();
    let vault = login(&world, &client, &parties[0], "https://vault.azure.net").await;
    assert_eq!(put_container(&world, &client, &vault).await, 401);
    let stranger = login(&world, &client, &parties[1], "https://storage.azure.com").await;
    assert_eq!(put_container(&world, &client, &stranger).await, 403);
    let owner = login(&world, &client, &parties[0], "https://storage.azure.com").await;
    assert_eq!(put_container(&world, &client, &owner).await, 201);
    let mut forged = owner.clone().into_bytes();
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(
        put_container(&world, &client, &String::from_utf8(forged).unwrap()).await,
        401
    );
    let principal = parties[0].service_principal.as_ref().unwrap();
    let audience = "https://storage.azure.com";
    let expired = world
        .services()
        .entra
        .issue(&parties[0].tenant_id, &principal.client_id, audience, -60)
        .unwrap();
    assert_eq!(put_container(&world, &client, &expired).await, 401);
}

#[tokio::test]
async fn an_identity_that_the_account_names_may_come_from_another_tenant() {
    let mut config = WorldConfig::two_parties();
    let guest = config.parties[1]
        .service_principal
        .clone()
        .unwrap()
        .client_id;
    config.parties[0].storage_accounts[0].grants.push(guest);
    let (world, client) = world_of(config).await;
    let stranger = login(
        &world,
        &client,
        &world.config().parties[1],
        "https://storage.azure.com",
    )
    .await;
    assert_eq!(put_container(&world, &client, &stranger).await, 201);
}

#[tokio::test]
async fn each_vault_answers_under_its_name_and_knows_its_owner() {
    let (world, client) = world().await;
    for (party, host, resource) in [
        (0, "litwarekv.vault.azure.net", "https://vault.azure.net"),
        (
            1,
            "fabrikamhsm.managedhsm.azure.net",
            "https://managedhsm.azure.net",
        ),
    ] {
        let url = world
            .url(host)
            .join("/secrets/dek?api-version=7.4")
            .unwrap();
        let anonymous = client.get(url.clone()).send().await.unwrap();
        assert_eq!(anonymous.status().as_u16(), 401);
        let challenge = anonymous.headers()["www-authenticate"].to_str().unwrap();
        assert!(
            challenge.contains(resource)
                && challenge.contains(&world.config().parties[party].tenant_id)
        );
        let owner = login(&world, &client, &world.config().parties[party], resource).await;
        let absent = client
            .get(url.clone())
            .bearer_auth(&owner)
            .send()
            .await
            .unwrap();
        assert_eq!(absent.status().as_u16(), 404);
    }
    assert_eq!(world.requests("vault").len(), 4);
}

/// Publishes an issuer of `key` on litware's web site and registers it for the party's identity; gives its URL.
async fn publish_issuer(world: &World, client: &Client, party: &Party, key: &SigningKey) -> String {
    let issuer = world
        .url("litwarestore.z1.web.core.windows.net")
        .join("/oidc")
        .unwrap()
        .to_string();
    let storage = login(world, client, party, "https://storage.azure.com").await;
    let put = async |path: &str, body: String| {
        let request = client
            .put(world.url(ACCOUNT).join(path).unwrap())
            .bearer_auth(&storage);
        let request = request
            .header("x-ms-version", "2021-12-02")
            .header("x-ms-blob-type", "BlockBlob");
        assert_eq!(
            request.body(body).send().await.unwrap().status().as_u16(),
            201
        );
    };
    put("/$web?restype=container", String::new()).await;
    let discovery = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") });
    put(
        "/$web/oidc/.well-known/openid-configuration",
        discovery.to_string(),
    )
    .await;
    put(
        "/$web/oidc/jwks",
        json!({ "keys": [key.jwk()] }).to_string(),
    )
    .await;
    let path = format!(
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}\
         /federatedIdentityCredentials/room?api-version=2023-01-31",
        party.managed_identity.as_ref().unwrap().name
    );
    let management = login(world, client, party, "https://management.azure.com").await;
    let properties = json!({ "issuer": issuer, "subject": "contract", "audiences": [EXCHANGE] });
    let registered = client
        .put(world.url(ARM_HOST).join(&path).unwrap())
        .bearer_auth(management);
    let registered = registered
        .json(&json!({ "properties": properties }))
        .send()
        .await
        .unwrap();
    assert!(registered.status().is_success());
    issuer
}

const EXCHANGE: &str = "api://AzureADTokenExchange";

#[tokio::test]
async fn a_federated_login_reads_the_issuer_where_it_is_published() {
    let (world, client) = world().await;
    let party = world.config().parties[0].clone();
    let key = SigningKey::generate().unwrap();
    let issuer = publish_issuer(&world, &client, &party, &key).await;
    let client_id = &party.managed_identity.as_ref().unwrap().client_id;
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let exchange = async |subject: &str| {
        let claims = json!({ "iss": issuer, "sub": subject, "aud": EXCHANGE, "iat": now, "nbf": now, "exp": now + 300 });
        let assertion = key.sign("RS256", &claims).unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id.as_str()),
            ("client_assertion", assertion.as_str()),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("scope", "https://storage.azure.com/.default"),
        ];
        token(&world, &client, &party.tenant_id, &form).await
    };
    let refused = exchange("another contract").await.unwrap_err();
    assert!(refused.starts_with("AADSTS"), "{refused}");
    let granted = exchange("contract").await.unwrap();
    assert_eq!(put_container(&world, &client, &granted).await, 201);
    let read: Vec<_> = world
        .requests("blob")
        .into_iter()
        .map(|r| (r.method, r.path))
        .collect();
    for document in ["/oidc/.well-known/openid-configuration", "/oidc/jwks"] {
        assert!(
            read.contains(&("GET".to_owned(), document.to_owned())),
            "{read:?}"
        );
    }
    // The issuer's web site is away: the same assertion buys nothing.
    world.upset(Upset::next("blob", Kind::Reset).at("/oidc/").times(8));
    assert!(exchange("contract").await.is_err());
}

#[tokio::test]
async fn governance_knows_a_member_by_the_key_of_the_handshake_and_speaks_under_its_own_root() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let cert = rcgen::CertificateParams::default()
        .self_signed(&key)
        .unwrap()
        .pem();
    let (world, azure) = world_of(WorldConfig {
        operator_cert_pem: Some(cert.clone()),
        ..WorldConfig::two_parties()
    })
    .await;
    let root = Certificate::from_pem(world.service_cert_pem().as_bytes()).unwrap();
    let builder = || {
        let builder = Client::builder().tls_certs_only([root.clone()]).no_proxy();
        builder.resolve("cgs.operator.example", world.cgs_addr())
    };
    let identity = Identity::from_pem(format!("{}{cert}", key.serialize_pem()).as_bytes()).unwrap();
    let contracts = world.cgs_url().join("/app/contracts").unwrap();
    let status = async |client: Client| {
        client
            .get(contracts.clone())
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(status(builder().build().unwrap()).await, 401);
    assert_eq!(
        status(builder().identity(identity).build().unwrap()).await,
        200
    );
    // The web's root says nothing about CGS.
    let web = azure.get(world.url("cgs.operator.example")).send().await;
    assert!(web.is_err());
    world.upset(Upset::next("cgs", Kind::Status(503)));
    assert_eq!(status(builder().build().unwrap()).await, 503);
}
