use axum::body::Body;
use coset::iana::Algorithm;
use coset::{CborSerializable as _, CoseSign1, TaggedCborSerializable as _};
use http::Request;
use serde_json::json;

use super::support::{ACCEPT, Message, Party, id, service};

fn proposal() -> String {
    json!({"actions": [{"name": "enable_oidc_issuer", "args": {"kid": "k0"}}]}).to_string()
}

fn tampered(bytes: &[u8], change: impl FnOnce(&mut CoseSign1)) -> Vec<u8> {
    let mut sign1 = CoseSign1::from_tagged_slice(bytes).unwrap();
    change(&mut sign1);
    sign1.to_tagged_vec().unwrap()
}

#[tokio::test]
async fn a_proposal_that_is_not_signed_as_it_must_be_is_refused() {
    let service = service();
    let litware = &service.litware;
    let good = || Message::new("proposal", None, proposal());
    let mut wrong_algorithm = good();
    wrong_algorithm.algorithm = Algorithm::ES256;
    let mut impostor = Party::new("litware");
    impostor.id.clone_from(&litware.id);
    let signed = litware.sign(&good());
    let untagged = CoseSign1::from_tagged_slice(&signed)
        .unwrap()
        .to_vec()
        .unwrap();
    for (cose, reason) in [
        (proposal().into_bytes(), "parse"),
        (untagged, "parse"),
        ([signed.as_slice(), b"\0"].concat(), "parse"),
        (Party::new("stranger").sign(&good()), "not a known member"),
        (impostor.sign(&good()), "validate the signature"),
        (litware.sign(&wrong_algorithm), "algorithm"),
        (
            litware.sign(&Message::new("ballot", Some("00"), proposal())),
            "set to ballot, expected proposal",
        ),
        (
            tampered(&signed, |s| s.payload.as_mut().unwrap()[3] ^= 1),
            "validate the signature",
        ),
        (
            tampered(&signed, |s| s.signature[0] ^= 1),
            "validate the signature",
        ),
        (tampered(&signed, |s| s.payload = None), "detached"),
        (
            tampered(&signed, |s| s.unprotected.key_id = b"x".to_vec()),
            "unprotected",
        ),
    ] {
        let got = service.post_cose("proposals:create", cose).await;
        assert_eq!(got.error(), "401 InvalidAuthenticationInfo");
        assert!(
            got.message().contains(reason),
            "{reason}: {}",
            got.message()
        );
        assert!(
            got.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("COSE-SIGN1")
        );
    }
    let request = Request::post("/gov/members/proposals:create?api-version=2024-07-01");
    let request = request
        .header("content-type", "application/json")
        .body(Body::from(signed.clone()))
        .unwrap();
    assert!(
        service
            .send(request)
            .await
            .message()
            .contains("content type")
    );
    assert!(
        service.gov("members/proposals").await.ok()["value"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        service.post_cose("proposals:create", signed).await.ok()["proposalState"],
        "Open"
    );
}

#[tokio::test]
async fn a_header_that_changes_breaks_the_signature() {
    let service = service();
    let signed = service
        .litware
        .sign(&Message::new("proposal", None, proposal()));
    for at in 0..signed.len() {
        let mut bytes = signed.clone();
        bytes[at] ^= 1;
        let got = service.post_cose("proposals:create", bytes).await;
        assert_eq!(got.error(), "401 InvalidAuthenticationInfo", "byte {at}");
    }
}

#[tokio::test]
async fn the_same_message_twice_is_a_replay() {
    let service = service();
    let signed = service
        .litware
        .sign(&Message::new("proposal", None, proposal()));
    let first = service
        .post_cose("proposals:create", signed.clone())
        .await
        .ok();
    assert_eq!(
        service.post_cose("proposals:create", signed).await.error(),
        "400 ProposalReplay"
    );
    let again = service
        .litware
        .sign(&Message::new("proposal", None, proposal()));
    let again = service.post_cose("proposals:create", again).await.ok();
    assert_ne!(id(&first), id(&again));
}

#[tokio::test]
async fn a_proposal_from_the_past_or_the_far_future_is_refused() {
    let service = service();
    for at in 2_000..2_004 {
        let mut message = Message::new("proposal", None, proposal());
        message.created_at = at;
        service
            .post_cose("proposals:create", service.litware.sign(&message))
            .await
            .ok();
    }
    for (at, expected) in [
        (2_001, "400 ProposalCreatedTooLongAgo"),
        (10_000_000_000, "400 InvalidCreatedAt"),
    ] {
        let mut message = Message::new("proposal", None, proposal());
        message.created_at = at;
        let got = service
            .post_cose("proposals:create", service.litware.sign(&message))
            .await;
        assert_eq!(got.error(), expected);
    }
}

#[tokio::test]
async fn a_ballot_counts_for_its_signer_and_its_proposal_only() {
    let service = service();
    let proposed = service
        .propose(&service.litware, "enable_oidc_issuer", json!({"kid": "k0"}))
        .await
        .ok();
    let other = service
        .propose(&service.litware, "enable_oidc_issuer", json!({"kid": "k1"}))
        .await
        .ok();
    let (proposal, other) = (id(&proposed), id(&other));
    let ballot = || json!({"ballot": ACCEPT}).to_string();
    let signed = service
        .litware
        .sign(&Message::new("ballot", Some(&proposal), ballot()));
    let own = format!("ballots/{}:submit", service.litware.id);
    let as_fabrikam = format!(
        "proposals/{proposal}/ballots/{}:submit",
        service.fabrikam.id
    );
    let got = service.post_cose(&as_fabrikam, signed.clone()).await;
    assert_eq!(got.error(), "400 InvalidAuthenticationInfo");
    let got = service
        .post_cose(&format!("proposals/{other}/{own}"), signed.clone())
        .await;
    assert_eq!(got.error(), "400 InvalidResourceName");
    let nameless = service
        .litware
        .sign(&Message::new("ballot", None, ballot()));
    let got = service
        .post_cose(&format!("proposals/{proposal}/{own}"), nameless)
        .await;
    assert!(
        got.message().contains("Missing ccf.gov.msg.proposal_id"),
        "{}",
        got.message()
    );
    assert_eq!(
        service
            .post_cose(&format!("proposals/{proposal}/{own}"), signed)
            .await
            .ok()["ballotCount"],
        1
    );
    let script = service
        .gov(&format!(
            "members/proposals/{proposal}/ballots/{}",
            service.litware.id
        ))
        .await;
    assert_eq!(
        (script.body, &script.headers["content-type"]),
        (ACCEPT.into(), &"text/javascript".parse().unwrap())
    );
}

#[tokio::test]
async fn every_governance_call_names_a_known_api_version() {
    let service = service();
    for (query, expected) in [
        ("", "400 MissingApiVersionParameter"),
        ("?api-version=latest", "400 UnsupportedApiVersionValue"),
        ("?api-version=2023-06-01-preview", "200 -"),
    ] {
        let path = format!("/gov/service/info{query}");
        assert_eq!(
            service.call("GET", &path, None, json!(null)).await.error(),
            expected
        );
        let path = format!("/gov/members/proposals:create{query}");
        let got = service.call("POST", &path, None, json!({})).await.error();
        assert_eq!(
            got,
            if expected == "200 -" {
                "401 InvalidAuthenticationInfo"
            } else {
                expected
            }
        );
    }
}
