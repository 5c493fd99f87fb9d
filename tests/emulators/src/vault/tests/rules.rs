//! What the service refuses about keys themselves, in its own words.
use super::*;

fn curve(kty: &str, crv: &str, length: usize) -> Value {
    // d = 1: the public half is the generator of the curve.
    let (x, y) = match crv {
        "P-256" => (
            "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        ),
        _ => (
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8",
        ),
    };
    let number = |text: &str| URL_SAFE_NO_PAD.encode(hex::decode(text).unwrap());
    let mut d = vec![0; length];
    *d.last_mut().unwrap() = 1;
    let mut body = symmetric(&default_policy(), true);
    body["key"] = json!({
        "kty": kty, "crv": crv, "key_ops": ["sign"], "d": URL_SAFE_NO_PAD.encode(d),
        "x": number(x), "y": number(y),
    });
    body
}

impl Site {
    async fn patch(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.call("PATCH", path, &self.token(OWNER, OFFICER), body)
            .await
    }
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap()
}

const KEK: &str = "/keys/kek?api-version=7.4";

#[tokio::test]
async fn curves_are_taken_where_the_numbers_are_whole_and_fit() {
    let site = site(VaultKind::KeyVault);
    for crv in ["P-256", "P-256K"] {
        let (status, shown) = site.import(&curve("EC-HSM", crv, 32)).await;
        assert_eq!(status, StatusCode::OK, "{shown}");
        assert_eq!(shown["key"]["kty"], "EC-HSM");
        assert_eq!(shown["key"]["crv"], crv);
        assert_eq!(shown["key"]["d"], Value::Null);
        let (status, answer) = site.release(&claims()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let mut wrong = curve("EC-HSM", "P-256", 32);
    wrong["key"]["x"] = wrong["key"]["y"].clone();
    for (body, told) in [
        (wrong, "not valid"),
        (curve("EC-HSM", "P-256", 31), "32 bytes"),
        (curve("EC-HSM", "P-224", 28), "P-224"),
        (curve("EC", "P-256", 32), "AKV.SKR.1006"),
        (symmetric(&default_policy(), true), "oct-HSM"),
    ] {
        let (status, answer) = site.import(&body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(message(&answer).contains(told), "{answer}");
    }
}

#[tokio::test]
async fn symmetric_keys_have_at_most_64_bytes() {
    let site = site(VaultKind::ManagedHsm);
    for (length, status) in [
        (0, StatusCode::BAD_REQUEST),
        (64, StatusCode::OK),
        (65, StatusCode::BAD_REQUEST),
    ] {
        let mut body = symmetric(&default_policy(), true);
        body["key"]["k"] = json!(URL_SAFE_NO_PAD.encode(vec![7; length]));
        assert_eq!(site.import(&body).await.0, status, "{length}");
    }
}

#[tokio::test]
async fn a_policy_and_an_exportable_key_need_each_other() {
    let site = site(VaultKind::ManagedHsm);
    let mut without = symmetric(&default_policy(), true);
    without.as_object_mut().unwrap().remove("release_policy");
    let (_, answer) = site.import(&without).await;
    assert_eq!(
        message(&answer),
        "AKV.SKR.1004: Exportable keys must have release policy."
    );
    let (_, answer) = site.import(&symmetric(&default_policy(), false)).await;
    assert_eq!(
        message(&answer),
        "AKV.SKR.1005: Non-exportable keys must not have release policy."
    );
    without["attributes"] = json!({});
    assert_eq!(site.import(&without).await.0, StatusCode::OK);
    let (status, answer) = site.release(&claims()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(answer["error"]["innererror"]["code"], "KeyNotExportable");
    let (_, answer) = site
        .patch(KEK, &json!({"attributes": {"exportable": true}}))
        .await;
    assert!(message(&answer).starts_with("AKV.SKR.1014"), "{answer}");
}

#[tokio::test]
async fn an_immutable_policy_stays_and_another_can_be_changed_by_name() {
    let site = site(VaultKind::ManagedHsm);
    let open = policy(json!([{"claim": "x-ms-sevsnpvm-vmpl", "equals": 0}]));
    let of = |policy: &Value, immutable: bool| {
        let data = URL_SAFE_NO_PAD.encode(policy.to_string());
        json!({"data": data, "immutable": immutable})
    };
    site.import(&symmetric(&default_policy(), true)).await;
    let (status, shown) = site
        .patch(KEK, &json!({"release_policy": of(&open, true)}))
        .await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    assert_eq!(shown["release_policy"]["immutable"], true);
    assert_eq!(site.vault.release_policy("kek"), Some(open.clone()));
    let told = "AKV.SKR.1020: Immutable Key Release Policy cannot be modified.";
    for policy in [&open, &default_policy()] {
        let (status, answer) = site
            .patch(KEK, &json!({"release_policy": of(policy, false)}))
            .await;
        assert_eq!((status, message(&answer)), (StatusCode::BAD_REQUEST, told));
    }
    // Nor does a new version shake it off.
    let (_, answer) = site.import(&symmetric(&default_policy(), true)).await;
    assert_eq!(message(&answer), told);
    assert_eq!(site.vault.release_policy("kek"), Some(open));
    let version = shown["key"]["kid"].as_str().unwrap();
    let version = version.rsplit_once('/').unwrap().1;
    let path = format!("/keys/kek/{version}?api-version=7.4");
    let (_, answer) = site
        .patch(
            &path,
            &json!({"release_policy": of(&default_policy(), false)}),
        )
        .await;
    assert!(message(&answer).starts_with("AKV.SKR.1016"), "{answer}");
    let stranger = site.token(STRANGER, "x");
    let (status, _) = site.call("PATCH", KEK, &stranger, &json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_key_that_does_not_work_now_shows_itself_and_is_not_released() {
    let site = site(VaultKind::ManagedHsm);
    let now = OffsetDateTime::now_utc().unix_timestamp();
    for (attributes, inner) in [
        (json!({"exportable": true, "enabled": false}), "KeyDisabled"),
        (
            json!({"exportable": true, "nbf": now + 600}),
            "KeyNotYetValid",
        ),
        (json!({"exportable": true, "exp": now}), "KeyExpired"),
    ] {
        let mut body = symmetric(&default_policy(), true);
        body["attributes"] = attributes.clone();
        let (status, shown) = site.import(&body).await;
        assert_eq!(status, StatusCode::OK);
        for (name, value) in attributes.as_object().unwrap() {
            assert_eq!(&shown["attributes"][name], value);
        }
        let (status, answer) = site.release(&claims()).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(answer["error"]["innererror"]["code"], inner);
    }
    let working = json!({"attributes": {"nbf": now - 600, "exp": now + 600}});
    assert_eq!(site.patch(KEK, &working).await.0, StatusCode::OK);
    assert_eq!(site.release(&claims()).await.0, StatusCode::OK);
    let backwards = json!({"attributes": {"nbf": now + 600, "exp": now + 600}});
    assert_eq!(site.patch(KEK, &backwards).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_answer_names_the_version_it_was_asked_under() {
    let site = site(VaultKind::ManagedHsm);
    site.import(&symmetric(&default_policy(), true)).await;
    let target = site.maa.sign(&claims()).unwrap();
    let token = site.token(OWNER, ROOM);
    for version in ["7.3", "7.6", "2025-07-01"] {
        let path = format!("/keys/kek/release?api-version={version}");
        let (_, answer) = site
            .call("POST", &path, &token, &json!({"target": target}))
            .await;
        let payload = answer["value"].as_str().unwrap().split('.').nth(1).unwrap();
        let payload: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        assert_eq!(payload["request"]["api-version"], version);
    }
    let path = "/keys/kek/release?api-version=7.1";
    let (status, answer) = site
        .call("POST", path, &token, &json!({"target": target}))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message(&answer).contains("7.1"), "{answer}");
}
