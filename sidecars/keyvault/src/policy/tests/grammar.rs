//! What is a policy, and what is refused where.
use super::*;

fn of(condition: Value) -> Value {
    json!({"version": "1.0.0", "anyOf": [{"authority": "https://maa.example", "allOf": [condition]}]})
}

fn nested(depth: usize) -> Value {
    let leaf = json!({"claim": "a", "equals": 1});
    (0..depth).fold(leaf, |inner, _| json!({"anyOf": [inner]}))
}

#[test]
fn everything_the_grammar_has_is_taken() {
    for condition in [
        json!({"claim": "a", "equals": "x"}),
        json!({"claim": "a", "equals": 1.5}),
        json!({"claim": "a", "notEquals": false}),
        json!({"claim": "a", "less": 1}),
        json!({"claim": "a", "lessOrEquals": "-1"}),
        json!({"claim": "a", "greater": 0}),
        json!({"claim": "a", "greaterOrEquals": "104"}),
        json!({"claim": "a", "exists": true}),
        json!({"claim": "a.b", "exists": "false"}),
        json!({"anyOf": [{"allOf": [{"claim": "a", "equals": 1}]}]}),
        nested(7),
    ] {
        ReleasePolicy::from_json(of(condition.clone())).unwrap();
    }
    let mut old = of(json!({"claim": "a", "equals": 1}));
    old["version"] = json!("0.2");
    assert!(ReleasePolicy::from_json(old).is_ok());
}

#[test]
fn everything_else_is_refused_with_its_place_and_reason() {
    let good = of(json!({"claim": "a", "equals": 1}));
    let changed = |pointer: &str, value: Value| {
        let mut policy = good.clone();
        *policy.pointer_mut(pointer).unwrap() = value;
        policy
    };
    let with = |member: &str, value: Value| {
        let mut policy = good.clone();
        policy[member] = value;
        policy
    };
    let large = of(json!({"claim": "a", "equals": "x".repeat(33_000)}));
    let leaf = |condition: Value| of(condition);
    let place = "anyOf[0].allOf[0]";
    for (policy, path, flaw) in [
        (json!(7), "policy", PolicyFlaw::NotObject),
        (json!({"anyOf": []}), "version", PolicyFlaw::Version),
        (
            with("version", json!("1.0")),
            "version",
            PolicyFlaw::Version,
        ),
        (with("version", json!(1)), "version", PolicyFlaw::Version),
        (with("comment", json!("x")), "policy", PolicyFlaw::Member),
        (with("anyOf", json!([])), "anyOf", PolicyFlaw::List),
        (with("anyOf", json!({})), "anyOf", PolicyFlaw::List),
        (with("anyOf", json!([1])), "anyOf[0]", PolicyFlaw::NotObject),
        (
            changed("/anyOf/0/authority", json!("http://maa.example")),
            "anyOf[0].authority",
            PolicyFlaw::Authority,
        ),
        (
            changed("/anyOf/0/authority", json!(1)),
            "anyOf[0].authority",
            PolicyFlaw::Authority,
        ),
        (
            changed("/anyOf/0", json!({"authority": "https://maa.example"})),
            "anyOf[0]",
            PolicyFlaw::Condition,
        ),
        (
            changed(
                "/anyOf/0",
                json!({"authority": "https://maa.example", "claim": "a", "equals": 1}),
            ),
            "anyOf[0]",
            PolicyFlaw::Member,
        ),
        (
            changed("/anyOf/0/allOf", json!([])),
            "anyOf[0].allOf",
            PolicyFlaw::List,
        ),
        (leaf(json!("a")), place, PolicyFlaw::NotObject),
        (leaf(json!({"claim": "a"})), place, PolicyFlaw::Condition),
        (
            leaf(json!({"claim": 1, "equals": 1})),
            place,
            PolicyFlaw::Condition,
        ),
        (
            leaf(json!({"claim": "a", "equals": 1, "less": 2})),
            place,
            PolicyFlaw::Condition,
        ),
        (
            leaf(json!({"claim": "a", "like": "b"})),
            place,
            PolicyFlaw::Operator,
        ),
        (
            leaf(json!({"claim": "a", "Equals": "b"})),
            place,
            PolicyFlaw::Operator,
        ),
        (
            leaf(json!({"claim": "a", "equals": null})),
            place,
            PolicyFlaw::Operand,
        ),
        (
            leaf(json!({"claim": "a", "equals": ["b"]})),
            place,
            PolicyFlaw::Operand,
        ),
        (
            leaf(json!({"claim": "a", "less": "b"})),
            place,
            PolicyFlaw::Operand,
        ),
        (
            leaf(json!({"claim": "a", "less": 1.5})),
            place,
            PolicyFlaw::Operand,
        ),
        (
            leaf(json!({"claim": "a", "greater": u64::MAX})),
            place,
            PolicyFlaw::Operand,
        ),
        (
            leaf(json!({"claim": "a", "exists": "yes"})),
            place,
            PolicyFlaw::Operand,
        ),
        (
            leaf(json!({"anyOf": [], "allOf": []})),
            place,
            PolicyFlaw::Condition,
        ),
        (
            leaf(json!({"noneOf": [{"claim": "a", "equals": 1}]})),
            place,
            PolicyFlaw::Member,
        ),
        (leaf(json!({})), place, PolicyFlaw::Condition),
        (large, "policy", PolicyFlaw::TooLarge),
    ] {
        match ReleasePolicy::from_json(policy.clone()) {
            Err(KeyVaultError::Policy {
                path: told,
                flaw: why,
            }) => assert_eq!((told.as_str(), why), (path, flaw), "{policy}"),
            other => panic!("{policy}: {other:?}"),
        }
    }
    let deep = ReleasePolicy::from_json(of(nested(8)));
    assert!(matches!(
        deep,
        Err(KeyVaultError::Policy {
            flaw: PolicyFlaw::TooDeep,
            ..
        })
    ));
}

#[test]
fn the_host_data_that_allow_everything_are_found_wherever_they_stand() {
    for text in attestation::ALLOW_ALL_HOST_DATA {
        let condition = |claim: &str, text: &str| json!({"claim": claim, "equals": text});
        for found in [
            condition(HOST_DATA, text),
            condition(HOST_DATA, &text.to_uppercase()),
            condition(CVM_HOST_DATA, text),
            json!({"anyOf": [condition(HOST_DATA, &"ab".repeat(32)), {"allOf": [condition(HOST_DATA, text)]}]}),
        ] {
            let refused = ReleasePolicy::from_json(of(found));
            assert!(matches!(refused, Err(KeyVaultError::AllowAll { .. })));
        }
        let denied = json!({"claim": HOST_DATA, "notEquals": text});
        assert!(ReleasePolicy::from_json(of(denied)).is_ok());
        assert!(ReleasePolicy::from_json(of(condition("x-ms-policy-hash", text))).is_ok());
    }
}
