//! What the parties decide: the contract, their consent, proposals that are withdrawn.

use serde_json::{Value, json};
use sidecar_http::Coded;

use super::Parties;

#[tokio::test]
async fn a_contract_is_accepted_by_everybody_and_only_as_it_was_looked_at() {
    let parties = Parties::meet().await;
    parties
        .asks(
            "litware",
            &["contract", "create", "--id", "c1", "--data", "name: x"],
        )
        .await;
    let first = parties
        .asks(
            "litware",
            &["contract", "show", "--id", "c1", "--query", "version"],
        )
        .await;
    parties
        .asks(
            "litware",
            &[
                "contract",
                "create",
                "--id",
                "c1",
                "--data",
                "name: y",
                "--version",
                &first,
            ],
        )
        .await;
    let stale = parties
        .tries(
            "litware",
            &["contract", "propose", "--id", "c1", "--version", &first],
        )
        .await;
    assert_eq!(stale.unwrap_err().code(), "CR-GOVCLI-0020");
    let replaced = parties
        .tries(
            "litware",
            &["contract", "create", "--id", "c1", "--data", "name: z"],
        )
        .await;
    assert!(
        replaced
            .unwrap_err()
            .to_string()
            .contains("ContractAlreadyExists")
    );
    let version = parties
        .asks(
            "litware",
            &["contract", "show", "--id", "c1", "--query", "version"],
        )
        .await;
    let id = parties
        .asks(
            "litware",
            &[
                "contract",
                "propose",
                "--id",
                "c1",
                "--version",
                &version,
                "--query",
                "proposalId",
            ],
        )
        .await;
    let vote = [
        "contract",
        "vote",
        "--id",
        "c1",
        "--action",
        "accept",
        "--proposal-id",
    ];
    let other = "0".repeat(64);
    let mismatch = parties
        .tries("fabrikam", &[vote.as_slice(), &[other.as_str()]].concat())
        .await;
    assert_eq!(mismatch.unwrap_err().code(), "CR-GOVCLI-0022");
    for who in ["litware", "fabrikam"] {
        parties
            .asks(who, &[vote.as_slice(), &[id.as_str()]].concat())
            .await;
    }
    let contract: Value = serde_json::from_str(
        &parties
            .asks("fabrikam", &["contract", "show", "--id", "c1"])
            .await,
    )
    .unwrap();
    assert_eq!(
        (&contract["state"], &contract["data"]),
        (&json!("Accepted"), &json!("name: y"))
    );
    assert_eq!(contract["finalVotes"].as_array().unwrap().len(), 2);
    let late = parties
        .tries("fabrikam", &[vote.as_slice(), &[id.as_str()]].concat())
        .await;
    assert_eq!(late.unwrap_err().code(), "CR-GOVCLI-0021");
}

#[tokio::test]
async fn consent_is_given_and_withdrawn() {
    let parties = Parties::meet().await;
    parties.accept_contract().await;
    let get = |option: &'static str| {
        [
            "contract",
            "runtime-option",
            "get",
            "--contract-id",
            "c1",
            "--query",
            "status",
            "--option",
            option,
        ]
    };
    assert_eq!(parties.asks("fabrikam", &get("execution")).await, "enabled");
    assert_eq!(parties.asks("fabrikam", &get("logging")).await, "disabled");
    let set = [
        "contract",
        "runtime-option",
        "set",
        "--contract-id",
        "c1",
        "--option",
        "execution",
        "--action",
    ];
    parties
        .asks("litware", &[set.as_slice(), &["disable"]].concat())
        .await;
    assert_eq!(
        parties.asks("fabrikam", &get("execution")).await,
        "disabled"
    );
    parties
        .asks("litware", &[set.as_slice(), &["enable"]].concat())
        .await;
    assert_eq!(parties.asks("fabrikam", &get("execution")).await, "enabled");
    parties
        .agree(&[
            "contract",
            "runtime-option",
            "propose",
            "--contract-id",
            "c1",
            "--option",
            "logging",
            "--action",
            "enable",
        ])
        .await;
    assert_eq!(parties.asks("fabrikam", &get("logging")).await, "enabled");
}

#[tokio::test]
async fn a_withdrawn_proposal_takes_no_votes_and_a_secret_is_stored() {
    let parties = Parties::meet().await;
    parties.accept_contract().await;
    let id = parties
        .asks(
            "litware",
            &[
                "member",
                "set-tenant-id",
                "--identifier",
                "fabrikam",
                "--tenant-id",
                "t1",
                "--query",
                "proposalId",
            ],
        )
        .await;
    parties
        .asks("litware", &["proposal", "withdraw", "--proposal-id", &id])
        .await;
    let vote = parties
        .tries(
            "fabrikam",
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
    assert_eq!(vote.unwrap_err().code(), "CR-GOVCLI-0010");
    std::fs::write(parties.path("secret"), "hunter2").unwrap();
    let value = format!("@{}", parties.path("secret"));
    let stored = parties
        .asks(
            "litware",
            &[
                "contract",
                "secret",
                "set",
                "--contract-id",
                "c1",
                "--secret-name",
                "s",
                "--value",
                &value,
                "--query",
                "secretId",
            ],
        )
        .await;
    assert!(stored.ends_with(":s"), "{stored}");
    for words in [
        ["network", "show"],
        ["service", "show"],
        ["member", "show"],
        ["proposal", "list"],
        ["contract", "show"],
    ] {
        assert!(
            parties
                .asks("fabrikam", &words)
                .await
                .starts_with(['{', '[']),
            "{words:?}"
        );
    }
}
