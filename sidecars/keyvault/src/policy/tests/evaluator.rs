//! Which clauses hold, and what is told about them.
use super::*;

fn strict() -> ReleasePolicy {
    ReleasePolicy::strict(&terms()).unwrap()
}

#[test]
fn the_strict_policy_holds_for_its_group_and_fails_on_one_claim_at_a_time() {
    let good = evaluate(&strict(), &claims()).unwrap();
    assert!(good.released && good.refusal.is_none() && good.warnings.is_empty());
    assert!(
        good.clauses
            .iter()
            .all(|clause| clause.holds && clause.note.is_none())
    );
    assert_eq!(good.clauses.len(), 7);
    for (claim, value, path) in [
        (
            "iss",
            json!("https://sharedweu.weu.attest.azure.net"),
            "anyOf[0].authority",
        ),
        ("iss", json!(1), "anyOf[0].authority"),
        (
            "x-ms-sevsnpvm-hostdata",
            json!("cd".repeat(32)),
            "anyOf[0].allOf[0]",
        ),
        (
            "x-ms-compliance-status",
            json!("azure-compliant-cvm"),
            "anyOf[0].allOf[1]",
        ),
        (
            "x-ms-attestation-type",
            json!("azurevm"),
            "anyOf[0].allOf[2]",
        ),
        (
            "x-ms-sevsnpvm-is-debuggable",
            json!(true),
            "anyOf[0].allOf[3]",
        ),
        ("x-ms-sevsnpvm-vmpl", json!(1), "anyOf[0].allOf[4]"),
        (
            "x-ms-sevsnpvm-guestsvn-int",
            json!(103),
            "anyOf[0].allOf[5]",
        ),
    ] {
        let told = evaluate(&strict(), &with(claim, value.clone())).unwrap();
        assert!(!told.released, "{claim}");
        let failed: Vec<_> = told.clauses.iter().filter(|clause| !clause.holds).collect();
        let [clause] = failed.as_slice() else {
            panic!("{failed:?}");
        };
        assert_eq!((clause.path.as_str(), clause.claim.as_str()), (path, claim));
        assert_eq!(clause.actual, Some(value));
    }
    let mut without = claims();
    without.remove("x-ms-sevsnpvm-guestsvn-int");
    let told = evaluate(&strict(), &without).unwrap();
    let clause = told.clauses.last().unwrap();
    assert!(!told.released && !clause.holds && clause.actual.is_none());
    assert_eq!(clause.note.as_deref(), Some("the token has no such claim"));
}

fn holds(condition: Value, claims: Value) -> bool {
    let policy =
        json!({"version": "1.0.0", "anyOf": [{"authority": "https://m", "allOf": [condition]}]});
    let mut claims = claims.as_object().unwrap().clone();
    claims.insert("iss".to_owned(), json!("https://m/"));
    let policy = ReleasePolicy::from_json(policy).unwrap();
    evaluate(&policy, &claims).unwrap().released
}

#[test]
fn every_operator_does_what_it_says_and_a_missing_claim_satisfies_none() {
    for (operator, value, actual, expected) in [
        ("equals", json!("a"), json!("a"), true),
        ("equals", json!("a"), json!("A"), false),
        ("equals", json!("false"), json!(false), true),
        ("equals", json!(0), json!("0"), true),
        ("equals", json!(1), json!(1.0), false),
        ("equals", json!("null"), json!(null), false),
        ("equals", json!("[1]"), json!([1]), false),
        ("notEquals", json!("a"), json!("b"), true),
        ("notEquals", json!("a"), json!("a"), false),
        ("notEquals", json!("a"), json!({}), true),
        ("less", json!(5), json!(4), true),
        ("less", json!(5), json!(5), false),
        ("less", json!("10"), json!("9"), true),
        ("lessOrEquals", json!(5), json!(5), true),
        ("lessOrEquals", json!(5), json!(6), false),
        ("greater", json!(5), json!(6), true),
        ("greater", json!(5), json!(5), false),
        ("greater", json!(-1), json!(0), true),
        ("greaterOrEquals", json!(5), json!("5"), true),
        ("greaterOrEquals", json!(5), json!(4), false),
        ("greaterOrEquals", json!(5), json!("five"), false),
        ("greaterOrEquals", json!(5), json!(5.5), false),
        ("greaterOrEquals", json!(5), json!(true), false),
        ("greaterOrEquals", json!(5), json!(u64::MAX), false),
        ("exists", json!(true), json!("a"), true),
        ("exists", json!(false), json!("a"), false),
        ("exists", json!("true"), json!(null), true),
    ] {
        let condition = json!({"claim": "c", operator: value});
        let told = holds(condition.clone(), json!({"c": actual}));
        assert_eq!(told, expected, "{condition} {actual}");
        let missing = holds(condition.clone(), json!({}));
        assert_eq!(
            missing,
            operator == "exists" && value == json!(false),
            "{condition}"
        );
    }
}

#[test]
fn dots_enter_objects_and_never_lists() {
    let claims = json!({"a": {"b": {"c": 1}, "b.c": 2}, "x.y": 3, "l": [4], "t": "s"});
    for (claim, value, expected) in [
        ("a.b.c", json!(2), true),
        ("x.y", json!(3), true),
        ("l.0", json!(4), false),
        ("l", json!(4), false),
        ("t.s", json!("s"), false),
        ("a.b", json!(1), false),
        ("a..b", json!(1), false),
        ("", json!(1), false),
    ] {
        let told = holds(json!({"claim": claim, "equals": value}), claims.clone());
        assert_eq!(told, expected, "{claim}");
    }
}

#[test]
fn groups_nest_and_every_clause_is_judged() {
    let policy = json!({"version": "1.0.0", "anyOf": [
        {"authority": "https://other", "allOf": [{"claim": "a", "equals": 1}]},
        {"authority": "https://m/", "anyOf": [
            {"claim": "a", "equals": 9},
            {"allOf": [{"claim": "a", "equals": 1}, {"anyOf": [{"claim": "b", "exists": true}, {"claim": "c", "exists": true}]}]},
        ]},
    ]});
    let policy = ReleasePolicy::from_json(policy).unwrap();
    let claims = json!({"iss": "https://m", "a": 1, "c": 1});
    let told = evaluate(&policy, claims.as_object().unwrap()).unwrap();
    assert!(told.released);
    let verdicts: Vec<_> = told
        .clauses
        .iter()
        .map(|c| (c.path.as_str(), c.holds))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("anyOf[0].authority", false),
            ("anyOf[0].allOf[0]", true),
            ("anyOf[1].authority", true),
            ("anyOf[1].anyOf[0]", false),
            ("anyOf[1].anyOf[1].allOf[0]", true),
            ("anyOf[1].anyOf[1].allOf[1].anyOf[0]", false),
            ("anyOf[1].anyOf[1].allOf[1].anyOf[1]", true),
        ]
    );
    let groups: Vec<_> = told
        .groups
        .iter()
        .map(|g| (g.path.as_str(), g.holds))
        .collect();
    assert_eq!(
        groups,
        [
            ("anyOf[0].allOf", true),
            ("anyOf[1].anyOf", true),
            ("anyOf[1].anyOf[1].allOf", true),
            ("anyOf[1].anyOf[1].allOf[1].anyOf", true),
        ]
    );
    // Neither element binds a host data, and each is told.
    assert_eq!(told.warnings.len(), 2);
    let without = json!({"iss": "https://m", "a": 1});
    assert!(
        !evaluate(&policy, without.as_object().unwrap())
            .unwrap()
            .released
    );
}

#[test]
fn text_against_another_type_is_noted() {
    let policy = json!({"version": "1.0.0", "anyOf": [{"authority": "https://m", "allOf": [
        {"claim": HOST_DATA, "equals": "ab"},
        {"claim": "x-ms-sevsnpvm-is-debuggable", "equals": "false"},
        {"claim": "x-ms-sevsnpvm-vmpl", "equals": "0"},
        {"claim": "x-ms-runtime", "notEquals": "x"},
    ]}]});
    let policy = ReleasePolicy::from_json(policy).unwrap();
    let claims = json!({"iss": "https://m", HOST_DATA: "ab", "x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-vmpl": 0, "x-ms-runtime": {}});
    let told = evaluate(&policy, claims.as_object().unwrap()).unwrap();
    assert!(told.released);
    let notes: Vec<_> = told
        .clauses
        .iter()
        .map(|c| c.note.as_deref().unwrap_or(""))
        .collect();
    assert!(
        notes[2].contains("text, the token true or false"),
        "{}",
        notes[2]
    );
    assert!(
        notes[3].contains("text, the token a number"),
        "{}",
        notes[3]
    );
    assert!(
        notes[4].contains("an object, which equals no value"),
        "{}",
        notes[4]
    );
}

/// A vault may hold such a policy from elsewhere, and a token come from such a group.
#[test]
fn what_allows_everything_releases_nothing_whatever_the_clauses_say() {
    for text in attestation::ALLOW_ALL_HOST_DATA {
        let policy = json!({"version": "1.0.0", "anyOf": [{"authority": "https://m", "anyOf": [
            {"claim": HOST_DATA, "equals": text}, {"claim": "iss", "exists": true},
        ]}]});
        let foreign = ReleasePolicy::from_wire(&B64URL.encode(policy.to_string())).unwrap();
        let ours = json!({"iss": "https://m", HOST_DATA: "ab".repeat(32)});
        let told = evaluate(&foreign, ours.as_object().unwrap()).unwrap();
        assert!(!told.released && told.groups[0].holds);
        assert!(told.refusal.unwrap().starts_with("anyOf[0].anyOf[0]"));

        let any = json!({"version": "1.0.0", "anyOf": [{"authority": "https://m", "allOf": [{"claim": "iss", "exists": true}]}]});
        let any = ReleasePolicy::from_json(any).unwrap();
        assert!(evaluate(&any, ours.as_object().unwrap()).unwrap().released);
        for theirs in [
            json!({"iss": "https://m", HOST_DATA: text}),
            json!({"iss": "https://m", "x-ms-isolation-tee": {HOST_DATA: text.to_uppercase()}}),
        ] {
            let told = evaluate(&any, theirs.as_object().unwrap()).unwrap();
            assert!(!told.released && told.refusal.unwrap().contains(HOST_DATA));
        }
    }
}

#[test]
fn a_foreign_policy_of_no_grammar_is_an_error_and_no_verdict() {
    let foreign = ReleasePolicy::from_wire(&B64URL.encode("{}")).unwrap();
    assert!(matches!(
        evaluate(&foreign, &claims()),
        Err(KeyVaultError::Policy {
            flaw: PolicyFlaw::Version,
            ..
        })
    ));
}

#[test]
fn the_table_and_its_json_say_the_same_and_stay_short() {
    let mut claims = with("x-ms-sevsnpvm-hostdata", json!("cd".repeat(32)));
    claims.insert(
        "x-ms-attestation-type".to_owned(),
        json!("x\n".repeat(100_000)),
    );
    let told = evaluate(&strict(), &claims).unwrap();
    let text = told.to_string();
    assert!(text.len() < 4000, "{}", text.len());
    let line = |part: &str| {
        text.lines()
            .find(|line| line.contains(part))
            .unwrap()
            .to_owned()
    };
    let failed = line("anyOf[0].allOf[0]");
    for part in [
        "fails",
        "x-ms-sevsnpvm-hostdata",
        "equals",
        &"ab".repeat(32),
        &"cd".repeat(32),
    ] {
        assert!(failed.contains(part), "{failed}");
    }
    assert!(line("anyOf[0].allOf[1]").starts_with("holds"));
    assert!(text.ends_with("no vault would release the key"));
    let json = serde_json::to_value(&told).unwrap();
    assert!(json.to_string().len() < 8000);
    assert_eq!(json["released"], false);
    assert_eq!(
        json["clauses"][1],
        json!({
            "path": "anyOf[0].allOf[0]", "claim": "x-ms-sevsnpvm-hostdata", "operator": "equals",
            "expected": "ab".repeat(32), "actual": "cd".repeat(32), "holds": false, "note": null,
        })
    );
    assert_eq!(
        json["groups"][0],
        json!({"path": "anyOf[0].allOf", "holds": false})
    );
}
