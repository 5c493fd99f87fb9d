//! What concerns the room: template and policy, the token issuer, its events.

use serde_json::{Value, json};

use super::{HOST_DATA, Parties};

#[tokio::test]
async fn template_and_policy_are_proposed_inspected_and_shown() {
    let parties = Parties::meet().await;
    parties.accept_contract().await;
    let template = parties.path("template.json");
    std::fs::write(&template, r#"{"containers":["a"]}"#).unwrap();
    let id = parties
        .asks(
            "litware",
            &[
                "deployment",
                "template",
                "propose",
                "--contract-id",
                "c1",
                "--template-file",
                &template,
                "--query",
                "proposalId",
            ],
        )
        .await;
    let show = [
        "deployment",
        "template",
        "show",
        "--contract-id",
        "c1",
        "--query",
    ];
    assert_eq!(
        parties
            .asks("fabrikam", &[show.as_slice(), &["proposalIds[0]"]].concat())
            .await,
        id
    );
    let inspect = [
        "proposal",
        "show-actions",
        "--proposal-id",
        &id,
        "--query",
        "actions[0].args.spec.data.containers[0]",
    ];
    assert_eq!(parties.asks("fabrikam", &inspect).await, "a");
    for who in ["litware", "fabrikam"] {
        parties
            .asks(
                who,
                &[
                    "proposal",
                    "vote",
                    "--action",
                    "accept",
                    "--proposal-id",
                    &id,
                ],
            )
            .await;
    }
    let accepted = parties
        .asks("fabrikam", &[show.as_slice(), &["data"]].concat())
        .await;
    assert_eq!(
        serde_json::from_str::<Value>(&accepted).unwrap(),
        json!({"containers": ["a"]})
    );

    let policy = parties.path("policy.json");
    let hash = hex::encode(HOST_DATA);
    let claims = json!({"x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-hostdata": hash});
    std::fs::write(
        &policy,
        json!({"type": "add", "claims": claims}).to_string(),
    )
    .unwrap();
    let state = parties
        .agree(&[
            "deployment",
            "policy",
            "propose",
            "--contract-id",
            "c1",
            "--policy-file",
            &policy,
        ])
        .await;
    assert_eq!(state["proposalState"], "Accepted");
    let shown = parties
        .asks(
            "fabrikam",
            &[
                "deployment",
                "policy",
                "show",
                "--contract-id",
                "c1",
                "--query",
                "policy",
            ],
        )
        .await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["x-ms-sevsnpvm-hostdata"], json!([hash]));
}

#[tokio::test]
async fn the_issuer_is_enabled_and_its_documents_are_written_for_publication() {
    let parties = Parties::meet().await;
    parties.agree(&["oidc-issuer", "propose-enable"]).await;
    let key = parties
        .asks(
            "litware",
            &["oidc-issuer", "generate-signing-key", "--query", "kid"],
        )
        .await;
    let url = "https://litwarestore.z1.web.core.windows.net/c1";
    parties
        .asks("litware", &["oidc-issuer", "set-issuer-url", "--url", url])
        .await;
    let dir = parties.path("documents");
    parties
        .asks(
            "litware",
            &["oidc-issuer", "show-documents", "--output-dir", &dir],
        )
        .await;
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(parties.path(&format!("documents/{name}"))).unwrap())
            .unwrap()
    };
    assert_eq!(read("openid-configuration.json")["issuer"], url);
    assert_eq!(read("jwks.json")["keys"][0]["kid"], key.as_str());
}

#[tokio::test]
async fn the_events_of_a_clean_room_are_listed_and_their_chain_verifies() {
    let parties = Parties::meet().await;
    parties.accept_contract().await;
    parties
        .world
        .services()
        .cgs
        .set_policy("c1", &hex::encode(HOST_DATA));
    let room = parties.room();
    for message in [
        "starting execution of app container",
        "app container terminated with exit code 0",
    ] {
        room.put_event(
            None,
            "",
            json!({"source": "code-launcher", "message": message}),
        )
        .await
        .unwrap();
    }
    room.put_event(None, "dataset", json!({"message": "mounted"}))
        .await
        .unwrap();
    let list = ["contract", "event", "list", "--contract-id", "c1"];
    let latest: Value = serde_json::from_str(&parties.asks("fabrikam", &list).await).unwrap();
    assert_eq!(latest["value"].as_array().unwrap().len(), 1);
    let all: Value = serde_json::from_str(
        &parties
            .asks("fabrikam", &[list.as_slice(), &["--all"]].concat())
            .await,
    )
    .unwrap();
    let data: Vec<&Value> = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["data"])
        .collect();
    assert_eq!(
        data[0],
        &json!({"source": "code-launcher", "message": "starting execution of app container"})
    );
    assert_eq!(
        data[1]["message"],
        "app container terminated with exit code 0"
    );
    assert_eq!(data.len(), 2);
    parties
        .asks("fabrikam", &[list.as_slice(), &["--verify"]].concat())
        .await;
    parties
        .asks(
            "fabrikam",
            &[list.as_slice(), &["--verify", "--scope", "dataset"]].concat(),
        )
        .await;
}
