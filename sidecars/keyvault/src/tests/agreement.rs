//! Two judges of release policies, written apart: ours before any vault is asked, the emulated vault's own.
use emulators::vault::{PolicyError, satisfies};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::evaluate;

/// Few names and values, so that clauses hold about as often as they fail.
fn name() -> impl Strategy<Value = String> {
    select(vec![
        "a", "b", "c", "o.a", "o.p.b", "o.p", "a.b", "none", "o.",
    ])
    .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => select(vec![
            json!(0), json!(1), json!(2), json!(-1), json!("0"), json!("1"), json!("-1"), json!("x"), json!(""),
            json!(true), json!(false), json!("true"), json!("false"), json!("1.0"), json!("+1"), json!(" 1"),
        ]),
        1 => select(vec![
            json!(1.0), json!(1.5), json!(u64::MAX), json!(i64::MIN), json!("18446744073709551615"), json!("9223372036854775808"),
        ]),
        1 => select(vec![json!(null), json!([]), json!([1]), json!({}), json!("null"), json!("[]"), json!("{}")]),
    ]
}

/// Mostly of the grammar: one bad clause spoils a whole policy.
fn claim() -> impl Strategy<Value = Value> {
    let order = select(vec!["less", "lessOrEquals", "greater", "greaterOrEquals"]);
    let whole = select(vec![
        json!(0),
        json!(1),
        json!("1"),
        json!("-1"),
        json!(i64::MIN),
    ]);
    let flag = select(vec![
        json!(true),
        json!(false),
        json!("true"),
        json!("false"),
    ]);
    let scalar = value().prop_filter("compared", |value| {
        !matches!(value, Value::Null | Value::Array(_) | Value::Object(_))
    });
    let any = select(vec!["equals", "greater", "exists", "like", "Equals"]);
    let clause = prop_oneof![
        20 => (select(vec!["equals", "notEquals"]), scalar),
        20 => (order, whole),
        10 => (Just("exists"), flag),
        1 => (any, value()),
    ];
    (name(), clause).prop_map(|(name, (operator, value))| json!({"claim": name, operator: value}))
}

fn group() -> impl Strategy<Value = Value> {
    let parts = |inner: BoxedStrategy<Value>| {
        (
            any::<bool>(),
            prop_oneof![30 => vec(inner.clone(), 1..4), 1 => vec(inner, 0..1)],
        )
            .prop_map(|(any, parts)| json!({if any { "anyOf" } else { "allOf" }: parts}))
    };
    let condition = claim().boxed().prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![inner.clone(), parts(inner)].boxed()
    });
    (any::<bool>(), vec(condition, 1..4))
        .prop_map(|(any, parts)| json!({if any { "anyOf" } else { "allOf" }: parts}))
}

fn policy() -> impl Strategy<Value = Value> {
    let authority = prop_oneof![
        20 => select(vec!["https://m", "https://m/"]),
        10 => select(vec!["https://other", "https://m.example"]),
        1 => Just("http://m"),
    ];
    let element = (authority, group()).prop_map(|(authority, mut group)| {
        group["authority"] = json!(authority);
        group
    });
    let element = element.boxed();
    let version = prop_oneof![30 => Just("1.0.0"), 5 => Just("0.2"), 1 => Just("2")];
    (
        version,
        prop_oneof![30 => vec(element.clone(), 1..4), 1 => vec(element, 0..1)],
    )
        .prop_map(|(version, elements)| json!({"version": version, "anyOf": elements}))
}

fn claims() -> impl Strategy<Value = Value> {
    let issuer = prop_oneof![
        20 => select(vec![json!("https://m"), json!("https://m/")]),
        2 => Just(json!("https://other")),
        1 => Just(json!(1)),
    ];
    (issuer, vec((name(), value()), 0..6), value(), value()).prop_map(|(issuer, flat, a, b)| {
        let mut claims = json!({"iss": issuer, "o": {"a": a, "p": {"b": b}}});
        for (name, value) in flat {
            claims[name] = value;
        }
        claims
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn the_vault_and_the_explanation_agree(policy in policy(), claims in claims()) {
        let issuer = claims["iss"].as_str().unwrap_or_default();
        let vault = satisfies(&policy, issuer, &claims);
        match ReleasePolicy::from_json(policy) {
            Err(ours) => prop_assert!(matches!(vault, Err(PolicyError::Grammar(_))), "{ours}: {vault:?}"),
            Ok(policy) => {
                let ours = evaluate(&policy, claims.as_object().unwrap()).unwrap();
                prop_assert!(!matches!(vault, Err(PolicyError::Grammar(_))), "{vault:?}");
                prop_assert_eq!(ours.released, vault.is_ok(), "{}: {:?}", ours, vault);
            }
        }
    }
}

/// The property says something only if both verdicts are common.
#[test]
fn random_policies_are_held_and_failed_and_refused_often_enough() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut held, mut failed, mut refused) = (0, 0, 0);
    for _ in 0..2000 {
        let policy = policy().new_tree(&mut runner).unwrap().current();
        let claims = claims().new_tree(&mut runner).unwrap().current();
        match satisfies(&policy, claims["iss"].as_str().unwrap_or_default(), &claims) {
            Ok(()) => held += 1,
            Err(PolicyError::Clause(_)) => failed += 1,
            Err(PolicyError::Grammar(_)) => refused += 1,
        }
    }
    assert!(
        held > 50 && failed > 200 && refused > 200,
        "{held} {failed} {refused}"
    );
}
