use serde_json::{Value, json};

use super::support::{ACCEPT, Party, id, room, service};

#[tokio::test]
async fn a_draft_changes_only_under_the_version_it_has() {
    let service = service();
    let put = async |body: Value| {
        service
            .call("PUT", "/app/contracts/c1", Some(&service.litware), body)
            .await
    };
    assert_eq!(
        service.get("/app/contracts/c1").await.error(),
        "404 ContractNotFound"
    );
    for body in [
        json!({}),
        json!({"data": ""}),
        json!({"data": null}),
        json!({"data": 0}),
    ] {
        assert_eq!(put(body).await.error(), "400 DataMissing");
    }
    let first = put(json!({"data": "yaml: 1"})).await;
    assert_eq!((first.status, first.body.as_slice()), (200, &b""[..]));
    let version = first.transaction();
    let draft = json!({"id": "c1", "state": "Draft", "version": version, "data": "yaml: 1", "proposalId": ""});
    assert_eq!(service.get("/app/contracts/c1").await.ok(), draft);
    assert_eq!(
        put(json!({"data": "yaml: 2"})).await.error(),
        "409 ContractAlreadyExists"
    );
    assert_eq!(
        put(json!({"data": "yaml: 2", "version": "2.1"}))
            .await
            .error(),
        "412 PreconditionFailed"
    );
    let second = put(json!({"data": "yaml: 2", "version": version})).await;
    assert_ne!(second.transaction(), version);
    assert_eq!(
        put(json!({"data": "yaml: 3", "version": version}))
            .await
            .error(),
        "412 PreconditionFailed"
    );
    assert_eq!(
        service.get("/app/contracts/c1").await.ok()["data"],
        "yaml: 2"
    );
    assert_eq!(
        service.get("/app/contracts").await.ok(),
        json!([{"id": "c1"}])
    );
}

#[tokio::test]
async fn the_application_answers_members_only() {
    let service = service().accepted();
    let stranger = Party::new("stranger");
    for (method, path) in [
        ("GET", "/app/contracts"),
        ("PUT", "/app/contracts/c2"),
        ("GET", "/app/contracts/c1"),
        ("POST", "/app/contracts/c1/checkstatus/execution"),
        ("POST", "/app/contracts/c1/enable"),
        ("POST", "/app/contracts/c1/disable"),
        ("GET", "/app/contracts/c1/events"),
        ("PUT", "/app/contracts/c1/secrets/s"),
        ("GET", "/app/contracts/c1/cleanroompolicy"),
        ("GET", "/app/contracts/c1/deploymentspec"),
        ("GET", "/app/documents"),
        ("PUT", "/app/documents/d"),
        ("GET", "/app/documents/d"),
        ("GET", "/app/proposals/00/historical"),
        ("POST", "/app/oidc/generateSigningKey"),
        ("POST", "/app/oidc/setIssuerUrl"),
        ("GET", "/app/oidc/issuerInfo"),
        (
            "POST",
            "/app/runtimeoptions/checkstatus/autoapprove-jsapp-proposal",
        ),
    ] {
        for caller in [None, Some(&stranger)] {
            let got = service
                .call(method, path, caller, json!({"data": 1, "value": "v"}))
                .await;
            assert_eq!(
                got.error(),
                "401 InvalidAuthenticationInfo",
                "{method} {path}"
            );
            assert_eq!(
                got.json()["error"]["details"][0]["auth_policy"],
                "member_cert"
            );
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_verbs_are_told_apart_and_carry_a_transaction_id() {
    let service = service();
    let got = service.get("/app/nothing").await;
    assert_eq!(got.error(), "404 ResourceNotFound");
    assert!(got.transaction().starts_with("2."));
    let got = service
        .call(
            "DELETE",
            "/app/contracts/c1",
            Some(&service.litware),
            Value::Null,
        )
        .await;
    assert_eq!(
        (got.error().as_str(), &got.headers["allow"]),
        ("405 UnsupportedHttpVerb", &"GET, PUT".parse().unwrap())
    );
    let huge = json!({"data": "x".repeat(1 << 20)});
    let got = service
        .call("PUT", "/app/contracts/c1", Some(&service.litware), huge)
        .await;
    assert_eq!(got.error(), "413 RequestBodyTooLarge");
    let broken = service
        .call(
            "PUT",
            "/app/contracts/c1/secrets/s",
            Some(&service.litware),
            Value::Null,
        )
        .await;
    assert_eq!(broken.error(), "500 InternalError");
}

#[tokio::test]
async fn execution_is_on_after_acceptance_until_any_member_turns_it_off() {
    let service = service();
    service
        .cgs
        .set_policy("c1", &hex::encode(super::support::HOST_DATA));
    let check = async || {
        let member = service.call(
            "POST",
            "/app/contracts/c1/checkstatus/execution",
            Some(&service.litware),
            json!(null),
        );
        let member = member.await.ok();
        assert_eq!(
            service
                .room_call("POST", "c1/consentcheck/execution", room().attested())
                .await
                .ok(),
            member
        );
        member
    };
    let switch = async |party: &Party, to: &str| {
        service
            .call(
                "POST",
                &format!("/app/contracts/c1/{to}"),
                Some(party),
                Value::Null,
            )
            .await
            .error()
    };
    let not_accepted = "Contract does not exist or has not been accepted.";
    let reason = json!({"code": "ContractNotAccepted", "message": not_accepted});
    assert_eq!(
        check().await,
        json!({"status": "disabled", "reason": reason})
    );
    assert_eq!(
        switch(&service.litware, "disable").await,
        "400 ContractNotAccepted"
    );
    service.cgs.accept_contract("c1", json!("yaml"));
    assert_eq!(check().await, json!({"status": "enabled"}));

    for party in [&service.litware, &service.fabrikam] {
        assert_eq!(switch(party, "disable").await, "200 -");
    }
    let mut ids = [service.litware.id.as_str(), service.fabrikam.id.as_str()];
    ids.sort_unstable();
    let message = format!(
        "Contract has been disabled by the following member(s): m[{}].",
        ids.join(",")
    );
    let reason = json!({"code": "ContractDisabled", "message": message});
    assert_eq!(
        check().await,
        json!({"status": "disabled", "reason": reason})
    );
    switch(&service.litware, "enable").await;
    assert_eq!(check().await["reason"]["code"], "ContractDisabled");
    switch(&service.fabrikam, "enable").await;
    assert_eq!(check().await, json!({"status": "enabled"}));
}

#[tokio::test]
async fn telemetry_is_off_until_voted_on_and_off_again_at_once() {
    let service = service().accepted();
    for option in ["telemetry", "logging"] {
        let check = async || {
            let path = format!("c1/consentcheck/{option}");
            service
                .room_call("POST", &path, room().attested())
                .await
                .ok()
        };
        let args = json!({"contractId": "c1"});
        assert_eq!(
            check().await,
            json!({"status": "disabled", "proposalIds": []})
        );
        let name = format!("set_contract_runtime_options_enable_{option}");
        let proposal = id(&service
            .propose(&service.litware, &name, args.clone())
            .await
            .ok());
        assert_eq!(
            check().await,
            json!({"status": "disabled", "proposalIds": [proposal]})
        );
        service.vote(&service.litware, &proposal, ACCEPT).await.ok();
        assert_eq!(check().await["status"], "disabled");
        service
            .vote(&service.fabrikam, &proposal, ACCEPT)
            .await
            .ok();
        assert_eq!(
            check().await,
            json!({"status": "enabled", "proposalIds": []})
        );
        let name = format!("set_contract_runtime_options_disable_{option}");
        let closed = service.propose(&service.operator, &name, args).await.ok();
        assert_eq!(closed["proposalState"], "Accepted");
        assert_eq!(
            check().await,
            json!({"status": "disabled", "proposalIds": []})
        );
    }
    let got = service
        .room_call("POST", "c1/consentcheck/other", room().attested())
        .await;
    assert_eq!(got.error(), "400 InvalidOption");
}

#[tokio::test]
async fn secrets_are_written_by_members_and_read_by_the_clean_room_alone() {
    let service = service().accepted();
    let put = async |value: Value| {
        service
            .call(
                "PUT",
                "/app/contracts/c1/secrets/s",
                Some(&service.litware),
                value,
            )
            .await
    };
    assert_eq!(put(json!({})).await.error(), "400 ValueMissing");
    let got = put(json!({"value": "x".repeat(25_601)})).await;
    assert_eq!(got.error(), "400 ValueTooLarge");
    assert!(
        got.message()
            .contains("should not exceed 25600 characters. Input is 25601 characters.")
    );
    put(json!({"value": "x".repeat(25_600)})).await.ok();
    let secret = put(json!({"value": "the secret"})).await.ok()["secretId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(secret, format!("{}:s", service.litware.id));

    let read = async |id: &str| {
        service
            .room_call("POST", &format!("c1/secrets/{id}"), room().encrypted())
            .await
    };
    assert_eq!(room().unwrap(&read(&secret).await.ok()), "the secret");
    assert_eq!(read("s").await.error(), "404 SecertNotFound");
    let got = service
        .room_call("POST", &format!("c1/secrets/{secret}"), room().attested())
        .await;
    assert_eq!(got.error(), "400 EncryptionMissing");
    service.cgs.set_execution("c1", &service.fabrikam.id, false);
    assert_eq!(read(&secret).await.error(), "403 ContractDisabled");
}

#[tokio::test]
async fn documents_follow_their_contract_and_reach_the_clean_room_once_accepted() {
    let service = service().accepted();
    let put = async |body: Value| {
        service
            .call("PUT", "/app/documents/d1", Some(&service.litware), body)
            .await
            .error()
    };
    assert_eq!(put(json!({"data": "x"})).await, "400 ContractIdMissing");
    assert_eq!(
        put(json!({"contractId": "c9", "data": "x"})).await,
        "404 ContractNotFound"
    );
    assert_eq!(put(json!({"contractId": "c1", "data": "x"})).await, "200 -");
    assert_eq!(
        put(json!({"contractId": "c1", "data": "y"})).await,
        "409 DocumentAlreadyExists"
    );
    let read = async || {
        service
            .room_call("POST", "c1/acceptedDocuments/d1", room().encrypted())
            .await
    };
    assert_eq!(read().await.error(), "404 DocumentNotFound");
    let document = service.get("/app/documents/d1").await.ok();
    assert_eq!(
        (&document["contractId"], &document["state"]),
        (&json!("c1"), &json!("Draft"))
    );
    service
        .pass(
            "set_document",
            json!({"documentId": "d1", "document": document}),
        )
        .await;
    let text = room().unwrap(&read().await.ok());
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&read["state"], &read["data"], &read["contractId"]),
        (&json!("Accepted"), &json!("x"), &json!("c1"))
    );
    assert_eq!(
        put(json!({"contractId": "c1", "data": "z"})).await,
        "405 DocumentAlreadyAccepted"
    );
}
