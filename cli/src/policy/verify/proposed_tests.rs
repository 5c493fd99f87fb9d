//! What counts as proposed, and what is something besides.

use serde_json::{Value, json};
use sidecar_http::Coded as _;
use tempfile::TempDir;

use super::proposed::Proposed;

#[test]
fn a_policy_file_is_an_addition_of_claims_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("policy.json");
    let claims = json!({"x-ms-sevsnpvm-hostdata": "ab"});
    let read = |document: Value| {
        std::fs::write(&file, document.to_string()).unwrap();
        Proposed::of_files(None, Some(&file))
    };
    let added = read(json!({"type": "add", "claims": claims})).unwrap();
    assert_eq!(added.claims[0].value, claims);
    for document in [
        json!({"type": "remove", "claims": claims}),
        json!({"claims": claims}),
        json!({"type": ["add"], "claims": claims}),
        json!({"type": "add", "claims": claims, "contractId": "other"}),
        json!({"type": "add"}),
        json!([]),
    ] {
        let refused = read(document.clone()).unwrap_err();
        assert_eq!(refused.code(), "CR-CLI-0003", "{document}");
    }
}

#[test]
fn an_action_that_says_more_than_is_compared_is_something_besides() {
    let template = |more: Value| {
        let mut action = json!({"name": "set_deployment_spec", "args": {"contractId": "c", "spec": {"data": {"a": 1}}}});
        for (place, value) in more.as_object().unwrap() {
            let (parent, name) = place.rsplit_once('/').unwrap();
            action.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        action
    };
    let claims = json!({"name": "set_clean_room_policy", "args": {"contractId": "c", "type": "add", "claims": {"x": "y"}}});
    let mut removed = claims.clone();
    removed["args"]["type"] = "remove".into();
    let mut more = claims.clone();
    more["args"]["also"] = true.into();
    let mut proposed = Proposed::default();
    let actions = vec![
        ("p1".to_owned(), template(json!({}))),
        ("p2".to_owned(), claims),
        (
            "p3".to_owned(),
            template(json!({"/args/spec/armTemplate": {}})),
        ),
        ("p3".to_owned(), template(json!({"/args/also": 1}))),
        ("p4".to_owned(), template(json!({"/also": 1}))),
        ("p5".to_owned(), template(json!({"/args/contractId": "d"}))),
        ("p6".to_owned(), removed),
        ("p7".to_owned(), more),
        ("p8".to_owned(), json!({"name": "set_member"})),
    ];
    proposed.actions("c", actions);
    assert_eq!(proposed.templates.len(), 1);
    assert_eq!(proposed.claims.len(), 1);
    let besides: Vec<_> = proposed
        .besides
        .iter()
        .map(|offer| offer.subject.as_str())
        .collect();
    let expected = ["p3", "p3", "p4", "p5", "p6", "p7", "p8"].map(|id| format!("proposal {id}"));
    assert_eq!(besides, expected);
    assert_eq!(
        proposed.proposals,
        ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"]
    );
}
