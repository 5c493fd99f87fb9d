use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::support::{Got, Party, Service, room, service_with};
use crate::cgs::{CgsConfig, Strictness};

const NOW: u64 = 1_800_000_000;

fn at_now(config: &mut CgsConfig) {
    config.now = std::sync::Arc::new(|| UNIX_EPOCH + Duration::from_secs(NOW));
}

/// A service whose issuer is enabled, with a key, for litware's tenant.
async fn issuing(adjust: impl FnOnce(&mut CgsConfig)) -> Service {
    let service = service_with(|config| {
        at_now(config);
        adjust(config);
    })
    .accepted();
    service
        .pass("enable_oidc_issuer", json!({"kid": "k0"}))
        .await;
    for _ in 0..2 {
        let key = service
            .call(
                "POST",
                "/app/oidc/generateSigningKey",
                Some(&service.litware),
                Value::Null,
            )
            .await;
        assert_eq!(key.ok(), json!({"reqId": "1", "kid": "k0-1"}));
    }
    let url = json!({"url": "https://iss.example/oidc"});
    service
        .call(
            "POST",
            "/app/oidc/setIssuerUrl",
            Some(&service.litware),
            url,
        )
        .await
        .ok();
    service
}

async fn token(service: &Service, changes: &[(&str, &str)]) -> Got {
    let (exp, now) = ((NOW + 300).to_string(), NOW.to_string());
    let mut query = vec![
        ("nbf", now.as_str()),
        ("exp", exp.as_str()),
        ("iat", now.as_str()),
        ("jti", "j"),
        ("sub", "c1"),
        ("tid", "tenant-litware"),
        ("aud", "api://AzureADTokenExchange"),
    ];
    for (name, value) in changes {
        query.retain(|(known, _)| known != name);
        if !value.is_empty() {
            query.push((name, value));
        }
    }
    let query: String = query
        .iter()
        .map(|(name, value)| format!("&{name}={value}"))
        .collect();
    service
        .room_call(
            "POST",
            &format!("c1/oauth/token?{query}"),
            room().encrypted(),
        )
        .await
}

fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

#[tokio::test]
async fn a_token_is_signed_for_the_clean_room_by_the_published_key() {
    let service = issuing(|_| {}).await;
    let jwt = room().unwrap(&token(&service, &[]).await.ok());
    let parts: Vec<_> = jwt.split('.').collect();
    assert_eq!(
        decode(parts[0]),
        br#"{"alg":"PS256","typ":"JWT","kid":"k0-1"}"#
    );
    let payload = String::from_utf8(decode(parts[1])).unwrap();
    let expected = r#"{"aud":"api://AzureADTokenExchange","exp":"1800000300","iss":"https://iss.example/oidc","jti":"j","nbf":"1800000000","sub":"c1","iat":"1800000000"}"#;
    assert_eq!(payload, expected);
    let keys = service
        .call("GET", "/app/oidc/keys", None, Value::Null)
        .await
        .ok();
    assert_eq!(Some(keys.clone()), service.cgs.jwks());
    let key = &keys["keys"][0];
    assert_eq!(
        (&key["alg"], &key["kty"], &key["kid"]),
        (&json!("RS256"), &json!("RSA"), &json!("k0-1"))
    );
    assert_eq!(key["e"], "AQAB");
    let number = |name: &str| decode(key[name].as_str().unwrap());
    let public = RsaPublicKeyComponents {
        n: number("n"),
        e: number("e"),
    };
    let signed = format!("{}.{}", parts[0], parts[1]);
    public
        .verify(
            &RSA_PSS_2048_8192_SHA256,
            signed.as_bytes(),
            &decode(parts[2]),
        )
        .unwrap();
}

#[tokio::test]
async fn a_token_of_numbers_is_an_option() {
    let service = issuing(|config| config.numeric_dates = true).await;
    let jwt = room().unwrap(&token(&service, &[]).await.ok());
    let payload: Value = serde_json::from_slice(&decode(jwt.split('.').nth(1).unwrap())).unwrap();
    assert_eq!(
        (&payload["exp"], &payload["iat"]),
        (&json!(NOW + 300), &json!(NOW))
    );
}

#[tokio::test]
async fn a_token_for_another_subject_tenant_or_time_is_refused() {
    let service = issuing(|_| {}).await;
    for name in ["exp", "iat", "jti", "sub", "tid", "aud"] {
        assert_eq!(
            token(&service, &[(name, "")]).await.error(),
            "400 InvalidInput",
            "{name}"
        );
    }
    for (changes, expected) in [
        (&[("tid", "tenant-fabrikam")][..], "405 IssuerUrlNotSet"),
        (&[("sub", "c2")], "403 SubjectNotAllowed"),
        (&[("sub", "c1&sub=c2")], "403 SubjectNotAllowed"),
        (&[("sub", "c1%26sub=c2")], "403 SubjectNotAllowed"),
        (&[("exp", "99999999999")], "400 InvalidInput"),
        (&[("exp", "1799999999")], "400 InvalidInput"),
        (
            &[("iat", "1799999000"), ("exp", "1799999500")],
            "400 InvalidInput",
        ),
        (&[("iat", "now")], "400 InvalidInput"),
    ] {
        assert_eq!(
            token(&service, changes).await.error(),
            expected,
            "{changes:?}"
        );
    }
    let body = json!({"attestation": room().attestation});
    let got = service.room_call("POST", "c1/oauth/token", body).await;
    assert_eq!(got.error(), "400 EncryptionMissing");
    service.cgs.set_execution("c1", &service.fabrikam.id, false);
    assert_eq!(token(&service, &[]).await.error(), "403 ContractDisabled");
}

#[tokio::test]
async fn the_real_service_signs_any_subject_for_any_time_whatever_the_consent() {
    let service = issuing(|config| config.strictness = Strictness::upstream()).await;
    service.cgs.set_execution("c1", &service.fabrikam.id, false);
    let jwt = room().unwrap(
        &token(&service, &[("sub", "c2"), ("exp", "99999999999")])
            .await
            .ok(),
    );
    let payload: Value = serde_json::from_slice(&decode(jwt.split('.').nth(1).unwrap())).unwrap();
    assert_eq!(
        (&payload["sub"], &payload["exp"]),
        (&json!("c2"), &json!("99999999999"))
    );
}

#[tokio::test]
async fn the_issuer_is_enabled_by_vote_and_its_url_set_per_tenant() {
    let service = service_with(at_now).accepted();
    let post = async |party: &Party, path: &str, body: Value| {
        service.call("POST", path, Some(party), body).await
    };
    let generate = async || {
        post(
            &service.litware,
            "/app/oidc/generateSigningKey",
            Value::Null,
        )
        .await
    };
    assert_eq!(generate().await.error(), "405 OidcIssuerNotEnabled");
    assert_eq!(
        service.get("/app/oidc/keys").await.error(),
        "405 SigningKeyNotAvailable"
    );
    assert_eq!(
        service.get("/app/oidc/issuerInfo").await.ok(),
        json!({"enabled": false})
    );
    let discovery = service
        .get("/app/oidc/.well-known/openid-configuration")
        .await
        .ok();
    assert_eq!(discovery["issuer"], "{placeholder}");

    service
        .pass("enable_oidc_issuer", json!({"kid": "k0"}))
        .await;
    let path = "/app/oidc/setIssuerUrl";
    for url in ["", "x", "http://iss.example"] {
        assert_eq!(
            post(&service.litware, path, json!({"url": url}))
                .await
                .error(),
            "400 InvalidUrl"
        );
    }
    let url = json!({"url": "https://iss.example/litware"});
    assert_eq!(
        post(&service.operator, path, url.clone()).await.error(),
        "400 NoTenantIdMemberData"
    );
    assert_eq!(token(&service, &[]).await.error(), "405 IssuerUrlNotSet");
    post(&service.litware, path, url).await.ok();
    assert_eq!(
        token(&service, &[]).await.error(),
        "405 SigningKeyNotAvailable"
    );
    let tenant = json!({"tenantId": "tenant-litware", "issuerUrl": "https://iss.example/litware"});
    let info = service.get("/app/oidc/issuerInfo").await.ok();
    assert_eq!(info, json!({"enabled": true, "tenantData": tenant}));

    service
        .pass(
            "set_oidc_issuer_url",
            json!({"issuer_url": "https://iss.example"}),
        )
        .await;
    let discovery = service
        .get("/app/oidc/.well-known/openid-configuration")
        .await
        .ok();
    assert_eq!(discovery["jwks_uri"], "https://iss.example/keys");
    generate().await.ok();
    assert_eq!(token(&service, &[("tid", "unknown")]).await.status, 200);
}

#[tokio::test]
async fn a_rotated_key_replaces_the_old_one_when_it_is_generated() {
    let service = issuing(|_| {}).await;
    service
        .pass("oidc_issuer_enable_rotate_signing_key", json!({}))
        .await;
    assert_eq!(service.cgs.jwks().unwrap()["keys"][0]["kid"], "k0-1");
    let key = service
        .call(
            "POST",
            "/app/oidc/generateSigningKey",
            Some(&service.litware),
            Value::Null,
        )
        .await
        .ok();
    assert_eq!(key, json!({"reqId": "2", "kid": "k0-2"}));
    let keys = service.cgs.jwks().unwrap();
    assert_eq!(
        (
            keys["keys"].as_array().unwrap().len(),
            &keys["keys"][0]["kid"]
        ),
        (1, &json!("k0-2"))
    );
}
