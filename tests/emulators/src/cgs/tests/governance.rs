use serde_json::{Value, json};

use super::support::{ACCEPT, HOST_DATA, Message, Party, REJECT, id, service};

#[tokio::test]
async fn a_contract_is_final_when_every_member_voted_for_it_and_not_before() {
    let service = service();
    let args = service.draft("c1").await;
    assert_eq!(args["contract"]["state"], "Draft");
    let proposed = service
        .propose(&service.litware, "set_contract", args.clone())
        .await
        .ok();
    let proposal = id(&proposed);
    assert_eq!(
        (&proposed["proposalState"], &proposed["ballotCount"]),
        (&json!("Open"), &json!(0))
    );
    assert_eq!(proposed["proposerId"], service.litware.id);

    // Neither the proposer's vote nor the operator's is implied or enough.
    service
        .vote(&service.operator, &proposal, ACCEPT)
        .await
        .ok();
    let one = service.vote(&service.litware, &proposal, ACCEPT).await.ok();
    assert_eq!(
        (&one["proposalState"], &one["ballotCount"]),
        (&json!("Open"), &json!(2))
    );
    let read = service.get("/app/contracts/c1").await.ok();
    let expected = json!({"id": "c1", "state": "Proposed", "data": "yaml of c1", "proposalId": proposal,
        "version": args["contract"]["version"]});
    assert_eq!(read, expected);

    let all = service.vote(&service.fabrikam, &proposal, ACCEPT).await;
    let version = all.transaction();
    assert_eq!(all.ok()["proposalState"], "Accepted");
    let read = service.get("/app/contracts/c1").await.ok();
    assert_eq!(
        (&read["state"], &read["version"]),
        (&json!("Accepted"), &json!(version))
    );
    assert_eq!(read["finalVotes"].as_array().unwrap().len(), 3);
    let put = service
        .call(
            "PUT",
            "/app/contracts/c1",
            Some(&service.litware),
            json!({"data": "x"}),
        )
        .await;
    assert_eq!(put.error(), "405 ContractAlreadyAccepted");
}

#[tokio::test]
async fn one_vote_against_a_contract_rejects_it_but_other_actions_stay_open() {
    let service = service();
    let args = service.draft("c1").await;
    let proposal = id(&service
        .propose(&service.litware, "set_contract", args)
        .await
        .ok());
    let rejected = service
        .vote(&service.operator, &proposal, REJECT)
        .await
        .ok();
    assert_eq!(rejected["proposalState"], "Rejected");
    assert_eq!(rejected["finalVotes"][&service.operator.id], false);
    let issuer = id(&service
        .propose(&service.litware, "enable_oidc_issuer", json!({"kid": "k"}))
        .await
        .ok());
    assert_eq!(
        service.vote(&service.fabrikam, &issuer, REJECT).await.ok()["proposalState"],
        "Open"
    );
}

#[tokio::test]
async fn a_superseded_proposal_is_rejected_and_takes_no_votes_while_the_first_goes_on() {
    let service = service();
    let args = service.draft("c1").await;
    let first = id(&service
        .propose(&service.litware, "set_contract", args.clone())
        .await
        .ok());
    let second = service
        .propose(&service.fabrikam, "set_contract", args)
        .await
        .ok();
    assert_eq!(second["proposalState"], "Rejected");
    let got = service.vote(&service.fabrikam, &id(&second), ACCEPT).await;
    assert_eq!(got.error(), "400 ProposalNotOpen");
    assert_eq!(
        service.get("/app/contracts/c1").await.ok()["proposalId"],
        first
    );
    service.vote(&service.litware, &first, ACCEPT).await.ok();
    assert_eq!(
        service.vote(&service.fabrikam, &first, ACCEPT).await.ok()["proposalState"],
        "Accepted"
    );
}

#[tokio::test]
async fn a_contract_stands_alone_once_and_only_while_it_is_no_final_one() {
    let service = service();
    let (c1, c2) = (service.draft("c1").await, service.draft("c2").await);
    let set = |args: &Value| json!({"name": "set_contract", "args": args});
    let issuer = json!({"name": "enable_oidc_issuer", "args": {"kid": "k"}});
    for actions in [json!([set(&c1), issuer]), json!([set(&c1), set(&c1)])] {
        let got = service.propose_all(&service.litware, actions).await.ok();
        assert_eq!(got["proposalState"], "Rejected");
    }
    let both = service
        .propose_all(&service.litware, json!([set(&c1), set(&c2)]))
        .await
        .ok();
    assert_eq!(both["proposalState"], "Open");
    service.cgs.accept_contract("c3", json!("x"));
    let args = json!({"contractId": "c3", "contract": {"data": "y"}});
    let final_one = service
        .propose(&service.litware, "set_contract", args)
        .await
        .ok();
    assert_eq!(final_one["proposalState"], "Rejected");
}

#[tokio::test]
async fn a_vote_is_one_of_two_scripts_given_once() {
    let service = service();
    let proposal = id(&service
        .propose(&service.litware, "enable_oidc_issuer", json!({"kid": "k"}))
        .await
        .ok());
    for ballot in [
        "export function vote (proposal, proposerId) { return 1 }",
        "",
        "true",
    ] {
        assert_eq!(
            service
                .vote(&service.litware, &proposal, ballot)
                .await
                .error(),
            "400 InvalidInput"
        );
    }
    service.vote(&service.litware, &proposal, ACCEPT).await.ok();
    assert_eq!(
        service.vote(&service.litware, &proposal, ACCEPT).await.ok()["ballotCount"],
        1
    );
    assert_eq!(
        service
            .vote(&service.litware, &proposal, REJECT)
            .await
            .error(),
        "400 VoteAlreadyExists"
    );
    let spaced = ACCEPT.replace(' ', "  ");
    assert_eq!(
        service
            .vote(&service.fabrikam, &proposal, &spaced)
            .await
            .ok()["proposalState"],
        "Accepted"
    );
    assert_eq!(
        service
            .vote(&service.fabrikam, &proposal, ACCEPT)
            .await
            .error(),
        "400 ProposalNotOpen"
    );
    assert_eq!(
        service.vote(&service.fabrikam, "00", ACCEPT).await.error(),
        "404 ProposalNotFound"
    );
}

#[tokio::test]
async fn only_the_proposer_withdraws_and_only_an_open_proposal() {
    let service = service();
    let proposal = id(&service
        .propose(&service.litware, "enable_oidc_issuer", json!({"kid": "k"}))
        .await
        .ok());
    let withdraw = async |party: &Party, proposal: &str| {
        let message = party.sign(&Message::new("withdrawal", Some(proposal), ""));
        service
            .post_cose(&format!("proposals/{proposal}:withdraw"), message)
            .await
    };
    assert_eq!(
        withdraw(&service.fabrikam, &proposal).await.error(),
        "403 AuthorizationFailed"
    );
    assert_eq!(withdraw(&service.litware, "00").await.status, 204);
    assert_eq!(
        withdraw(&service.litware, &proposal).await.ok()["proposalState"],
        "Withdrawn"
    );
    assert_eq!(
        withdraw(&service.litware, &proposal).await.error(),
        "400 ProposalNotOpen"
    );
}

#[tokio::test]
async fn a_decided_proposal_is_forgotten_when_the_next_is_decided_but_stays_in_history() {
    let service = service();
    let args = service.draft("c1").await;
    let first = id(&service.pass("set_contract", args).await);
    assert_eq!(
        service
            .gov(&format!("members/proposals/{first}"))
            .await
            .ok()["proposalState"],
        "Accepted"
    );
    let actions = service
        .gov(&format!("members/proposals/{first}/actions"))
        .await
        .ok();
    assert_eq!(actions["actions"][0]["args"]["contractId"], "c1");
    service
        .pass("enable_oidc_issuer", json!({"kid": "k"}))
        .await;
    assert_eq!(
        service
            .gov(&format!("members/proposals/{first}"))
            .await
            .error(),
        "404 ProposalNotFound"
    );
    assert_eq!(
        service.get("/app/contracts/c1").await.ok()["proposalId"],
        first
    );
    let path = format!("/app/proposals/{first}/historical");
    let loading = service.get(&path).await;
    assert_eq!(
        (loading.status, &loading.headers["retry-after"]),
        (202, &"1".parse().unwrap())
    );
    let states = service.get(&path).await.ok();
    let states: Vec<_> = states["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["proposalState"].clone())
        .collect();
    assert_eq!(states, ["Open", "Open", "Accepted"]);
}

#[tokio::test]
async fn what_governs_a_contract_is_proposed_after_it_is_accepted() {
    let service = service();
    let policy = json!({"contractId": "c1", "type": "add", "claims": {"x-ms-sevsnpvm-is-debuggable": false}});
    for (name, args, reason) in [
        (
            "set_deployment_spec",
            json!({"contractId": "c1", "spec": {"data": {}}}),
            "set_deployment_spec at position 0 \
          failed validation: Error: Deployment spec can only be proposed once contract 'c1' has been accepted.",
        ),
        (
            "set_clean_room_policy",
            policy,
            "once contract 'c1' has been accepted",
        ),
        (
            "set_contract_runtime_options_enable_logging",
            json!({"contractId": "c1"}),
            "has been accepted",
        ),
        (
            "set_contract",
            json!({"contractId": 1}),
            "contractId must be of type string but is number",
        ),
        (
            "set_contract",
            json!({"contractId": "c1", "contract": []}),
            "contract must be of type object",
        ),
        (
            "set_constitution",
            json!({"constitution": ""}),
            "no such action",
        ),
        ("set_member", json!({"cert": "x"}), "PEM"),
        (
            "set_member_data",
            json!({"member_id": "00", "member_data": {}}),
            "no member 00",
        ),
    ] {
        let got = service.propose(&service.litware, name, args).await;
        assert_eq!(got.error(), "400 ProposalFailedToValidate");
        assert!(got.message().contains(reason), "{}", got.message());
    }
    for actions in [json!([]), json!(null), json!([{"args": {}}])] {
        let got = service.propose_all(&service.litware, actions).await;
        assert_eq!(got.error(), "400 ProposalFailedToValidate");
    }
}

#[tokio::test]
async fn specification_and_policy_show_their_open_proposals_and_then_the_accepted_content() {
    let service = service().accepted();
    let spec = json!({"contractId": "c1", "spec": {"data": {"template": 1}}});
    let proposal = id(&service
        .propose(&service.litware, "set_deployment_spec", spec)
        .await
        .ok());
    let open = service.get("/app/contracts/c1/deploymentspec").await.ok();
    assert_eq!(open, json!({"proposalIds": [proposal], "data": {}}));
    service.vote(&service.litware, &proposal, ACCEPT).await.ok();
    service
        .vote(&service.fabrikam, &proposal, ACCEPT)
        .await
        .ok();
    let done = service.get("/app/contracts/c1/deploymentspec").await.ok();
    assert_eq!(done, json!({"proposalIds": [], "data": {"template": 1}}));

    let change =
        |kind: &str, claims: Value| json!({"contractId": "c1", "type": kind, "claims": claims});
    for claims in [
        json!({"x-ms-unknown": "a"}),
        json!({"x-ms-sevsnpvm-vmpl": "0"}),
        json!({"uvm_endorsements-feed": "a"}),
    ] {
        let got = service
            .propose(
                &service.litware,
                "set_clean_room_policy",
                change("add", claims),
            )
            .await;
        assert_eq!(got.error(), "400 ProposalFailedToValidate");
    }
    let added = change(
        "add",
        json!({"x-ms-sevsnpvm-hostdata": ["aa"], "x-ms-sevsnpvm-is-debuggable": true}),
    );
    service.pass("set_clean_room_policy", added).await;
    let removed = change("remove", json!({"x-ms-sevsnpvm-is-debuggable": true}));
    assert_eq!(
        service.pass("set_clean_room_policy", removed).await["proposalState"],
        "Accepted"
    );
    let absent = change("remove", json!({"x-ms-sevsnpvm-hostdata": ["aa", "bb"]}));
    let failed = service.pass("set_clean_room_policy", absent).await;
    assert_eq!(failed["proposalState"], "Failed");
    assert!(
        failed["failure"]["reason"]
            .as_str()
            .unwrap()
            .contains("no value")
    );
    let policy = service.get("/app/contracts/c1/cleanroompolicy").await.ok();
    let host_data = hex::encode(HOST_DATA);
    assert_eq!(
        policy,
        json!({"proposalIds": [], "policy": {"x-ms-sevsnpvm-hostdata": [host_data, "aa"]}})
    );
}
