use serde_json::{Value, json};

use super::support::{ACCEPT, Message, Party, Service, service, service_with};
use crate::cgs::{Cgs, CgsConfig, Strictness, amd_verifier};

async fn activate(service: &Service, party: &Party) -> Value {
    let base = format!("state-digests/{}", party.id);
    let update = party.sign(&Message::new("state_digest", None, ""));
    let digest = service
        .post_cose(&format!("{base}:update"), update)
        .await
        .ok();
    let ack = party.sign(&Message::new("ack", None, digest.to_string()));
    service.post_cose(&format!("{base}:ack"), ack).await.ok()
}

async fn statuses(service: &Service) -> Vec<String> {
    let members = service.gov("service/members").await.ok();
    let of = |party: &Party| {
        let all = members["value"].as_array().unwrap();
        let found = all
            .iter()
            .find(|member| member["memberId"] == party.id.as_str());
        found
            .map_or("-", |member| member["status"].as_str().unwrap())
            .to_owned()
    };
    [&service.litware, &service.fabrikam].map(of).to_vec()
}

/// A service with nobody but the operator.
fn service_over(cgs: Cgs) -> Service {
    let mut service = service();
    cgs.add_member(&service.operator.pem, json!({"isOperator": true}))
        .unwrap();
    service.use_instead(cgs);
    service
}

#[tokio::test]
async fn a_new_member_activates_by_acknowledging_the_digest_it_was_given() {
    let service = service_over(Cgs::new(CgsConfig::new(amd_verifier())).unwrap());
    for party in [&service.litware, &service.fabrikam] {
        let args = json!({"cert": party.pem, "member_data": {"identifier": "x"}});
        let added = service
            .propose(&service.operator, "set_member", args)
            .await
            .ok();
        assert_eq!(added["proposalState"], "Accepted");
    }
    assert_eq!(statuses(&service).await, ["Accepted", "Accepted"]);
    let got = service
        .propose(&service.litware, "enable_oidc_issuer", json!({"kid": "k"}))
        .await;
    assert!(
        got.message().contains("not an ACTIVE member"),
        "{}",
        got.message()
    );

    let ack = |digest: &str| {
        let payload = json!({"memberId": service.litware.id, "stateDigest": digest}).to_string();
        service.litware.sign(&Message::new("ack", None, payload))
    };
    let path = format!("state-digests/{}:ack", service.litware.id);
    assert_eq!(
        service.post_cose(&path, ack("00")).await.error(),
        "400 StateDigestMismatch"
    );
    let foreign = service
        .fabrikam
        .sign(&Message::new("state_digest", None, ""));
    let update = format!("state-digests/{}:update", service.litware.id);
    assert_eq!(
        service.post_cose(&update, foreign).await.error(),
        "400 InvalidAuthenticationInfo"
    );
    activate(&service, &service.litware).await;
    assert_eq!(statuses(&service).await, ["Active", "Accepted"]);
}

#[tokio::test]
async fn a_member_that_has_not_activated_holds_up_contracts() {
    let service = service();
    let contoso = Party::new("contoso");
    service
        .pass(
            "set_member",
            json!({"cert": contoso.pem, "member_data": {"identifier": "contoso"}}),
        )
        .await;
    let args = service.draft("c1").await;
    assert_eq!(
        service.pass("set_contract", args).await["proposalState"],
        "Open"
    );
    let proposal = service.get("/app/contracts/c1").await.ok()["proposalId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        service.vote(&contoso, &proposal, ACCEPT).await.error(),
        "401 InvalidAuthenticationInfo"
    );
    activate(&service, &contoso).await;
    assert_eq!(
        service.vote(&contoso, &proposal, ACCEPT).await.ok()["proposalState"],
        "Accepted"
    );
}

#[tokio::test]
async fn an_operator_adds_operators_alone_and_nothing_else_once_there_are_members() {
    let service = service();
    let (second, contoso) = (Party::new("operator 2"), Party::new("contoso"));
    let args = json!({"cert": second.pem, "member_data": {"isOperator": true}});
    assert_eq!(
        service
            .propose(&service.litware, "set_member", args.clone())
            .await
            .ok()["proposalState"],
        "Open"
    );
    assert_eq!(
        service
            .propose(&service.operator, "set_member", args)
            .await
            .ok()["proposalState"],
        "Accepted"
    );
    let args = json!({"cert": contoso.pem, "member_data": {"identifier": "contoso"}});
    assert_eq!(
        service
            .propose(&service.operator, "set_member", args)
            .await
            .ok()["proposalState"],
        "Open"
    );
    let args = json!({"member_id": second.id});
    assert_eq!(
        service
            .propose(&service.operator, "remove_member", args)
            .await
            .ok()["proposalState"],
        "Accepted"
    );
    let args = json!({"member_id": service.litware.id});
    assert_eq!(
        service
            .propose(&service.operator, "remove_member", args)
            .await
            .ok()["proposalState"],
        "Open"
    );
    let args = service.draft("c1").await;
    assert_eq!(
        service
            .propose(&service.operator, "set_contract", args)
            .await
            .ok()["proposalState"],
        "Open"
    );
}

#[tokio::test]
async fn an_operator_takes_over_the_real_service_and_not_the_strict_one() {
    for strictness in [Strictness::strict(), Strictness::upstream()] {
        let service = service_with(|config| config.strictness = strictness);
        let mut answers = Vec::new();
        for party in [&service.litware, &service.fabrikam] {
            let args = json!({"cert": party.pem, "member_data": {"isOperator": true}});
            answers.push(
                service
                    .propose(&service.operator, "set_member", args)
                    .await
                    .error(),
            );
        }
        let args = json!({"contractId": "c1", "contract": {"data": "the operator's"}});
        let contract = service
            .propose(&service.operator, "set_contract", args)
            .await
            .ok();
        if strictness.protect_members {
            assert_eq!(
                answers,
                [
                    "400 ProposalFailedToValidate",
                    "400 ProposalFailedToValidate"
                ]
            );
            assert_eq!(contract["proposalState"], "Open");
        } else {
            assert_eq!(answers, ["200 -", "200 -"]);
            assert_eq!(contract["proposalState"], "Accepted");
        }
    }
}

#[tokio::test]
async fn without_members_an_operator_founds_the_service_but_passes_no_contract() {
    let service = service_over(Cgs::new(CgsConfig::new(amd_verifier())).unwrap());
    let issuer = service
        .propose(&service.operator, "enable_oidc_issuer", json!({"kid": "k"}))
        .await
        .ok();
    assert_eq!(issuer["proposalState"], "Accepted");
    let args = json!({"contractId": "c1", "contract": {"data": "x"}});
    assert_eq!(
        service
            .propose(&service.operator, "set_contract", args)
            .await
            .ok()["proposalState"],
        "Open"
    );
}
