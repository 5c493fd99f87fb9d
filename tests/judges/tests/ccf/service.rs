//! The emulated service takes what the package signs.

use emulators::world::{World, WorldConfig};
use serde_json::{Value, json};

use crate::member::{Pair, text};
use crate::program::{Program, error, read};
use crate::{ACCEPT, PROPOSAL};

/// What a message of `kind` is, said by `pair`.
fn message(pair: &Pair, kind: &str, path: &str, content: &Value) -> Value {
    let content = match content {
        Value::Null => String::new(),
        content => content.to_string(),
    };
    json!({"cert": pair.cert, "key": pair.key, "type": kind, "path": path, "content": content})
}

fn with(message: &Value, name: &str, value: Value) -> Value {
    let mut message = message.clone();
    message[name] = value;
    message
}
/// Refused with one bit changed, wherever that is; then taken as it was signed.
async fn only_unchanged(member: &mut Program, message: &Value) -> Value {
    let mut places = vec!["signature", "header"];
    if message["content"] != "" {
        places.push("payload");
    }
    for place in places {
        let refused = member.asked(&with(message, "change", json!(place))).await;
        let inner = json!({
            "auth_policy": "member_cose_sign1",
            "code": "InvalidAuthenticationInfo",
            "message": "Failed to validate the signature",
        });
        let error = json!({
            "code": "InvalidAuthenticationInfo",
            "message": "Invalid info",
            "details": [inner],
        });
        assert_eq!(refused["body"], json!({"error": error}), "{place}");
        assert_eq!(refused["status"], 401);
        assert_eq!(
            refused["www_authenticate"],
            "COSE-SIGN1 realm=\"Signed request access\""
        );
    }
    let taken = member.asked(message).await;
    assert!(
        taken["transaction"]
            .as_str()
            .is_some_and(|id| id.starts_with("2.")),
        "{taken}"
    );
    taken
}
async fn status_of(member: &mut Program, id: &str) -> Option<Value> {
    let members = read(member, "/gov/service/members").await;
    let members = members["value"].as_array().unwrap();
    let found = members.iter().find(|member| member["memberId"] == id);
    found.map(|member| member["status"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulated_service_takes_what_the_package_signs_and_nothing_else() {
    sidecar_http::install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let [operator, litware] = ["operator", "litware"].map(|name| Pair::by_ccf(dir.path(), name));
    let config = WorldConfig {
        operator_cert_pem: Some(std::fs::read_to_string(&operator.cert).unwrap()),
        commit_delay_ms: 0,
        ..WorldConfig::two_parties()
    };
    let world = World::start(config).await.unwrap();
    let pin = dir.path().join("service.pem");
    std::fs::write(&pin, world.service_cert_pem()).unwrap();
    let endpoint = format!("https://{}", world.cgs_addr());
    let mut member = Program::start("member.py", &[&endpoint, text(&pin)]);
    let create = "/gov/members/proposals:create";

    // The operator adds a member; nobody's vote counts yet.
    assert_eq!(status_of(&mut member, &litware.id).await, None);
    let cert = std::fs::read_to_string(&litware.cert).unwrap();
    let args = json!({"cert": cert, "member_data": {"identifier": "litwaré"}});
    let actions = json!({"actions": [{"name": "set_member", "args": args}]});
    let add = message(&operator, "proposal", create, &actions);
    let added = only_unchanged(&mut member, &add).await;
    assert_eq!(
        (&added["status"], &added["body"]["proposalState"]),
        (&json!(200), &json!("Accepted"))
    );
    assert_eq!(added["body"]["proposerId"], operator.id.as_str());
    assert_eq!(
        status_of(&mut member, &litware.id).await,
        Some(json!("Accepted"))
    );

    // The member may not speak before it acknowledged the state.
    let enable = |kid: &str| {
        let args = json!({"kid": kid});
        json!({"actions": [{"name": "enable_oidc_issuer", "args": args}]})
    };
    let early = message(&litware, "proposal", create, &enable("k0"));
    let refused = member.asked(&early).await;
    assert_eq!(
        (
            refused["status"].as_u64(),
            refused["body"]["error"]["details"][0]["message"].as_str()
        ),
        (Some(401), Some("Signer is not an ACTIVE member"))
    );
    let digests = format!("/gov/members/state-digests/{}", litware.id);
    let update = message(
        &litware,
        "state_digest",
        &format!("{digests}:update"),
        &Value::Null,
    );
    let digest = only_unchanged(&mut member, &update).await;
    assert_eq!(
        (&digest["status"], &digest["body"]["memberId"]),
        (&json!(200), &json!(litware.id))
    );
    let state = digest["body"]["stateDigest"].as_str().unwrap();
    assert_eq!(state.len(), 64);
    let path = format!("{digests}:ack");
    let stale = json!({"stateDigest": "00".repeat(32)});
    let stale = member.asked(&message(&litware, "ack", &path, &stale)).await;
    assert_eq!(error(&stale), "400 \"StateDigestMismatch\"");
    assert_eq!(
        status_of(&mut member, &litware.id).await,
        Some(json!("Accepted"))
    );
    let ack = message(&litware, "ack", &path, &json!({"stateDigest": state}));
    let acked = only_unchanged(&mut member, &ack).await;
    assert_eq!(
        (&acked["status"], &acked["body"]),
        (&json!(204), &json!(null))
    );
    assert_eq!(
        status_of(&mut member, &litware.id).await,
        Some(json!("Active"))
    );

    // A proposal, signed as a key vault signs, is open until its only voter accepts.
    let propose = message(&litware, "proposal", create, &enable("k0"));
    let propose = with(&propose, "offline", json!(true));
    let proposed = only_unchanged(&mut member, &propose).await;
    assert_eq!(
        (&proposed["status"], &proposed["body"]["proposalState"]),
        (&json!(200), &json!("Open"))
    );
    let again = member.asked(&json!({"again": true})).await;
    assert_eq!(error(&again), "400 \"ProposalReplay\"");
    let id = proposed["body"]["proposalId"].as_str().unwrap().to_owned();
    let submit = format!("/gov/members/proposals/{id}/ballots/{}:submit", litware.id);
    let ballot = message(&litware, "ballot", &submit, &json!({"ballot": ACCEPT}));
    let elsewhere = with(&ballot, "proposal_id", json!(PROPOSAL));
    let elsewhere = member.asked(&elsewhere).await;
    assert_eq!(error(&elsewhere), "400 \"InvalidResourceName\"");
    let mistyped = with(&ballot, "type", json!("ack"));
    let mistyped = member.asked(&mistyped).await;
    assert_eq!(
        mistyped["body"]["error"]["details"][0]["message"],
        "Found ccf.gov.msg.type set to ack, expected ballot"
    );
    let shown = read(&mut member, &format!("/gov/members/proposals/{id}")).await;
    assert_eq!(
        (&shown["proposalState"], &shown["ballotCount"]),
        (&json!("Open"), &json!(0))
    );
    let ballot = with(&ballot, "proposal_id", json!(id));
    let voted = only_unchanged(&mut member, &ballot).await;
    assert_eq!(
        voted["body"],
        json!({
            "proposalId": id,
            "proposerId": litware.id,
            "proposalState": "Accepted",
            "ballotCount": 1,
            "finalVotes": {(litware.id.as_str()): true},
        })
    );

    // Another one is withdrawn.
    let propose = message(&litware, "proposal", create, &enable("k1"));
    let proposed = only_unchanged(&mut member, &propose).await;
    assert_eq!(proposed["body"]["proposalState"], "Open");
    let id = proposed["body"]["proposalId"].as_str().unwrap().to_owned();
    let path = format!("/gov/members/proposals/{id}:withdraw");
    let withdraw = |pair| {
        let message = message(pair, "withdrawal", &path, &Value::Null);
        with(&message, "proposal_id", json!(id))
    };
    let refused = member.asked(&withdraw(&operator)).await;
    assert_eq!(error(&refused), "403 \"AuthorizationFailed\"");
    let withdrawn = only_unchanged(&mut member, &withdraw(&litware)).await;
    assert_eq!(
        (&withdrawn["status"], &withdrawn["body"]["proposalState"]),
        (&json!(200), &json!("Withdrawn"))
    );
    world.stop().await;
}
