//! Release policies and the evaluator: `{"policy": …, "claims": {…}}`.
#![no_main]

use fuzz::bounded;
use keyvault::{ReleasePolicy, evaluate};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

const ALLOW_ALL: [&str; 2] = snp::ALLOW_ALL_HOST_DATA;

fuzz_target!(|input: &[u8]| {
    let Ok(Value::Object(mut both)) = serde_json::from_slice(input) else {
        return;
    };
    let (Some(json), Some(Value::Object(claims))) = (both.remove("policy"), both.remove("claims"))
    else {
        return;
    };
    let Ok(policy) = bounded(input, 512, || ReleasePolicy::from_json(json.clone())) else {
        return;
    };
    assert_eq!(policy.as_json(), &json);
    let explained = bounded(input, 4096, || evaluate(&policy, &claims)).unwrap();
    let again = serde_json::from_str(&json.to_string()).unwrap();
    let again = ReleasePolicy::from_json(again).unwrap();
    let mut read: Map<String, Value> =
        serde_json::from_str(&Value::from(claims.clone()).to_string()).unwrap();
    assert_eq!(evaluate(&again, &read).unwrap(), explained);
    let shown = explained.to_string();
    assert_eq!(
        shown.ends_with("a vault would release the key"),
        explained.released
    );
    assert!(serde_json::to_value(&explained).is_ok());

    if explained.released {
        assert_eq!(explained.refusal, None);
        let elements = json["anyOf"].as_array().unwrap();
        assert!(
            elements.iter().any(|element| satisfied(element, &claims)),
            "released to nobody"
        );
        let host_data = claims.get("x-ms-sevsnpvm-hostdata").and_then(Value::as_str);
        let open = |text: &str| {
            ALLOW_ALL
                .iter()
                .any(|known| known.eq_ignore_ascii_case(text))
        };
        assert!(!host_data.is_some_and(open), "released to anybody");
        read.remove("iss");
        assert!(
            !evaluate(&policy, &read).unwrap().released,
            "released without an issuer"
        );
    }
});

/// The grammar once more, in the plainest words.
fn satisfied(element: &Value, claims: &Map<String, Value>) -> bool {
    let bare = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str);
        text.map(|text| text.trim_end_matches('/').to_owned())
    };
    let authority = bare(element.get("authority"));
    authority.is_some() && bare(claims.get("iss")) == authority && holds(element, claims)
}

fn holds(condition: &Value, claims: &Map<String, Value>) -> bool {
    if let Some(parts) = condition["allOf"].as_array() {
        return parts.iter().all(|part| holds(part, claims));
    }
    if let Some(parts) = condition["anyOf"].as_array() {
        return parts.iter().any(|part| holds(part, claims));
    }
    let actual = find(claims, condition["claim"].as_str().unwrap());
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    let number = |value: &Value| match value {
        Value::String(text) => text.parse::<i64>().ok(),
        other => other.as_i64(),
    };
    let ordered = |expected: &Value| Some(number(actual?)?.cmp(&number(expected)?));
    let (operator, expected) = condition
        .as_object()
        .and_then(|members| members.iter().find(|(name, _)| *name != "claim"))
        .unwrap();
    match operator.as_str() {
        "equals" => actual
            .and_then(text)
            .is_some_and(|it| Some(it) == text(expected)),
        "notEquals" => actual.is_some_and(|it| text(it).is_none() || text(it) != text(expected)),
        "less" => ordered(expected).is_some_and(|it| it.is_lt()),
        "lessOrEquals" => ordered(expected).is_some_and(|it| it.is_le()),
        "greater" => ordered(expected).is_some_and(|it| it.is_gt()),
        "greaterOrEquals" => ordered(expected).is_some_and(|it| it.is_ge()),
        "exists" => actual.is_some() == (text(expected).as_deref() == Some("true")),
        other => panic!("operator {other}"),
    }
}

fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let below = |(head, tail): (&str, &str)| find(claims.get(head)?.as_object()?, tail);
    claims
        .get(name)
        .or_else(|| name.split_once('.').and_then(below))
}
